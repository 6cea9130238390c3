"""Order: batch t depends on (seed, stage, t) and nothing else."""

import numpy as np
import pytest

from hh_jax.data import order


def test_every_epoch_has_every_example_once():
  for epoch in range(3):
    ids = [order.batch_ids(0, 'pm', 3 * epoch + t, 10, 4) for t in range(3)]
    assert [len(batch) for batch in ids] == [4, 4, 2]
    assert sorted(np.concatenate(ids)) == list(range(10))


def test_random_access():
  forward = [order.batch_ids(1, 'pm', t, 50, 8) for t in range(20)]
  order._permutation.cache_clear()
  for t in (17, 3, 11):
    np.testing.assert_array_equal(
      order.batch_ids(1, 'pm', t, 50, 8), forward[t]
    )


def test_seed_stage_and_epoch_all_matter():
  orders = [
    order.permutation(0, 'pm', 0, 100),
    order.permutation(1, 'pm', 0, 100),
    order.permutation(0, 'rlhf', 0, 100),
    order.permutation(0, 'pm', 1, 100),
  ]
  assert len({tuple(ids) for ids in orders}) == 4


PINNED = [3, 7, 2, 4, 6, 5, 0, 1]


def test_the_first_ids_are_pinned():
  # Changes only if the generator or its keys change: old runs then cannot be
  # continued, so the change must be deliberate.
  assert order.permutation(0, 'pm', 0, 8).tolist() == PINNED


def test_groups_stay_together():
  groups = [0, 1, 2, 0, 1, 2, 0, 3]
  ids = np.concatenate(
    [order.grouped_batch_ids(5, 'pm', t, groups, 3) for t in range(3)]
  )
  assert sorted(ids) == list(range(8))
  labels = [groups[index] for index in ids]
  changes = sum(a != b for a, b in zip(labels, labels[1:]))
  assert changes == 3
  other = np.concatenate(
    [order.grouped_batch_ids(5, 'pm', t, groups, 3) for t in range(3, 6)]
  )
  assert other.tolist() != ids.tolist()


def test_generators_of_different_purposes_differ():
  draws = [
    order.generator(0, 'a', 0).random(),
    order.generator(0, 'a', 1).random(),
    order.generator(0, 'b', 0).random(),
    order.generator(1, 'a', 0).random(),
  ]
  assert len(set(draws)) == 4
  assert order.generator(0, 'a', 1).random() == draws[1]


def test_errors():
  assert len(order.permutation(0, 'pm', 0, 0)) == 0
  with pytest.raises(ValueError, match='no examples'):
    order.batch_ids(0, 'pm', 0, 0, 4)
  with pytest.raises(ValueError, match='t=-1'):
    order.batch_ids(0, 'pm', -1, 10, 4)
  with pytest.raises(ValueError, match='batch_size=0'):
    order.batch_ids(0, 'pm', 0, 10, 0)
  with pytest.raises(ValueError, match='seed=-1'):
    order.generator(-1, 'a')
