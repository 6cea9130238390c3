"""The √KL line, the Gao et al. forms and the parting of two PMs."""

import itertools
import math

import numpy as np
import pytest

from hh_jax.stats import frontier


def test_an_exact_line_is_recovered_on_its_range_only():
  kl = np.linspace(0, 5, 21) ** 2
  root = np.sqrt(kl)
  reward = np.where(root <= 3, -1.3 + 0.26 * root, 9.0)
  fit = frontier.fit_sqrt_kl(kl, reward, 0.0, 3.0)
  assert fit.slope == pytest.approx(0.26)
  assert fit.intercept == pytest.approx(-1.3)
  assert fit.r2 == pytest.approx(1)
  assert fit.num_points == 13
  assert frontier.fit_sqrt_kl(kl, reward, 0.0, 5.0).r2 < 0.9


def test_the_slope_interval_covers_the_truth():
  rng = np.random.default_rng(0)
  root = np.linspace(0, 3, 12)
  hits = 0
  for _ in range(200):
    reward = 0.5 * root + rng.normal(0, 0.2, 12)
    low, _, high = frontier.fit_sqrt_kl(root**2, reward, 0.0, 3.0).interval
    hits += low <= 0.5 <= high
  assert 0.9 <= hits / 200 <= 0.99


def test_a_slightly_negative_divergence_counts_as_none():
  fit = frontier.fit_sqrt_kl(
    np.array([-1e-4, 1.0, 4.0]), np.array([0.0, 1.0, 2.0]), 0.0, 3.0
  )
  assert fit.slope == pytest.approx(1)


def fit_one(form, root, gain):
  """α, β and R² of one set of points."""
  found = frontier.fit_form(form, root[None] ** 2, gain[None])
  return found.alpha[0], found.beta[0], found.r2[0]


def test_forms_of_overoptimisation():
  root = np.linspace(0, 6, 25)
  with np.errstate(divide='ignore', invalid='ignore'):
    gain = np.where(root > 0, root * (1.1 - 0.5 * np.log(root)), 0)
  rl, best = frontier.RL_FORM, frontier.BEST_OF_N_FORM
  assert fit_one(rl, root, gain) == pytest.approx((1.1, 0.5, 1.0))
  assert rl.peak(2.2) == pytest.approx(math.exp(1.1 / 0.5 - 1))
  bent = root * (0.9 - 0.1 * root)
  assert fit_one(best, root, bent) == pytest.approx((0.9, 0.1, 1.0))
  assert best.peak(9.0) == 4.5
  rising = root * (0.9 + 0.1 * root)
  assert fit_one(best, root, rising)[1] == pytest.approx(-0.1)


def test_many_fits_at_once_are_those_of_least_squares():
  rng = np.random.default_rng(0)
  roots = np.sort(rng.uniform(0.5, 3, size=(4, 9)), axis=1)
  gains = roots * (0.5 - 0.1 * roots) + rng.normal(scale=0.1, size=(4, 9))
  lines = frontier.fit_lines(roots, gains)
  fit = frontier.fit_form(frontier.BEST_OF_N_FORM, roots**2, gains)
  for row, (x, y) in enumerate(zip(roots, gains, strict=True)):
    alone = frontier.fit_sqrt_kl(x**2, y, 0.0, 9.0)
    found = lines.slope[row], lines.intercept[row], lines.r2[row]
    assert found == pytest.approx((alone.slope, alone.intercept, alone.r2))
    weights = np.linalg.lstsq(np.stack([x, -(x**2)], 1), y, rcond=None)[0]
    np.testing.assert_allclose([fit.alpha[row], fit.beta[row]], weights)
  with pytest.raises(ValueError, match='at one √KL'):
    frontier.fit_lines(np.ones((1, 3)), np.ones((1, 3)))


def test_best_of_n_divergence():
  values = [frontier.best_of_n_kl(n) for n in (1, 4, 16, 64)]
  assert values == pytest.approx([0, 0.636, 1.835, 3.175], abs=1e-3)
  with pytest.raises(ValueError, match='n=0'):
    frontier.best_of_n_kl(0)


def _band(values, reach=0.05):
  values = np.asarray(values, float)
  return np.stack([values - reach, values, values + reach], axis=1)


def test_parting_needs_disjoint_intervals_and_to_last():
  train = _band([0.0, 0.3, 0.7, 1.0, 1.3])
  assert frontier.parting_point(train, train) is None
  bent = _band([0.0, 0.3, 0.45, 0.5, 0.5])
  assert frontier.parting_point(train, bent) == 2
  recovers = _band([0.0, 0.3, 0.45, 0.5, 1.3])
  assert frontier.parting_point(train, recovers) is None
  assert frontier.parting_point(train, _band(bent[:, 1], 0.5)) == 4


@pytest.mark.parametrize(
  ('call', 'words'),
  [
    (
      lambda: frontier.fit_sqrt_kl(np.ones(4), np.ones(4), 0.0, 3.0),
      'three at different',
    ),
    (
      lambda: fit_one(frontier.RL_FORM, np.ones(3), np.ones(3)),
      'two different',
    ),
    (
      lambda: fit_one(frontier.BEST_OF_N_FORM, np.full(4, 2.0), np.ones(4)),
      'two different',
    ),
  ],
)
def test_errors_name_the_values(call, words):
  with pytest.raises(ValueError, match=words):
    call()


def test_unequal_columns_are_refused():
  with pytest.raises((ValueError, TypeError)):
    frontier.fit_sqrt_kl(np.ones(4), np.ones(3), 0.0, 3.0)
  with pytest.raises((ValueError, TypeError)):
    frontier.parting_point(np.ones((2, 3)), np.ones((3, 3)))


def test_a_paired_gap_that_opens_is_found_and_has_to_last():
  gap = _band([0.0, 0.02, 0.06, 0.1, 0.2], 0.05)
  assert frontier.parting_of_gap(gap) == 2
  assert frontier.parting_of_gap(gap[::-1]) is None  # it closes again
  assert frontier.parting_of_gap(_band([-0.2, -0.3])) is None
  assert frontier.parting_of_gap(_band([0.2, 0.3])) == 0


def test_the_range_of_the_line_is_half_of_what_was_reached():
  assert frontier.linear_range(np.array([0.0, 3.0, 2.0])) == (0.5, 1.5)


@pytest.mark.parametrize('n', [1, 2, 3, 5])
def test_best_of_n_weights_are_those_of_all_subsets(n):
  num = 5
  wins = np.zeros(num)
  subsets = list(itertools.combinations(range(num), n))
  for subset in subsets:
    wins[max(subset)] += 1
  weights = frontier.best_of_n_weights(num, n)
  np.testing.assert_allclose(weights, wins / len(subsets), atol=1e-12)
  with pytest.raises(ValueError, match=r'n=6 is outside \[1, 5\]'):
    frontier.best_of_n_weights(num, 6)


def test_best_of_n_of_uniform_samples_is_n_over_n_plus_one():
  scores = np.sort(np.random.default_rng(0).random((4000, 16)), axis=1)
  for n in (1, 4, 16):
    expected = (scores @ frontier.best_of_n_weights(16, n)).mean()
    assert expected == pytest.approx(n / (n + 1), abs=0.01)
