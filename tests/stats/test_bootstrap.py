"""Intervals against known coverage, hand counts and closed forms."""

import numpy as np
import pytest

from hh_jax.stats import bootstrap


def test_counts_sum_to_the_number_of_clusters_and_ignore_blocks(monkeypatch):
  whole = np.concatenate(list(bootstrap.resample_counts(7, 50, seed=3)))
  assert whole.shape == (50, 7)
  np.testing.assert_array_equal(whole.sum(1), 7)
  monkeypatch.setattr(bootstrap, '_MAX_CELLS', 7 * 11)
  blocks = list(bootstrap.resample_counts(7, 50, seed=3))
  assert [len(b) for b in blocks] == [11, 11, 11, 11, 6]
  np.testing.assert_array_equal(np.concatenate(blocks), whole)


def test_interval_matches_the_normal_approximation():
  values = np.random.default_rng(0).normal(2.0, 3.0, 2000)
  low, mid, high = bootstrap.mean_interval(values, num_resamples=4000)
  assert mid == pytest.approx(values.mean(), abs=1e-12)
  reach = 1.96 * values.std() / np.sqrt(2000)
  assert high - mid == pytest.approx(reach, rel=0.08)
  assert mid - low == pytest.approx(reach, rel=0.08)


def test_intervals_cover_the_truth_about_as_often_as_they_say():
  rng = np.random.default_rng(1)
  hits = 0
  for seed in range(200):
    values = rng.random(120) < 0.7
    low, _, high = bootstrap.mean_interval(values, None, seed, 300, level=0.9)
    hits += low <= 0.7 <= high
  assert 0.83 <= hits / 200 <= 0.96


def test_repeating_values_in_clusters_narrows_nothing():
  values = np.random.default_rng(2).normal(size=300)
  repeated, clusters = np.repeat(values, 9), np.repeat(np.arange(300), 9)
  alone = bootstrap.mean_interval(values, seed=5)
  clustered = bootstrap.mean_interval(repeated, clusters, seed=5)
  np.testing.assert_allclose(clustered, alone, atol=1e-12)
  naive = bootstrap.mean_interval(repeated, seed=5)
  assert np.ptp(naive) < 0.5 * np.ptp(clustered)


def test_clusters_may_be_named_and_weigh_by_their_size():
  values = np.array([1.0, 1.0, 1.0, 0.0])
  names = np.array(['a', 'a', 'a', 'b'])
  _, mid, _ = bootstrap.mean_interval(values, names)
  assert mid == 0.75


def test_same_seed_same_interval():
  values = np.arange(20.0)
  first = bootstrap.mean_interval(values, seed=1)
  np.testing.assert_array_equal(first, bootstrap.mean_interval(values, seed=1))
  assert not np.array_equal(first, bootstrap.mean_interval(values, seed=2))


@pytest.mark.parametrize(
  ('call', 'words'),
  [
    (lambda: bootstrap.mean_interval(np.array([])), 'no list of values'),
    (lambda: bootstrap.mean_interval(np.array([1, np.nan])), '1 of 2 values'),
    (lambda: bootstrap.mean_interval(np.ones(3), level=1.0), 'outside'),
  ],
)
def test_errors_name_the_values(call, words):
  with pytest.raises(ValueError, match=words):
    call()


def test_every_value_needs_a_cluster():
  with pytest.raises((ValueError, TypeError)):
    bootstrap.mean_interval(np.ones(3), np.ones(2))


def test_groups_are_averaged_each_in_the_order_asked():
  values = np.array([1.0, 2.0, 5.0, 7.0])
  groups = np.array(['b', 'a', 'b', 'a'])
  clusters = np.arange(4)
  found = bootstrap.mean_intervals(values, groups, clusters, ('a', 'c', 'b'))
  assert list(found) == ['a', 'b']
  for name, chosen in (('a', [1, 3]), ('b', [0, 2])):
    alone = bootstrap.mean_interval(values[chosen], clusters[chosen])
    assert found[name] == alone.tolist()


def test_a_table_resamples_every_quantity_as_it_would_alone():
  values = np.random.default_rng(3).normal(size=(3, 40))
  clusters = np.arange(40) // 3
  table = bootstrap.mean_table(values, clusters, 200)
  assert table.shape == (201, 3)
  np.testing.assert_allclose(table[0], values.mean(1), atol=1e-12)
  for place, row in enumerate(values):
    alone = bootstrap.mean_table(row[None], clusters, 200)
    np.testing.assert_allclose(table[:, [place]], alone, atol=1e-12)


def test_a_cluster_weighs_the_same_wherever_it_is_drawn():
  keys = np.array([7, -(2**62), 3])
  weights = bootstrap.keyed_weights(keys, 4000)
  again = bootstrap.keyed_weights(keys[::-1], 4000)
  np.testing.assert_array_equal(weights, again[:, ::-1])
  np.testing.assert_allclose(weights.mean(0), 1, atol=0.06)
  np.testing.assert_allclose(np.corrcoef(weights.T), np.eye(3), atol=0.06)
