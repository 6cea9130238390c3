"""Outliers that were planted, and those that must not be found."""

import numpy as np
import pytest

from hh_jax.evals import ood

RNG = np.random.default_rng(0)
D = 8
# Helpful prompts vary together: the sum of two coordinates hardly changes.
MIX = np.eye(D)
MIX[1] = -MIX[0] + 0.05 * MIX[1]


def usual(num):
  return RNG.normal(size=(num, D)) @ MIX


def test_distances_equal_the_formula():
  prompts, others = usual(500), RNG.normal(size=(20, D))
  detector = ood.Detector(prompts)
  away = others - prompts.mean(0)
  sigma = np.cov(prompts.T, bias=True)
  whole = np.einsum('nd,de,ne->n', away, np.linalg.inv(sigma), away)
  np.testing.assert_allclose(detector.mahalanobis(others), whole, rtol=1e-6)
  diagonal = (away**2 / np.diag(sigma)).sum(1)
  np.testing.assert_allclose(
    detector.relative_mahalanobis(others), whole - diagonal, rtol=1e-6
  )


@pytest.mark.parametrize('name', ['mahalanobis', 'relative_mahalanobis'])
def test_a_broken_correlation_is_found_and_the_usual_is_not(name):
  detector = ood.Detector(usual(2000))
  strange = RNG.normal(size=(500, D))  # each coordinate as usual, not together
  method = getattr(detector, name)
  assert ood.auroc(method(usual(500)), method(strange)) > 0.95
  same = ood.auroc(method(usual(2000)), method(usual(2000)))
  assert same == pytest.approx(0.5, abs=0.04)


def test_a_scale_alone_is_no_outlier_for_the_relative_distance():
  prompts = RNG.normal(size=(3000, D))
  detector = ood.Detector(prompts)
  wide = 3 * RNG.normal(size=(1000, D))
  helpful = RNG.normal(size=(1000, D))
  plain = ood.auroc(detector.mahalanobis(helpful), detector.mahalanobis(wide))
  relative = ood.auroc(
    detector.relative_mahalanobis(helpful), detector.relative_mahalanobis(wide)
  )
  assert plain > 0.95
  assert relative < plain - 0.2


def test_a_few_examples_show_what_no_distance_sees():
  prompts = RNG.normal(size=(1000, D))
  shift = np.zeros(D)
  shift[3] = 1.2
  helpful, harmful = RNG.normal(size=(2, 800, D))
  harmful = harmful + shift
  detector = ood.Detector(prompts)
  distance = ood.auroc(
    detector.mahalanobis(helpful), detector.mahalanobis(harmful)
  )
  few, many = (
    ood.auroc(
      detector.exposed(RNG.normal(size=(count, D)) + shift, helpful),
      detector.exposed(RNG.normal(size=(count, D)) + shift, harmful),
    )
    for count in (3, 200)
  )
  assert many > 0.75 > distance
  assert many > few


def test_auroc_counts_pairs_and_ties_half():
  helpful, harmful = np.array([0.0, 1.0, 1.0]), np.array([1.0, 2.0])
  pairs = [(h > g) + 0.5 * (h == g) for h in harmful for g in helpful]
  assert ood.auroc(helpful, harmful) == pytest.approx(np.mean(pairs))


def test_resampled_areas_surround_the_plain_one():
  helpful = RNG.normal(size=300)
  harmful = RNG.normal(size=200) + 1.0
  draws = ood.auroc_draws(helpful, harmful, 400, 0)
  plain = ood.auroc(helpful, harmful)
  assert draws.mean() == pytest.approx(plain, abs=0.01)
  assert 0.01 < draws.std() < 0.04
