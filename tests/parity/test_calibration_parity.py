"""Calibration against its definition."""

import math

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from hh_jax.stats import calibration
from tests.parity import cases, geometry, oracles


@hypothesis.given(
  hnp.arrays(np.float64, (40,), elements=st.floats(0, 3.9)),
  hnp.arrays(np.bool_, (40,)),
)
@hypothesis.settings(cases.parity_settings, max_examples=30)
def test_calibration_bins(gaps, correct):
  edges = np.array([0.0, 0.5, 1.0, 2.0, 4.0])
  hypothesis.assume(not np.isin(gaps, edges[1:]).any())
  # Of one dialogue every resample is the same: there is no noise to take off.
  curve = calibration.calibration_curve(
    gaps, correct, edges=edges, clusters=np.zeros(40, int), num_resamples=10
  )
  want = [
    b for b in geometry.calibration_bins(gaps, correct, edges) if b['count']
  ]
  np.testing.assert_array_equal(curve.count, [b['count'] for b in want])
  np.testing.assert_allclose(curve.gap, [b['gap'] for b in want], atol=1e-12)
  np.testing.assert_allclose(
    curve.accuracy[:, 1], [b['accuracy'] for b in want], atol=1e-12
  )
  held = [
    [oracles.sigmoid(g) for g in gaps if low <= g < high]
    for low, high in zip(edges[:-1], edges[1:], strict=True)
  ]
  predicted = [math.fsum(bin_) / len(bin_) for bin_ in held if bin_]
  np.testing.assert_allclose(curve.predicted, predicted, atol=1e-12)
  error = math.fsum(
    b['count'] * abs(b['accuracy'] - p)
    for b, p in zip(want, predicted, strict=True)
  ) / len(gaps)
  np.testing.assert_allclose(curve.ece[1], error, atol=1e-12)


@pytest.mark.parametrize('truth', [0.5, 1.0, 2.0])
def test_confidence_slope_solves_its_score_equation(truth):
  rng = np.random.default_rng(0)
  gaps = rng.exponential(1.0, 400)
  correct = rng.uniform(size=400) < [oracles.sigmoid(truth * g) for g in gaps]
  slope = calibration.confidence_slope(gaps, correct, num_resamples=5)[0]
  residual = math.fsum(
    g * (float(c) - oracles.sigmoid(slope * g))
    for g, c in zip(gaps, correct, strict=True)
  )
  # The likelihood of P(right) = σ(s Δ) is flat: Σ Δ (right - σ(s Δ)) = 0.
  assert abs(residual) < 1e-3 * len(gaps)
