"""Runs on an accelerator: what fails is told, and a whole run on a CPU."""

import dataclasses
import json
import subprocess

import numpy as np
import pytest

from benchmarks import (
  accelerator,
  clock,
  devices,
  environment,
  rows,
  run,
  sides,
)
from hh_jax.planning import chips
from hh_jax.report import record
from hh_jax.training import provenance

VOCAB = 300
BF16 = 'bfloat16'
GIB = 2**30
TOY = chips.Chip('toy', bf16=1e12, bandwidth=1e11, memory=4 * GIB, tf32=1e12)
SMALL = {
  'rows': 2,
  'pairs': 4,
  'batches': 1,
  'prompts': 4,
  'slots': 4,
  'minibatches': 2,
  'prompt_length': 16,
  'max_new': 8,
  'repeats': 1,
}


@pytest.fixture
def setting(tmp_path):
  """An H200 whose inputs hold nothing but prompts."""
  clock.write_lists(
    tmp_path / 'comparisons.npz', prompts=[np.arange(100)] * 600
  )
  device = devices.Device('gpu', 'NVIDIA H200')
  return sides.Setting('13m', 65_536, BF16, 1, tmp_path, tmp_path, device, True)


def failed(stderr, code=1):
  done = subprocess.CompletedProcess([], code, '', stderr)
  return sides.ProcessFailed('ours/plain lm', done)


def test_an_end_of_memory_is_told_from_other_failures(capsys, setting):
  for stderr, code in (
    ('jax: RESOURCE_EXHAUSTED: Out of memory allocating 9 bytes', 1),
    ('torch.OutOfMemoryError: CUDA out of memory. Tried to', 1),
    ('', -9),
  ):
    assert failed(stderr, code).reason == sides.OUT_OF_MEMORY
  other = failed('Traceback\nKeyError: 3')
  assert other.reason == 'failed: KeyError: 3'
  assert 'KeyError: 3' in str(other)
  assert failed('', -11).reason == (
    'failed: ended by signal 11: no result, exit code -11'
  )
  assert failed('a warning', -6).reason == (
    'failed: ended by signal 6: a warning'
  )

  comparison = accelerator.JOBS[0].comparisons[0]
  row = run.failed_row(comparison, setting, {'ours/plain': sides.OUT_OF_MEMORY})
  assert row['outcome'] == 'out of memory'
  assert not rows.is_broken(row)
  rows.tell(row)
  said = capsys.readouterr().out
  assert said == (
    'LM step, 13m, bfloat16: out of memory; ours/plain out of memory\n'
  )
  assert rows.is_broken(
    run.failed_row(comparison, setting, {'ours/plain': 'failed: x'})
  )


def process(**checks):
  return {
    'units': 600.0,
    'samples': [1.0] * 2,
    'peak_gib': 2.0,
    'checks': {'mean_reply': [256.0], **checks},
    'settings': 'x',
    'parts': {'first': [0.1]},
  }


def test_a_run_goes_on_without_a_peer_that_failed(monkeypatch, setting):
  (job,) = (job for job in accelerator.JOBS if job.kind == 'sampling')

  def run_process(side, kind, fields, _):
    if side == 'peers/static':
      raise failed('CUDA out of memory')
    return process(greedy=[[5]] if side != 'peers/plain' else [[6]])

  monkeypatch.setattr(sides, 'run_process', run_process)
  found, failures = sides.run_job(job, setting)
  row = rows.row_of(
    job, job.comparisons[0], found, setting, {'ours': 1e12}, failures
  )
  assert row['ratio'] == 1  # beside autocast
  assert row['failures']['peers/static'] == sides.OUT_OF_MEMORY
  assert 'greedy differs' in row['failures']['peers/plain']
  assert rows.is_broken(row)

  cpu = dataclasses.replace(setting, device=devices.Device())
  with pytest.raises(SystemExit, match='out of memory'):
    sides.run_job(job, cpu)
  with pytest.raises(SystemExit, match='greedy differs'):
    rows.row_of(job, job.comparisons[0], found, cpu, {'ours': 1.0, 'peers': 1})


def test_the_platform_decides_about_drivers_and_peers(tmp_path):
  ours = environment.of_side(tmp_path, True, 'ppo', 'gpu')
  assert ours['JAX_PLATFORMS'] == 'cuda,cpu'
  assert ours[environment.PEER_DEVICE] == 'cuda'
  theirs = environment.of_side(tmp_path, False, 'ppo', 'cpu', ppo='other')
  assert theirs['PYTHONPATH'].split(':')[0] == 'other'
  assert theirs[environment.PEER_DEVICE] == 'cpu'
  with pytest.raises(SystemExit, match='no device'):
    devices.find('tpu')


@pytest.mark.slow
def test_the_whole_run_on_a_cpu_that_poses_as_an_accelerator(
  monkeypatch, tmp_path, capsys
):
  small = [
    dataclasses.replace(
      job,
      fields={
        **job.fields,
        **{name: SMALL[name] for name in SMALL.keys() & job.fields.keys()},
      },
    )
    for job in accelerator.JOBS[:4]  # the others are PPO again
  ]
  monkeypatch.setattr(accelerator, 'JOBS', tuple(small))
  monkeypatch.setattr(accelerator, 'PEAK', {'sizes': (128,), 'copied': 2**16})
  monkeypatch.setitem(chips.CHIPS, 'cpu', TOY)
  monkeypatch.setattr(provenance, 'commit', lambda ignore: 'abc')
  path = tmp_path / 'gpu.json'
  arguments = [
    '--platform=cpu',
    '--sizes=nano0,13b',
    f'--vocab={VOCAB}',
    '--sides=ours',
    '--rounds=1',
    '--data=',
    f'--record={path}',
  ]
  run.main(arguments)
  said = capsys.readouterr().out
  assert '4 measured, 4 does not fit' in said
  saved = json.loads(path.read_text())
  assert saved['hardware']['devices'] == {'cpu': 1}
  values = {row['job']: row for row in saved['values'][:4]}
  assert list(values) == [job.comparisons[0].name for job in small]
  for row in values.values():
    assert (row['size'], row['dtype'], row['chip']) == ('nano0', BF16, 'toy')
    assert row['peer'] is row['ratio'] is None
    assert row['copy'] > 0
    assert f'{BF16} caches' in row['settings']
  assert values['LM step']['mfu'] > 0
  assert values['PM training']['mfu'] > 0
  full = values['PPO iteration']
  assert full['times_ideal'] > 1
  assert 7 < full['mean_reply'] <= 8
  assert {row['outcome'] for row in saved['values'][4:]} == {'does not fit'}
  # All is done: the same command again measures nothing.
  run.main(arguments)
  assert json.loads(path.read_text()) == saved


def test_a_result_may_be_of_another_machine(tmp_path):
  path = record.write_result(
    tmp_path / 'x.json',
    [],
    command='x',
    seeds=[],
    seconds=1,
    machine={'cpu': 'a', 'devices': {'NVIDIA H200': 1}},
  )
  hardware = json.loads(path.read_text())['hardware']
  assert record.hardware_line(hardware) == 'a, 1 x NVIDIA H200'
