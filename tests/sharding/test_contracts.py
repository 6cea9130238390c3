"""What compiled steps hold, exchange and leave behind on eight devices."""

import json
import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[2]
pytestmark = pytest.mark.slow

FSDP = ('(1, 2, 1)', '(1, 4, 1)', '(1, 8, 1)')
ALL = (*FSDP, '(2, 2, 2)')


@pytest.fixture(scope='module')
def results():
  env = {
    **os.environ,
    'JAX_PLATFORMS': 'cpu',
    'PYTHONPATH': str(ROOT),
    'XLA_FLAGS': '--xla_force_host_platform_device_count=8',
  }
  done = subprocess.run(
    [sys.executable, str(ROOT / 'tests/sharding/contracts.py')],
    env=env,
    capture_output=True,
    text=True,
    check=False,
  )
  assert done.returncode == 0, done.stderr[-2000:]
  return json.loads(done.stdout)


def update(results, mesh):
  return results['pretrain'][mesh]['update']


@pytest.mark.parametrize('mesh', ALL)
def test_no_logits_and_no_optimizer_state_are_gathered(results, mesh):
  assert update(results, mesh)['warnings'] == []


def test_a_step_that_gathers_them_is_told(results):
  told = '\n'.join(results['bad'])
  assert 'of logits, f32[1280, 1536]' in told
  assert 'all-gather of optimizer state' in told


@pytest.mark.parametrize('mesh', ALL)
def test_weights_are_gathered_and_gradients_summed(results, mesh):
  """Twice a layer and matrix at least; a CPU sums and cuts, a TPU scatters."""
  kinds = update(results, mesh)['collectives']
  layers, matrices = 2, 6
  assert kinds['all-gather']['number'] >= layers * matrices
  sums = kinds.get('all-reduce', {}).get('number', 0)
  sums += kinds.get('reduce-scatter', {}).get('number', 0)
  assert sums >= matrices


def test_state_falls_as_one_over_fsdp(results):
  """Norms alone are whole everywhere."""
  two, four, eight = (update(results, mesh)['memory'] for mesh in FSDP)
  for kind in ('weights', 'optimizer'):
    assert four[kind] == pytest.approx(two[kind] / 2, rel=0.03)
    assert eight[kind] == pytest.approx(two[kind] / 4, rel=0.06)


def test_temporaries_fall_with_the_rows_of_a_chip(results):
  two, four, eight = (update(results, mesh)['memory_total'] for mesh in FSDP)
  assert two > 1.3 * four > 1.3 * 1.3 * eight


@pytest.mark.parametrize('mesh', ALL)
def test_every_chip_does_its_part_of_the_work(results, mesh):
  row = update(results, mesh)
  assert row['useful_flops'] > 0.75
  assert row['flops_executed'] == pytest.approx(
    update(results, FSDP[0])['flops_executed']
    * (2 / 8 if mesh in ('(1, 8, 1)', '(2, 2, 2)') else 2 / int(mesh[4])),
    rel=0.05,
  )


@pytest.mark.parametrize('step', ['decode', 'update'])
def test_reinforcement_learning_gathers_neither(results, step):
  row = results['rlhf'][step]
  assert not [line for line in row['warnings'] if 'optimizer' in line]
  assert not [line for line in row['warnings'] if 'logits' in line]


def test_decoding_gathers_no_weights(results):
  """All that the chips of a row exchange are sums of the stream."""
  row = results['rlhf']['decode']
  gathered = row['collectives'].get('all-gather', {'bytes': 0})['bytes']
  assert gathered < 0.01 * row['memory']['decoding weights']


def test_a_step_is_traced_once_because_state_stays_where_it_was(results):
  assert results['traces'] == 1


def test_the_copy_to_decode_with_lies_where_the_plan_says(results):
  assert results['misplaced'] == []
