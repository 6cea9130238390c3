"""Outliers that were planted, and those that must not be found."""

import numpy as np
import pytest

from hh_jax.evals import ood

D = 8
# Helpful prompts vary together: two coordinates are nearly opposite.
MIX = np.eye(D)
MIX[:2, 1] = -0.995, 0.0999  # of variance one, as all others


def make(seed, *shape):
  return np.random.default_rng(seed).normal(size=shape)


def usual(seed, num):
  return make(seed, num, D) @ MIX


def test_distances_equal_the_formula():
  prompts, others = usual(0, 500), make(1, 20, D)
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
  detector = ood.Detector(usual(0, 2000))
  strange = make(1, 500, D)  # each coordinate as usual, not together
  np.testing.assert_allclose(strange.std(0), usual(2, 500).std(0), atol=0.12)
  method = getattr(detector, name)
  assert ood.auroc(method(usual(3, 500)), method(strange)) > 0.85
  same = ood.auroc(method(usual(4, 2000)), method(usual(5, 2000)))
  assert same == pytest.approx(0.5, abs=0.04)


def test_a_scale_alone_is_no_outlier_for_the_relative_distance():
  prompts = make(0, 3000, D)
  detector = ood.Detector(prompts)
  wide = 3 * make(1, 1000, D)
  helpful = make(2, 1000, D)
  plain = ood.auroc(detector.mahalanobis(helpful), detector.mahalanobis(wide))
  relative = ood.auroc(
    detector.relative_mahalanobis(helpful), detector.relative_mahalanobis(wide)
  )
  assert plain > 0.95
  assert relative < plain - 0.2


def test_a_few_examples_show_what_no_distance_sees():
  shift = np.zeros(D)
  shift[3] = 1.2
  helpful, harmful = make(1, 800, D), make(2, 800, D) + shift
  detector = ood.Detector(make(0, 1000, D))
  distance = ood.auroc(
    detector.mahalanobis(helpful), detector.mahalanobis(harmful)
  )
  found = []
  for count in (3, 200):
    shown = make(3, count, D) + shift
    found.append(
      ood.auroc(
        detector.exposed(shown, helpful), detector.exposed(shown, harmful)
      )
    )
  few, many = found
  assert many > 0.72 > distance
  assert many > few


def test_auroc_counts_pairs_and_ties_half():
  helpful, harmful = np.array([0.0, 1.0, 1.0]), np.array([1.0, 2.0])
  pairs = [(h > g) + 0.5 * (h == g) for h in harmful for g in helpful]
  assert ood.auroc(helpful, harmful) == pytest.approx(np.mean(pairs))


def test_resampled_areas_surround_the_plain_one():
  helpful, harmful = make(0, 300), make(1, 200) + 1.0
  singles = np.arange(300), np.arange(200)
  draws = ood.auroc_draws(helpful, harmful, *singles, 400)
  plain = ood.auroc(helpful, harmful)
  assert draws.mean() == pytest.approx(plain, abs=0.01)
  assert 0.01 < draws.std() < 0.04
  # Four prompts of a conversation that score alike are one observation.
  repeated = [np.repeat(x, 4) for x in (helpful, harmful, *singles)]
  again = ood.auroc_draws(*repeated, 400)
  np.testing.assert_allclose(again, draws)


def test_a_resample_is_the_area_by_its_weights():
  helpful, harmful = make(0, 30).round(1), make(1, 20).round(1)
  singles = np.arange(30), np.arange(20)
  draws = ood.auroc_draws(helpful, harmful, *singles, 5)
  beaten = harmful[:, None] > helpful
  beaten = beaten + 0.5 * (harmful[:, None] == helpful)
  usual, others = (ood._weights(own, 5) for own in singles)
  expected = np.einsum('rh,hu,ru->r', others, beaten, usual)
  expected /= usual.sum(1) * others.sum(1)
  np.testing.assert_allclose(draws, expected)
