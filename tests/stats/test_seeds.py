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
  assert found[1] == pytest.approx(expected[1])
  np.testing.assert_allclose(found, expected, atol=0.1 * np.ptp(expected))


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
  four = seeds.mean([values] * 4, items * 4).interval()
  np.testing.assert_allclose(four, one, atol=0.05 * np.ptp(one))


def test_what_seeds_share_is_known_by_its_key_not_by_its_place():
  """Half of the items of the second seed are those of the first."""
  rng = np.random.default_rng(0)
  values = dict(enumerate(rng.normal(size=6000)))
  first, second = np.arange(4000), np.arange(2000, 6000)
  rng.shuffle(second)
  own = [np.array([values[i] for i in items]) for items in (first, second)]
  found = seeds.mean(own, [first, second], num_resamples=2000)
  # Var of (A + 2 B + C) / 8000 with 2,000 items in each part.
  assert found.draws.std() == pytest.approx((6 * 2000) ** 0.5 / 8000, rel=0.08)


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
      noise = draw(len(found), 500, scale=0.01)
      found.append(seeds.over_seeds([mid], mid + noise[None]))
  fitted = scaling_law.fit(params, counts, found)
  for name, value in true.items():
    low, mid, high = fitted[name]
    assert mid == pytest.approx(value, abs=1e-9)
    assert low < value < high
    assert high - low > 1e-3


def test_a_slope_over_one_size_is_refused():
  one = seeds.Estimate(np.full((1, 10), 0.5))
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


def measured(rng, num_seeds, between, own, shared, num_resamples=200):
  """What seeds find of a truth of 0, by the sizes of three kinds of noise."""
  common = shared * rng.normal(size=(1, num_resamples + 1))
  apart = own * rng.normal(size=(num_seeds, num_resamples + 1))
  found = (
    between * rng.normal(size=(num_seeds, 1)) + apart[:, :1] + common[:, :1]
  )
  table = found + common + apart
  table[:, :1] = found
  return seeds.Estimate(table)


@pytest.mark.parametrize('num_seeds', [2, 3, 5])
@pytest.mark.parametrize(
  'between, own, shared',
  [(1.0, 0.1, 0.0), (1.0, 0.0, 0.7), (0.3, 1.0, 0.0), (0.0, 0.3, 1.0)],
)
def test_few_seeds_cover_the_truth_as_often_as_they_say(
  num_seeds, between, own, shared
):
  rng = np.random.default_rng(0)
  hits = 0
  for _ in range(300):
    low, _, high = measured(rng, num_seeds, between, own, shared).interval()
    hits += low <= 0 <= high
  assert 0.92 <= hits / 300 <= 1.0


@pytest.mark.parametrize('num_seeds', [1, 3, 5])
def test_seeds_that_agree_do_not_widen_what_items_leave_open(num_seeds):
  """With nothing between seeds, items they share say as much as of one."""
  rng = np.random.default_rng(0)
  widths = [
    np.ptp(measured(rng, num_seeds, 0.0, 0.0, 1.0).interval())
    for _ in range(50)
  ]
  assert np.mean(widths) == pytest.approx(2 * 1.96, rel=0.1)


def test_a_share_is_as_uncertain_as_fieller_says():
  rng = np.random.default_rng(0)
  noise = rng.normal(size=(2, 1, 4000))
  whole = seeds.over_seeds([2.0], 2 + 0.5 * noise[0])
  part = seeds.over_seeds([1.0], 1 + 0.2 * noise[1])
  low, mid, high = seeds.ratio(part, whole)
  # (1 - 2 x)² = 1.96² (0.2² + 0.5² x²)
  ends = np.roots([4 - 1.96**2 * 0.25, -4, 1 - 1.96**2 * 0.04])
  assert mid == 0.5
  np.testing.assert_allclose([low, high], sorted(ends), rtol=0.06)


def test_there_is_no_share_of_what_may_be_nothing():
  part = seeds.over_seeds([0.5], np.full((1, 10), 0.5))
  sure = seeds.over_seeds([2.0], np.full((1, 10), 2.0))
  np.testing.assert_allclose(seeds.ratio(part, sure), 0.25)
  assert (
    seeds.ratio(part, seeds.over_seeds([0.1], np.linspace([-1], 1, 10).T))
    is None
  )
