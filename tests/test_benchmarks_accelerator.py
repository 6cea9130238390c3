"""The accelerator's jobs: goals, limits of chips, measures, what fits."""

import dataclasses

import numpy as np
import pytest

from benchmarks import (
  accelerator,
  clock,
  devices,
  environment,
  fit,
  inputs,
  sides,
)
from hh_jax.models import ladder
from hh_jax.planning import chips, flops

BF16 = 'bfloat16'
H200 = chips.CHIPS['NVIDIA H200']
GIB = 2**30


def device(kind='NVIDIA H200', memory=None):
  return devices.Device('gpu', kind, memory)


def setting(folder, size='13m', on=None, **changes):
  place = sides.Setting(
    size, 50_304, BF16, 1, folder, folder, on or device(), False
  )
  return dataclasses.replace(place, **changes)


def counter(size):
  config = inputs.model_config(size, 50_304)
  return flops.Counter(
    dataclasses.replace(config, compute_dtype=BF16, cache_dtype=BF16)
  )


def test_every_rung_has_goals():
  assert tuple(accelerator.GOALS) == accelerator.SIZES
  found = [
    (g.mfu, g.roofline, g.times_ideal, g.ppo)
    for g in accelerator.GOALS.values()
  ]
  assert found == [
    (0.25, 0.35, 3.0, 4.0),
    (0.30, 0.45, 2.7, 4.0),
    (0.38, 0.55, 2.3, 3.0),
    (0.45, 0.65, 2.2, 2.5),
    (0.48, 0.70, 2.2, None),
  ]
  assert set(accelerator.SIZES) <= set(ladder.LADDER)


def test_every_job_has_both_sides():
  names = [job.comparisons[0].name for job in accelerator.JOBS]
  assert len(set(names)) == len(names)
  for job in accelerator.JOBS:
    for side in job.sides():
      owner = side.partition('/')[0]
      module = f'benchmarks/{owner}/{job.module(owner)}.py'
      assert (environment.ROOT / module).is_file()
    assert job.family == inputs.NEOX  # Tunix runs on a CPU only


@pytest.mark.parametrize(
  ('size', 'microseconds'),
  [('13m', 205), ('42m', 459), ('197m', 1292), ('810m', 3419), ('2.7b', 8078)],
)
def test_memory_roofline_of_a_decoding_step(size, microseconds):
  """By hand: 2 bytes (N + V d) and 256 x 384 keys and values, 4.3 TB/s."""
  ops = counter(size)
  config = ops.config
  width = config.num_layers * config.model_dim
  weights = 2 * (12 * width * config.model_dim + 50_304 * config.model_dim)
  cache = 2 * 2 * width * 256 * 384
  read = ops.decode_bytes([383] * 256, 1, 256)
  np.testing.assert_allclose(read, weights + cache, rtol=1e-12)
  seconds = ops.decode_seconds([383] * 256, 1, 256, H200)
  np.testing.assert_allclose(seconds * 1e6, microseconds, rtol=0.01)


def test_a_step_reads_the_weights_once_whatever_the_batch():
  ops = counter('13m')
  weights = ops.decode_bytes([0], 1, 1) - ops.decode_bytes([0] * 2, 1, 2) / 2
  one, both = (ops.decode_bytes([10] * 4, 3, batch) for batch in (1, 4))
  np.testing.assert_allclose(one - both, 9 * 2 * weights, rtol=1e-12)


def test_operations_of_a_training_token():
  """The table of a 13M step on rows of 1,024: 0.243 GFLOP a token."""
  for size, giga in (('13m', 0.243), ('197m', 1.645), ('2.7b', 17.688)):
    found = counter(size).lm_step(1, 1024) / 1024 / 1e9
    np.testing.assert_allclose(found, giga, rtol=0.005)


def test_the_ideal_ppo_iteration():
  """512 prompts of 256 and replies of 256, one pass, a shared trunk."""
  ops = counter('13m')
  body = 2 * 12 * 4 * 512**2 * 512  # of one dialogue, without attention
  attention = 4 * 4 * 512 * 512 * 513 / 2
  head = 2 * 512 * 50_304 * 256
  prompt = body / 2 + 4 * 4 * 512 * 256 * 257 / 2
  per_reply = prompt + 3 * (body + attention) + head
  per_reply += 3 * (body + attention + head)
  steps = [
    2 * (12 * 4 * 512**2 + 50_304 * 512) + 512 * 2 * 2 * 4 * 512 * (256 + token)
    for token in range(1, 257)
  ]
  seconds = 512 * per_reply / (0.8 * 989.4e12) + sum(steps) / (0.9 * 4.8e12)
  found = ops.ppo_seconds([256] * 512, 256, True, H200)
  np.testing.assert_allclose(found, seconds, rtol=1e-9)
  np.testing.assert_allclose(found, 0.2, rtol=0.05)
  no_peak = dataclasses.replace(H200, bf16=0, tf32=None)
  ops = flops.Counter(inputs.model_config('13m', 50_304))
  assert ops.ppo_seconds([256], 256, True, no_peak) is None


def measured_row(**changes):
  row = {'ours': 1e6, 'gflops_per_second': 247_350.0, 'mean_reply': 256.0}
  return {**row, 'parts': {}, **changes}


def job_named(name):
  return next(j for j in accelerator.JOBS if j.comparisons[0].name == name)


def test_measures_of_training(tmp_path):
  place = setting(tmp_path, '42m')
  found = accelerator.measures(
    job_named('LM step'), 'plain', place, measured_row()
  )
  np.testing.assert_allclose(found['mfu'], 0.25)  # of 989.4 TFLOP/s
  assert (found['mfu_goal'], found['chip']) == (0.30, 'H200 SXM')
  assert found['roofline_share'] is found['times_ideal'] is None
  assert found['roofline_share_goal'] is found['times_ideal_goal'] is None


def write_prompts(folder):
  clock.write_lists(folder / 'comparisons.npz', prompts=[np.arange(100)] * 600)


def test_measures_of_decoding_and_ppo(tmp_path):
  write_prompts(tmp_path)
  place = setting(tmp_path)
  job = job_named('decoding, batch 256')
  ideal = counter('13m').decode_seconds([257] * 256, 255, 256, H200)
  rate = 256 * 256 / (2 * ideal + 0.01)
  row = measured_row(ours=rate, parts={'first': 0.01})
  found = accelerator.measures(job, 'plain', place, row)
  np.testing.assert_allclose(found['roofline_share'], 0.5)
  assert found['roofline_share_goal'] == 0.35
  assert found['tokens_per_second'] == rate
  assert found['mfu'] is None

  job = job_named('PPO iteration')
  ideal = counter('13m').ppo_seconds([255] * 512, 256, False, H200)
  row = measured_row(ours=512 / (3 * ideal))
  found = accelerator.measures(job, 'plain', place, row)
  np.testing.assert_allclose(found['times_ideal'], 3)
  assert found['times_ideal_goal'] == 3.0
  np.testing.assert_allclose(found['tokens_per_second'], 256 * row['ours'])
  less = accelerator.measures(job, 'shared', place, row)
  assert less['times_ideal'] > 3


def test_an_unknown_chip_has_no_limits(tmp_path):
  write_prompts(tmp_path)
  place = setting(tmp_path, on=device('a chip of next year'))
  assert place.device.is_accelerator
  assert place.device.memory is None
  for job in accelerator.JOBS:
    row = measured_row(parts={'first': 0.1})
    found = accelerator.measures(job, 'plain', place, row)
    for name in ('mfu', 'roofline_share', 'times_ideal'):
      assert found[name] is found[f'{name}_goal'] is None
  jobs, left_out = accelerator.plan(place)
  assert len(jobs) == len(accelerator.JOBS)
  assert not left_out


def test_chips():
  assert not devices.Device().is_accelerator
  assert devices.Device().chip is None
  assert device().chip == H200
  assert device(memory=7.0).memory == 7
  np.testing.assert_allclose(device().memory, 0.92 * 141e9)
  for chip in chips.CHIPS.values():
    assert 120e12 < chip.peak(BF16) < 1e15
    assert chip.peak('float32') in (None, chip.bf16 / 2)
    assert 0.8e12 <= chip.bandwidth < 5e12
    assert 16e9 < chip.memory < 150e9


@pytest.mark.parametrize('size', accelerator.SIZES)
def test_what_fits_needs_less_than_there_is(tmp_path, size):
  for memory in (80e9, 16e9):
    place = setting(tmp_path, size, device(memory=memory), has_peers=True)
    jobs, left_out = accelerator.plan(place)
    assert len(jobs) + len(left_out) == len(accelerator.JOBS)
    for job in jobs:
      (row,) = job.comparisons
      config = place.config_of(job.family)
      assert fit.need(job.kind, job.fields, row.ours, config) <= memory
      if row.peers:
        assert fit.peer_need(job.kind, job.peer_fields, config) <= memory
    for row in left_out:
      assert row['outcome'] == accelerator.DOES_NOT_FIT
      assert row['needs_gib'] > row['memory_gib'] == memory / GIB
      assert f'there are {memory / GIB:.0f}' in accelerator.told(row)


def test_small_rungs_run_whole_and_large_ones_in_parts(tmp_path):
  jobs, left_out = accelerator.plan(setting(tmp_path))
  assert not left_out
  assert [job.fields.get('remat', False) for job in jobs] == [False] * 6
  assert jobs[0].fields['rows'] == 128
  assert jobs[0].peer_fields['micro'] <= 128
  assert jobs[3].comparisons[0].goal == 4.0
  assert jobs[4].comparisons[0].peers == ()
  jobs, left_out = accelerator.plan(setting(tmp_path, '2.7b'))
  assert 8 <= jobs[0].fields['rows'] < 128
  # Two trained networks and two others of 2.9 billion parameters.
  assert 'PPO iteration' in [row['job'] for row in left_out]
  jobs, left_out = accelerator.plan(setting(tmp_path, '13b'))
  assert not jobs
  assert accelerator.summary(left_out) == '6 does not fit'


def test_peers_do_the_batch_of_ours_in_parts():
  for job in accelerator.JOBS:
    whole = job.fields
    for fields in fit.peer_choices(job.kind, whole):
      if job.kind == 'ppo':
        parts = whole['minibatches'] * fields['micro']
        assert fields['prompts'] % parts == 0
        assert fields['prompts'] % fields['rollout'] == 0
      elif job.kind != 'sampling':
        name = 'rows' if job.kind == 'lm' else 'pairs'
        assert fields[name] == whole[name]
        assert whole[name] % fields['micro'] == 0
    for fields in fit.choices(job.kind, whole):
      assert whole.keys() <= fields.keys()
      if job.kind == 'ppo':
        assert whole['prompts'] % fields['minibatches'] == 0


def test_prompts_of_one_length():
  lists = {'prompts': [np.arange(3), np.arange(4)]}
  assert len(clock.prompts_of(lists, {'prompts': 1})[0]) == 3
  cut = clock.prompts_of(lists, {'prompts': 2, 'prompt_length': 5})
  assert [x.tolist() for x in cut] == [[0, 1, 2, 0, 1], [2, 3, 0, 1, 2]]
