"""The benchmarks at toy size: our side runs, and what differs is noticed."""

import dataclasses
import json
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks import clock, inputs, rows, run
from benchmarks import jobs as jobs_lib
from benchmarks import results as results_lib
from hh_jax.data.tokenizer import EOT_ID
from hh_jax.models import heads, ladder, public_weights
from hh_jax.planning import flops
from tests import scripts

VOCAB = 300
BF16 = 'bfloat16'
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
      module = f'benchmarks/{owner}/{job.module(owner)}.py'
      assert (scripts.ROOT / module).is_file()
    assert job.family in inputs.FAMILIES
  assert {job.kind for job in jobs_lib.JOBS} == set(KINDS)
  for dtype in jobs_lib.DTYPES:
    names = [
      row.name
      for job in jobs_lib.JOBS
      for row in job.comparisons
      if dtype in row.dtypes
    ]
    assert len(set(names)) == len(names) > 10


def measured(folder, tmp_path, kind, family=inputs.NEOX):
  """What our side of a job writes at toy size."""
  job = next(
    job for job in jobs_lib.JOBS if (job.kind, job.family) == (kind, family)
  )
  given = {'family': family, 'dtype': 'float32', 'variant': 'plain'}
  small = {**job.fields, **SMALL, **given}
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
  return json.loads(out.read_text())


@pytest.mark.slow
@pytest.mark.parametrize('kind', KINDS)
def test_our_side_runs(folder, tmp_path, kind):
  result = measured(folder, tmp_path, kind)
  assert result['samples'] and min(result['samples']) > 0
  assert result['units'] > 0
  assert result['checks']
  assert result['peak_gib'] > 0.1


@pytest.mark.parametrize('family', inputs.FAMILIES)
def test_replies_end_as_often_as_real_ones(folder, family):
  config, params = public_weights.read(folder / family / 'policy')
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
  # At every token: the lengths of replies depend on it.
  spread = float(probabilities[..., EOT_ID].std()) / rate
  assert spread < 0.1
  assert probabilities[..., [0, 2]].max() < 1e-6


def test_the_families_are_the_same_size(folder):
  neox, qwen2 = (
    public_weights.read(folder / family / 'policy')[0]
    for family in inputs.FAMILIES
  )
  assert (qwen2.norm, qwen2.mlp) == ('rms', 'swiglu')
  for field in ('num_layers', 'model_dim', 'num_heads', 'vocab_size'):
    assert getattr(qwen2, field) == getattr(neox, field)
  sizes = [c.num_block_params for c in (neox, qwen2)]
  np.testing.assert_allclose(*sizes, rtol=0.05)
  for family in inputs.FAMILIES:
    _, pm = public_weights.read(folder / family / 'pm')
    assert set(pm) == {'embed', 'blocks', 'final_norm', 'score_head'}


def process(**checks):
  return {'units': 10, 'samples': [2.0, 1.0], 'checks': checks}


def test_sides_that_computed_different_things_end_the_run():
  same = process(losses=[1.0, 0.5], greedy=[[5, 6]])
  close = process(losses=[1.0001, 0.5])
  rows.check('job', same, close, 'float32')
  for other in ([1.1, 0.5], [1.0, 0.6], [1.0]):
    with pytest.raises(SystemExit, match='losses differs'):
      rows.check('job', same, process(losses=other), 'float32')
  # Whatever the peer tells is compared.
  with pytest.raises(SystemExit, match='the peer .*scores'):
    rows.check('job', same, process(losses=[1.0, 0.5], scores=[1]), 'float32')
  with pytest.raises(SystemExit, match='greedy differs'):
    rows.check('job', same, process(greedy=[[5, 7]]), 'float32')
  with pytest.raises(SystemExit, match='ours tells'):
    rows.check('job', same, process(), 'float32')
  for name in rows.DRAWN:
    drawn = process(**{name: [50.0]})
    rows.check('job', drawn, process(**{name: [45.0]}), 'float32')
    with pytest.raises(SystemExit, match=f'{name} differs'):
      rows.check('job', drawn, process(**{name: [30.0]}), 'float32')


def test_in_low_precision_greedy_text_may_part_but_late():
  ours = process(greedy=[[1, 2, 3, 4], [5, 6, 7, 8]])
  rows.check('job', ours, process(greedy=[[1, 2, 3, 9], [5, 9, 9, 9]]), BF16)
  with pytest.raises(SystemExit, match='greedy differs'):
    rows.check('job', ours, process(greedy=[[1, 2, 9, 9], [5, 9, 9, 9]]), BF16)
  low = process(losses=[1.0])
  rows.check('job', low, process(losses=[1.01]), BF16)
  with pytest.raises(SystemExit, match='losses differs'):
    rows.check('job', low, process(losses=[1.2]), BF16)


def setting(tmp_path, dtype=BF16):
  return run.Setting('nano0', VOCAB, dtype, 1, tmp_path, tmp_path)


def test_the_fastest_of_the_peers_ways_counts(folder):
  job = next(job for job in jobs_lib.JOBS if job.kind == 'sampling')
  comparison = next(row for row in job.comparisons if row.dtypes == (BF16,))

  def side(seconds, settings):
    return [
      {
        'units': 600.0,
        'samples': [seconds] * 2,
        'peak_gib': 2.0,
        'checks': {'mean_reply': [50.0]},
        'settings': settings,
        'parts': {},
      }
    ]

  found = {'ours/plain': side(1.0, 'ours')}
  for number, peer in enumerate(comparison.peers):
    found[f'peers/{peer}'] = side(4.0 - number, peer)
  row = rows.row_of(
    job, comparison, found, setting(folder), {'ours': 1e9, 'peers': 2e9}
  )
  assert row['settings_peer'] == comparison.peers[-1]
  assert (row['ours'], row['peer'], row['ratio']) == (600, 300, 2)
  assert row['memory_ratio'] == 1
  np.testing.assert_allclose(
    row['share_of_peak'], row['gflops_per_second'] / 2, rtol=1e-6
  )
  # A difference in any round counts.
  for name, sides in found.items():
    is_other = name == f'peers/{comparison.peers[0]}'
    checks = {'mean_reply': [9.0 if is_other else 50.0]}
    found[name] = [*sides, {**sides[0], 'checks': checks}]
  with pytest.raises(SystemExit, match='mean_reply differs'):
    rows.row_of(
      job, comparison, found, setting(folder), {'ours': 1e9, 'peers': 2e9}
    )


def test_results_go_on_where_they_were_at_the_same_commit(
  tmp_path, monkeypatch
):
  path = tmp_path / 'x.json'
  commit = ['abc']
  monkeypatch.setattr(
    results_lib.provenance, 'commit', lambda ignore: commit[0]
  )
  facts = {'texts': 'real', 'rounds': 3}
  results = results_lib.Results(path, facts)
  place = setting(tmp_path)
  row = {'size': 'nano0', 'vocab': VOCAB, 'dtype': BF16}
  results.add({'job': 'one', **row})
  again = results_lib.Results(path, facts)
  assert again.has('one', place)
  assert not again.has('two', place)
  assert not again.has('one', setting(tmp_path, 'float32'))
  assert not results_lib.Results(path, {**facts, 'rounds': 1}).has('one', place)
  for commit[0] in ('abd', 'abc+dirty'):
    with pytest.raises(SystemExit, match='move it away'):
      results_lib.Results(path, facts)


@pytest.mark.slow
@pytest.mark.parametrize('family', inputs.FAMILIES)
def test_our_checks_are_what_the_plain_network_says(folder, tmp_path, family):
  """The numbers that the sides compare, against a forward pass a reply."""
  result = measured(folder, tmp_path, 'ppo', family)
  lists = clock.read_lists(folder / 'comparisons.npz')
  prompt, reply = lists['prompts'][0], lists['chosen'][0][: SMALL['max_new']]
  log_probs = plain_logits(folder / family / 'policy', [*prompt, *reply])
  log_probs = jax.nn.log_softmax(log_probs)[len(prompt) - 1 : -1]
  own = np.take_along_axis(np.asarray(log_probs), reply[:, None], 1).mean()
  np.testing.assert_allclose(result['checks']['log_probs'][0], own, rtol=1e-4)


def plain_logits(place, ids):
  config, params = public_weights.read(place)
  params = jax.tree.map(jnp.asarray, params)
  ids = jnp.asarray([ids], jnp.int32)
  packed = ladder.rectangle(ids, jnp.asarray([ids.shape[1]], jnp.int32))
  hidden = jax.jit(ladder.forward, static_argnums=0)(
    ladder.build(config), params, packed
  ).hidden
  return (hidden @ heads.unembed_matrix(params).T)[0]


def test_the_peak_is_this_process_own():
  code = (
    'from benchmarks import clock\n'
    'before = clock.peak_gib()\n'
    'block = bytearray(b"x") * 2**28\n'
    'del block\n'
    'print(before, clock.peak_gib() - before)\n'
  )
  said = subprocess.check_output(
    [sys.executable, '-c', code], cwd=scripts.ROOT, text=True
  )
  before, more = map(float, said.split())
  assert before < 0.2  # not that of the process that started it
  np.testing.assert_allclose(more, 0.25, atol=0.02)


def test_rates_are_units_a_second_of_every_sample():
  np.testing.assert_allclose(rows.rate([process(), process()]), [5, 10, 5, 10])


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


def test_phases_end_where_the_next_begins():
  marks = clock.Marks(
    sampled=[5.0, 13.0], scored=[6.0, 15.0], updated=[0.0, 10.0, 16.0]
  )
  found = marks.result(warm_up=1)
  assert found['samples'].tolist() == [6.0]
  parts = {name: times.tolist() for name, times in found['parts'].items()}
  assert parts == {'sample': [3.0], 'score': [2.0], 'update': [1.0]}


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


def test_a_side_is_told_its_family():
  for job in jobs_lib.JOBS:
    for side in job.sides():
      assert job.fields_of(side) == {**job.fields, 'family': job.family}
  job = dataclasses.replace(jobs_lib.JOBS[0], peer_fields={'rows': 1})
  assert job.fields_of('ours/plain')['rows'] > 1
  told = {'rows': 1, 'family': inputs.NEOX}
  assert job.fields_of('peers/eager') == told
