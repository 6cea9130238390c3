"""Calibration of a preference model (Bai et al. 2022, §3.3, figure 9).

1. A model that scores two replies Δ apart claims to be right with probability
   σ(Δ) = 1 / (1 + e^-Δ)                                            (eq. 4.2)
2. Comparisons are sorted into bins by |Δ|; a calibrated model's accuracy in
   each bin is the mean of σ(|Δ|) there.
3. ECE is the mean distance of the two, weighted by the bins' counts. Noise
   adds to a distance: its variance is taken off the square of each bin's, once
   from the estimate and twice from a resample, which has noise of its own.
4. The confidence slope s fits P(right) = σ(s |Δ|): above 1 the model is
   under-confident (the paper's mixture model), below 1 over-confident.

Reference for 3: Kumar et al. 2019, Verified uncertainty calibration.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import scipy
from jaxtyping import Float, Int, Shaped

from hh_jax.stats import bootstrap

# A model that is right on every comparison has an infinite slope.
MAX_SLOPE = 100.0
_SLOPE_STEPS = 60  # bisection alone would reach 1e-16 of MAX_SLOPE


@dataclasses.dataclass(frozen=True)
class CalibrationCurve:
  """Accuracy against score gap; bins without comparisons are left out."""

  gap: Float[np.ndarray, 'Q']  # mean |Δ| of the bin, nats
  predicted: Float[np.ndarray, 'Q']  # mean of σ(|Δ|) in the bin
  accuracy: Float[np.ndarray, 'Q 3']  # [low, mid, high]
  count: Int[np.ndarray, 'Q']
  error: Float[np.ndarray, 'R']  # ECE, and on every resample after it

  @property
  def ece(self) -> Float[np.ndarray, '3']:
    """Expected calibration error, [low, mid, high]."""
    mid = float(self.error[0])
    low, _, high = bootstrap.percentile_interval(mid, self.error[1:], 0.95)
    return np.array([min(low, mid), mid, max(high, mid)])


def calibration_curve(
  gaps: Shaped[np.ndarray, 'N'],
  correct: Shaped[np.ndarray, 'N'],
  *,
  num_bins: int = 10,
  edges: Shaped[np.ndarray, 'E'] | None = None,
  clusters: Shaped[np.ndarray, 'N'] | None = None,
  num_resamples: int = 1000,
  seed: int | None = 0,
) -> CalibrationCurve:
  """Bins comparisons by score gap.

  Args:
    gaps: Score difference of the two replies; its sign is ignored.
    correct: Whether the reply scored higher was the chosen one; 0.5 for a tie.
    num_bins: Bins of about equal counts.
    edges: Ascending inner and outer bin edges in nats, instead of `num_bins`.
    clusters: Dialogue of every comparison.
    num_resamples: Resamples to draw.
    seed: Of the resamples; None draws the weights of each dialogue from its
      key, the cluster.

  Returns:
    The curve, its intervals and the expected calibration error.
  """
  gaps, correct = _checked(gaps, correct)
  bins = _bin(gaps, num_bins, edges)
  index = bootstrap.cluster_index(clusters, len(gaps))
  predicted = scipy.special.expit(gaps)
  columns = [np.ones_like(gaps), correct, predicted]
  size = (int(index.max()) + 1, int(bins.max()) + 1)
  totals = np.stack([_spread(index, bins, x, size) for x in columns], axis=1)
  count, hits, claims = totals.sum(0)
  keys = bootstrap.cluster_keys(clusters, len(gaps))
  draws = bootstrap.resampled_sums(
    totals.reshape(size[0], -1), num_resamples, seed, keys
  ).reshape(-1, 3, size[1])
  is_drawn = draws[:, 0] > 0
  accuracy = [
    bootstrap.percentile_interval(
      hits[b] / count[b],
      draws[is_drawn[:, b], 1, b] / draws[is_drawn[:, b], 0, b],
      0.95,
    )
    for b in range(size[1])
  ]
  return CalibrationCurve(
    gap=np.bincount(bins, gaps) / count,
    predicted=claims / count,
    accuracy=np.stack(accuracy),
    count=count.astype(np.int64),
    error=_error(totals.sum(0), draws),
  )


def _error(
  whole: Float[np.ndarray, '3 Q'], draws: Float[np.ndarray, 'R 3 Q']
) -> Float[np.ndarray, 'S']:
  """Mean distance of accuracy and claim, less what noise adds to it.

  Args:
    whole: Count, hits and claims of each bin.
    draws: The same of every resample.

  Returns:
    The error, then that of every resample.
  """
  tables = np.concatenate([whole[None], draws])
  counts = tables[:, 0]
  distance = (tables[:, 1] - tables[:, 2]) / np.maximum(counts, 1e-9)
  noise = np.array([1.0] + [2.0] * len(draws))[:, None] * distance[1:].var(0)
  distance = np.sqrt(np.maximum(distance**2 - noise, 0.0))
  return (counts * distance).sum(1) / counts.sum(1)


def confidence_slope(
  gaps: Shaped[np.ndarray, 'N'],
  correct: Shaped[np.ndarray, 'N'],
  *,
  clusters: Shaped[np.ndarray, 'N'] | None = None,
  num_resamples: int = 200,
  seed: int | None = 0,
) -> Float[np.ndarray, 'R']:
  """Slope of a logistic regression of being right on the gap, no intercept.

  Args:
    gaps: Score difference of the two replies; its sign is ignored.
    correct: Whether the reply scored higher was the chosen one; 0.5 for a tie.
    clusters: Dialogue of every comparison.
    num_resamples: Resamples to draw.
    seed: Of the resamples; None draws the weights of each dialogue from its
      key, the cluster.

  Returns:
    The slope, then that of every resample: above 1 under-confident, below 1
    over-confident, and `MAX_SLOPE` for a model that is never wrong.
  """
  gaps, correct = _checked(gaps, correct)
  if not (gaps > 0).any():
    raise ValueError(f'all {len(gaps)} gaps are 0: they have no slope')
  index = bootstrap.cluster_index(clusters, len(gaps))
  keys = bootstrap.cluster_keys(clusters, len(gaps))
  blocks = bootstrap.resample_weights(keys, num_resamples, seed)
  # One resample at a time: a block of counts spread over N comparisons would
  # not fit into memory.
  draws = [
    _slope(gaps, correct, row[index]) for counts in blocks for row in counts
  ]
  return np.array([_slope(gaps, correct, np.ones_like(gaps)), *draws])


def _checked(
  gaps: Shaped[np.ndarray, 'N'], correct: Shaped[np.ndarray, 'N']
) -> tuple[Float[np.ndarray, 'N'], Float[np.ndarray, 'N']]:
  gaps = np.abs(np.asarray(gaps, np.float64))
  correct = np.asarray(correct, np.float64)
  if gaps.shape != correct.shape or gaps.ndim != 1 or not gaps.size:
    raise ValueError(
      f'gaps of shape {gaps.shape} and correct of shape {correct.shape} are '
      'no two equal columns'
    )
  if not np.isfinite(gaps).all():
    raise ValueError(f'{(~np.isfinite(gaps)).sum()} gaps are not finite')
  return gaps, correct


def _bin(
  gaps: Float[np.ndarray, 'N'],
  num_bins: int,
  edges: Shaped[np.ndarray, 'E'] | None,
) -> Int[np.ndarray, 'N']:
  """Bin of every gap, numbered over the bins that hold any."""
  if edges is None:
    if num_bins < 1:
      raise ValueError(f'num_bins={num_bins} must be positive')
    inner = np.quantile(gaps, np.linspace(0, 1, num_bins + 1)[1:-1])
  else:
    inner = np.asarray(edges, np.float64)[1:-1]
    if (np.diff(edges) <= 0).any():
      raise ValueError(f'edges={list(edges)} do not ascend')
    if gaps.min() < edges[0] or gaps.max() > edges[-1]:
      raise ValueError(
        f'gaps up to {gaps.max():g} lie outside edges '
        f'[{edges[0]:g}, {edges[-1]:g}]'
      )
  bins = np.searchsorted(inner, gaps, side='right')
  return np.unique(bins, return_inverse=True)[1]


def _spread(
  rows: Int[np.ndarray, 'N'],
  columns: Int[np.ndarray, 'N'],
  values: Float[np.ndarray, 'N'],
  size: tuple[int, int],
) -> Float[np.ndarray, 'C Q']:
  flat = np.bincount(rows * size[1] + columns, values, size[0] * size[1])
  return flat.reshape(size)


def _slope(
  gaps: Float[np.ndarray, 'N'],
  correct: Float[np.ndarray, 'N'],
  weights: Float[np.ndarray, 'N'],
) -> float:
  """Newton's method inside a bracket that shrinks at every step."""
  low, high, slope = -MAX_SLOPE, MAX_SLOPE, 1.0
  for _ in range(_SLOPE_STEPS):
    chance = scipy.special.expit(slope * gaps)
    gradient = float((weights * gaps * (correct - chance)).sum())
    low, high = (slope, high) if gradient > 0 else (low, slope)
    curvature = float((weights * gaps**2 * chance * (1 - chance)).sum())
    newton = slope + gradient / curvature if curvature > 0 else np.inf
    previous = slope
    slope = newton if low < newton < high else (low + high) / 2
    if abs(slope - previous) < 1e-9:
      break
  return slope
