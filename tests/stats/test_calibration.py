"""Calibration of simulated models whose confidence is known."""

import numpy as np
import pytest

from hh_jax.stats import bootstrap, calibration


def _simulated(slope, num=20_000, seed=0):
  rng = np.random.default_rng(seed)
  gaps = np.abs(rng.normal(0, 1.5, num))
  return gaps, rng.random(num) < 1 / (1 + np.exp(-slope * gaps))


def test_a_calibrated_model_lies_on_the_logistic_line():
  gaps, correct = _simulated(1.0)
  curve = calibration.calibration_curve(gaps, correct, num_bins=8)
  np.testing.assert_array_equal(curve.count, 2500)
  np.testing.assert_allclose(curve.accuracy[:, 1], curve.predicted, atol=0.03)
  assert curve.ece[1] < 0.015
  assert (np.diff(curve.gap) > 0).all()
  assert (np.diff(curve.accuracy, axis=1) > 0).all()


def _interval(table):
  return bootstrap.percentile_interval(table[0], table[1:], 0.95)


@pytest.mark.parametrize('slope', [0.4, 1.0, 1.8])
def test_slope_recovers_the_confidence(slope):
  low, mid, high = _interval(
    calibration.confidence_slope(*_simulated(slope), num_resamples=60)
  )
  assert low < slope < high
  assert mid == pytest.approx(slope, abs=0.08)


def test_ece_of_a_hand_made_bin():
  gaps = np.full(4, np.log(3))  # claims 0.75
  curve = calibration.calibration_curve(
    gaps,
    np.array([1, 1, 0, 0]),
    edges=np.array([0.0, 2.0]),
    clusters=np.zeros(4, int),  # of one dialogue: no noise to take off
  )
  assert curve.ece[1] == pytest.approx(0.25)
  np.testing.assert_allclose(curve.predicted, [0.75])


def test_noise_alone_is_no_calibration_error():
  """Ten bins of 100 are off by 0.03 on average when nothing is wrong."""
  curves = [
    calibration.calibration_curve(*_simulated(1.0, 1000, s), num_resamples=100)
    for s in range(8)
  ]
  plain = [
    (np.abs(c.accuracy[:, 1] - c.predicted) * c.count).sum() / 1000
    for c in curves
  ]
  assert np.mean(plain) > 0.03
  assert np.mean([c.ece[1] for c in curves]) < 0.6 * np.mean(plain)
  assert all(c.ece[0] < 0.01 for c in curves)


def test_ece_interval_holds_the_ece_of_a_miscalibrated_model():
  low, mid, high = calibration.calibration_curve(*_simulated(0.3, 4000)).ece
  assert 0.1 < low < mid < high


def test_sign_of_the_gap_is_ignored_and_empty_bins_are_left_out():
  gaps, correct = _simulated(1.0, 500)
  edges = np.array([0.0, 1.0, 50.0, 60.0])
  plain = calibration.calibration_curve(gaps, correct, edges=edges)
  flipped = calibration.calibration_curve(-gaps, correct, edges=edges)
  assert len(plain.count) == 2
  np.testing.assert_array_equal(plain.accuracy, flipped.accuracy)


def test_clusters_widen_the_intervals():
  gaps, correct = _simulated(1.0, 300)
  repeated = np.repeat(gaps, 6), np.repeat(correct, 6)
  clusters = np.repeat(np.arange(300), 6)
  naive = calibration.calibration_curve(*repeated, num_bins=2)
  sound = calibration.calibration_curve(
    *repeated, num_bins=2, clusters=clusters
  )
  assert (
    np.ptp(naive.accuracy, axis=1) < 0.7 * np.ptp(sound.accuracy, axis=1)
  ).all()
  wide = _interval(
    calibration.confidence_slope(*repeated, clusters=clusters, num_resamples=80)
  )
  narrow = _interval(calibration.confidence_slope(*repeated, num_resamples=80))
  assert np.ptp(narrow) < 0.7 * np.ptp(wide)


def test_slope_of_a_perfect_and_of_a_wrong_model_is_bounded():
  gaps = np.linspace(0.1, 2, 50)
  right = calibration.confidence_slope(gaps, np.ones(50), num_resamples=5)
  wrong = calibration.confidence_slope(gaps, np.zeros(50), num_resamples=5)
  np.testing.assert_allclose(right, calibration.MAX_SLOPE, rtol=1e-6)
  np.testing.assert_allclose(wrong, -calibration.MAX_SLOPE, rtol=1e-6)


@pytest.mark.parametrize(
  ('gaps', 'correct', 'options', 'words'),
  [
    ([np.inf], [1], {}, 'not finite'),
    ([1.0], [1], {'num_bins': 0}, 'num_bins=0'),
    ([1.0], [1], {'edges': np.array([0.0, 0.0])}, 'ascend'),
    ([3.0], [1], {'edges': np.array([0.0, 2.0])}, 'outside edges'),
  ],
)
def test_errors_name_the_values(gaps, correct, options, words):
  with pytest.raises(ValueError, match=words):
    calibration.calibration_curve(np.array(gaps), np.array(correct), **options)


def test_no_slope_without_gaps():
  with pytest.raises(ValueError, match='all 3 gaps are 0'):
    calibration.confidence_slope(np.zeros(3), np.ones(3))


def test_unequal_columns_are_refused():
  with pytest.raises((ValueError, TypeError)):
    calibration.confidence_slope(np.ones(3), np.ones(2))
