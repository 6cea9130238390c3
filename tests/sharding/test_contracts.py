"""What compiled steps hold, exchange and leave behind on eight devices."""

import pytest

from tests.sharding import devices

pytestmark = pytest.mark.slow

FSDP = ('(1, 2, 1)', '(1, 4, 1)', '(1, 8, 1)')
ALL = (*FSDP, '(2, 2, 2)')


@pytest.fixture(scope='module')
def results():
  return devices.run('contracts.py')


def update(results, mesh):
  return results['pretrain'][mesh]['update']


@pytest.mark.parametrize('mesh', ALL)
def test_no_logits_and_no_optimizer_state_are_gathered(results, mesh):
  assert update(results, mesh)['warnings'] == []


def test_a_step_that_gathers_them_is_told(results):
  told = '\n'.join(results['bad'])
  assert 'of logits, f32[1280, 1536]' in told
  assert 'all-gather of optimizer state, f32[2, 64, 192]' in told


@pytest.mark.parametrize('mesh', FSDP)
def test_weights_are_gathered_and_gradients_summed_once(results, mesh):
  """Layer by layer, in the forward and in the backward pass.

  A CPU sums whole gradients, of which a chip then keeps its part; a TPU
  scatters them (`golden/loop.hlo`).
  """
  row, size = update(results, mesh), int(mesh[4])
  kinds = row['collectives']
  layers, matrices = 2, 6
  assert kinds['all-gather']['number'] >= 2 * layers * matrices
  gradients = 4 * row['parameters']
  others = (size - 1) / size
  summed = kinds['all-reduce']['bytes'] / (2 * others)
  assert summed == pytest.approx(gradients, rel=0.02)


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
def test_no_chip_does_the_work_of_another(results, mesh):
  assert 0.95 < update(results, mesh)['useful_flops'] <= 1


@pytest.mark.parametrize('step', ['decode', 'update'])
def test_reinforcement_learning_gathers_neither(results, step):
  row = results['rlhf'][step]
  assert not [line for line in row['warnings'] if 'optimizer' in line]
  assert not [line for line in row['warnings'] if 'logits' in line]


def test_decoding_gathers_no_weights(results):
  """A token gathers less than a tenth of what any half of them would be."""
  row, new_tokens = results['rlhf']['decode'], 16
  gathered = row['collectives']['all-gather']['bytes'] / new_tokens
  assert 0 < gathered < 0.05 * row['memory']['decoding weights']


def test_an_update_leaves_state_where_it_was(results):
  """So that a stage compiles its update once for each shape of a batch."""
  assert results['moved'] == []


def test_the_copy_to_decode_with_lies_where_the_plan_says(results):
  assert results['misplaced'] == []
