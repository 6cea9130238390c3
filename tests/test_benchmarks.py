"""The benchmarks at toy size: our side runs, and what differs is noticed."""

import json
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks import clock, environment, flops, inputs, run
from benchmarks import jobs as jobs_lib
from hh_jax.data.tokenizer import EOT_ID
from hh_jax.models import heads, ladder, public_weights
from tests import scripts

VOCAB = 300
KINDS = ('lm', 'pm', 'sampling', 'best_of', 'ppo')
SMALL = {
  'rows': 1,
  'pairs': 2,
  'batches': 2,
  'prompts': 2,
  'slots': 4,
  'k': 2,
  'max_new': 8,
  'repeats': 1,
  'warm_up': 1,
}


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
  """Inputs of a toy network, made from the repository alone."""
  folder = tmp_path_factory.mktemp('inputs')
  facts = inputs.prepare(folder, 'nano0', VOCAB, data_dir='')
  assert facts['texts'].startswith('random')
  assert facts['comparisons'] > 1000
  return folder


def test_every_job_has_both_sides():
  for job in jobs_lib.JOBS:
    for side in job.sides():
      owner = side.partition('/')[0]
      assert (scripts.ROOT / f'benchmarks/{owner}/{job.kind}.py').is_file()
  assert {job.kind for job in jobs_lib.JOBS} == set(KINDS)
  names = [row.name for job in jobs_lib.JOBS for row in job.comparisons]
  assert len(set(names)) == len(names)


@pytest.mark.slow
@pytest.mark.parametrize('kind', KINDS)
def test_our_side_runs(folder, tmp_path, kind):
  job = next(job for job in jobs_lib.JOBS if job.kind == kind)
  small = {**job.fields, **SMALL, 'dtype': 'float32', 'variant': 'plain'}
  out = tmp_path / 'result.json'
  subprocess.run(
    [
      sys.executable,
      '-m',
      f'benchmarks.ours.{kind}',
      f'--job={json.dumps(small)}',
      f'--inputs={folder}',
      f'--out={out}',
    ],
    cwd=scripts.ROOT,
    check=True,
  )
  result = json.loads(out.read_text())
  assert result['samples'] and min(result['samples']) > 0
  assert result['units'] > 0
  assert result['checks']
  assert result['peak_gib'] > 0.1


def test_replies_end_as_often_as_real_ones(folder):
  config, params = public_weights.read(folder / 'policy')
  params = jax.tree.map(jnp.asarray, params)
  model = ladder.build(config)
  tokens = np.random.default_rng(0).integers(3, VOCAB, (4, 64))
  packed = ladder.rectangle(
    jnp.asarray(tokens, jnp.int32), jnp.full(4, 64, jnp.int32)
  )
  hidden = jax.jit(ladder.forward, static_argnums=0)(
    model, params, packed
  ).hidden
  probabilities = jax.nn.softmax(hidden @ heads.unembed_matrix(params).T)
  rate = float(probabilities[..., EOT_ID].mean())
  np.testing.assert_allclose(rate, 1 / inputs.MEAN_REPLY, rtol=0.2)
  assert probabilities[..., [0, 2]].max() < 1e-6


def process(**checks):
  return {'units': 10, 'samples': [2.0, 1.0], 'checks': checks}


def test_sides_that_computed_different_things_end_the_run():
  same = process(losses=[1.0, 0.5], greedy=[[5, 6]])
  run.check('job', same, process(losses=[1.0001], greedy=[[5, 6]]), 'float32')
  with pytest.raises(SystemExit, match='losses differs'):
    run.check('job', same, process(losses=[1.1]), 'float32')
  with pytest.raises(SystemExit, match='greedy differs'):
    run.check('job', same, process(greedy=[[5, 7]]), 'float32')
  with pytest.raises(SystemExit, match='nothing to compare'):
    run.check('job', same, process(), 'float32')


def test_rates_are_units_a_second_of_every_sample():
  np.testing.assert_allclose(run.rate([process(), process()]), [5, 10, 5, 10])


def test_lists_come_back_as_they_were(tmp_path):
  lists = [np.arange(3, dtype=np.int32), np.zeros(0, np.int32), np.ones(2)]
  clock.write_lists(tmp_path / 'x.npz', some=lists)
  (back,) = clock.read_lists(tmp_path / 'x.npz').values()
  assert [b.tolist() for b in back] == [x.tolist() for x in lists]


def test_a_sample_is_long_enough(monkeypatch):
  now = [0.0]
  monkeypatch.setattr(clock.time, 'perf_counter', lambda: now[0])

  def run(seconds=0.08):
    now[0] += seconds
    calls.append(seconds)

  calls = []
  np.testing.assert_allclose(clock.seconds_of(run, 3), [0.08] * 3)
  assert len(calls) == 1 + 1 + 3 * 4  # warm-up, the first look, samples
  calls = []
  np.testing.assert_allclose(clock.seconds_of(lambda: run(2), 2), [2, 2])
  assert len(calls) == 1 + 2


def test_operations_that_are_needed():
  counter = flops.Counter(inputs.model_config('nano0', VOCAB))
  config = counter.config
  body, width = 2 * config.num_block_params, 4 * 2 * 64
  assert counter.pass_over(0, 1) == body + width
  assert counter.pass_over(2, 1) == body + 3 * width
  # A shared prompt is counted once.
  alone = counter.tree(5, [2]) + counter.tree(5, [3])
  assert alone - counter.tree(5, [2, 3]) == counter.pass_over(0, 5)
  one = counter.pass_over(0, 2) + counter.logits(1)
  assert counter.lm_step(3, 2) == 9 * one


def test_both_sides_get_the_same_allocator(tmp_path):
  ours = environment.of_side(tmp_path, True, 'ppo')
  theirs = environment.of_side(tmp_path, False, 'ppo')
  assert theirs.pop('PYTHONPATH') == str(tmp_path / 'ppo')
  ours.pop('PYTHONPATH', None)
  assert ours == theirs
