import jax
import numpy as np
import pytest

from hh_jax.training import keys


def bits(key):
  return tuple(np.asarray(jax.random.key_data(key)).tolist())


def test_keys_are_threefry_and_repeat():
  key = keys.fold(7, 'rlhf', 'sample', 3, 11)
  assert str(jax.random.key_impl(key)) == 'threefry2x32'
  assert bits(key) == bits(keys.fold(7, 'rlhf', 'sample', 3, 11))


def test_every_field_changes_the_key():
  made = [
    keys.fold(7, 'rlhf', 'sample', 3, 11),
    keys.fold(8, 'rlhf', 'sample', 3, 11),
    keys.fold(7, 'pm', 'sample', 3, 11),
    keys.fold(7, 'rlhf', 'order', 3, 11),
    keys.fold(7, 'rlhf', 'sample', 4, 11),
    keys.fold(7, 'rlhf', 'sample', 3, 12),
    keys.fold(7, 'rlhf', 'sample', 3),
    keys.fold(7, 'rlhf', 'sample'),
  ]
  assert len({bits(key) for key in made}) == len(made)


def test_example_ids_may_be_folded_later_and_under_jit():
  ids = jax.numpy.arange(4)
  key = keys.fold(0, 'rlhf', 'sample', 5)
  later = jax.jit(jax.vmap(lambda i: jax.random.fold_in(key, i)))(ids)
  for row, example_id in enumerate(ids):
    expected = keys.fold(0, 'rlhf', 'sample', 5, example_id)
    assert bits(later[row]) == bits(expected)


@pytest.mark.parametrize('seed', [-1, 2**32])
def test_seeds_that_jax_would_cut_are_refused(seed):
  with pytest.raises(ValueError, match=f'seed={seed}'):
    keys.fold(seed, 'pm', 'init')
