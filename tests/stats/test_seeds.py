"""Means over seeds, and intervals over seeds and items."""

import numpy as np
import pytest

from hh_jax.stats import bootstrap, scaling_law, seeds


def draw(seed, *shape, scale=1.0):
  return np.random.default_rng(seed).normal(scale=scale, size=shape)


def test_one_seed_is_the_plain_bootstrap():
  values = draw(0, 200)
  clusters = np.arange(200) // 4
  found = seeds.mean([values], [clusters]).interval()
  expected = bootstrap.mean_interval(values, clusters)
  np.testing.assert_allclose(found, expected)


def test_seeds_that_differ_widen_the_interval():
  same = [draw(seed, 400) for seed in range(4)]
  apart = [x + 2.0 * i for i, x in enumerate(same)]
  items = [np.arange(400)] * 4
  low, mid, high = seeds.mean(same, items).interval()
  far = seeds.mean(apart, items).interval()
  assert far[1] == pytest.approx(mid + 3.0)
  assert far[2] - far[0] > 5 * (high - low)


def test_equal_seeds_on_their_own_items_make_the_interval_narrower():
  # Without a spread between seeds the variance is that of items, over S.
  values = [draw(seed, 2000) for seed in range(4)]
  values = [(x - x.mean()) / x.std() for x in values]
  one = seeds.mean(values[:1], [np.arange(2000)], num_resamples=4000)
  four = seeds.mean(values, [np.arange(2000)] * 4, num_resamples=4000)
  ratio = four.draws.std() / one.draws.std()
  assert ratio == pytest.approx(0.5, rel=0.08)


def test_items_that_seeds_share_do_not_become_more():
  values = draw(0, 2000)
  items = [np.arange(2000)]
  one = seeds.mean([values], items).interval()
  four = seeds.mean([values] * 4, items * 4, has_same_items=True).interval()
  np.testing.assert_allclose(four, one)


def test_seeds_count_alike_whatever_they_measured():
  values = [np.zeros(10), np.ones(1000)]
  found = seeds.mean(values, [np.arange(10), np.arange(1000)])
  assert found.mid == 0.5


def test_a_difference_on_the_same_items_is_paired():
  base = draw(0, 500, scale=10.0)
  better = base + 1.0
  items = [np.arange(500)]
  gain = seeds.mean([better], items) - seeds.mean([base], items)
  np.testing.assert_allclose(gain.interval(), [1.0, 1.0, 1.0])


def test_the_law_is_recovered_with_its_interval():
  true = {'intercept': 0.7, 'per_ln_params': 0.01, 'per_ln_comparisons': 0.02}
  params, counts, found = [], [], []
  for p in (1e5, 1e6, 1e7):
    for d in (500, 2000, 8000):
      mid = (
        true['intercept']
        + true['per_ln_params'] * np.log(p / scaling_law.PARAMS)
        + true['per_ln_comparisons'] * np.log(d / scaling_law.COMPARISONS)
      )
      params.append(p)
      counts.append(d)
      found.append(seeds.Estimate(mid, mid + draw(len(found), 500, scale=0.01)))
  fitted = scaling_law.fit(params, counts, found)
  for name, value in true.items():
    low, mid, high = fitted[name]
    assert mid == pytest.approx(value, abs=1e-9)
    assert low < value < high
    assert high - low > 1e-3


def test_a_slope_over_one_size_is_refused():
  one = seeds.Estimate(0.5, np.full(10, 0.5))
  with pytest.raises(ValueError, match='num_params=.*at least two'):
    scaling_law.fit([1e6, 1e6], [100, 200], [one, one])


def test_a_statistic_of_one_seed_keeps_its_draws():
  table = draw(0, 501)
  found = seeds.joined([table])
  assert found.mid == table[0]
  np.testing.assert_array_equal(found.draws, table[1:])
  both = seeds.joined([table, table + 2.0])
  assert both.mid == pytest.approx(table[0] + 1.0)
  assert np.ptp(both.interval()) > 1.9  # the spread between the seeds
