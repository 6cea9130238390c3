"""Laws of reward against divergence from the initial policy.

1. For small changes of the policy the KL divergence is quadratic and the
   reward linear, so that reward rises with d = √KL (Bai et al. 2022, §4.3):
   R(d) = R(0) + slope · d.
2. Further on the gold reward bends over (Gao et al. 2022):
   R(d) - R(0) = d (α - β ln d) for RL and d (α - β d) for best-of-n.
3. The best of n samples has KL at most ln n - (n - 1) / n.
4. A policy over-optimises its preference model from where the train-PM's gain
   leaves that of a held-out PM for good (§4.2).
5. What the best of n samples is worth is estimated from k > n samples, over
   all subsets of n at once.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import scipy
from jaxtyping import Bool, Float, Shaped

# Range of √KL of the straight line, fixed before any result: from here to a
# share of the largest.
LINEAR_FROM = 0.5
LINEAR_SHARE = 0.5


@dataclasses.dataclass(frozen=True)
class SqrtKlFit:
  """A straight line through reward against √KL on a range."""

  slope: float  # reward per √nat
  intercept: float  # reward at KL 0
  r2: float  # share of the variance the line explains
  interval: Float[np.ndarray, '3']  # slope [low, mid, high], 95 %
  num_points: int


@dataclasses.dataclass(frozen=True)
class OveroptimisationFit:
  """Coefficients of a form of Gao et al. 2022, by least squares."""

  alpha: float  # gain per √nat at the start
  beta: float  # how fast it is lost
  r2: float
  peak: float  # √KL at which the fitted gain is largest; inf if it never falls


def fit_sqrt_kl(
  kl: Shaped[np.ndarray, 'N'],
  reward: Shaped[np.ndarray, 'N'],
  lo: float,
  hi: float,
) -> SqrtKlFit:
  """Fits R = R(0) + slope √KL to the points with lo <= √KL <= hi.

  The interval is the t interval of a regression: it takes the points to be
  independent, which snapshots of one run are not quite.

  Args:
    kl: Divergence from the initial policy, nats a response.
    reward: Preference-model or gold score.
    lo: Smallest √KL used.
    hi: Largest √KL used.

  Returns:
    The line, its R² and the interval of its slope.
  """
  root, reward = _points(kl, reward)
  is_used = (root >= lo) & (root <= hi)
  num_points = int(is_used.sum())
  if num_points < 3 or np.ptp(root[is_used]) == 0:
    raise ValueError(
      f'{num_points} of {len(root)} points lie at √KL in [{lo:g}, {hi:g}]: a '
      'line with an interval needs three at different √KL'
    )
  line = scipy.stats.linregress(root[is_used], reward[is_used])
  reach = scipy.stats.t.ppf(0.975, num_points - 2) * line.stderr
  return SqrtKlFit(
    slope=float(line.slope),
    intercept=float(line.intercept),
    r2=float(line.rvalue**2),
    interval=np.array([line.slope - reach, line.slope, line.slope + reach]),
    num_points=num_points,
  )


def fit_rl_form(
  kl: Shaped[np.ndarray, 'N'], gain: Shaped[np.ndarray, 'N']
) -> OveroptimisationFit:
  """Fits gain = d (α - β ln d), d = √KL, the form for RL.

  Args:
    kl: Divergence from the initial policy, nats; points at 0 say nothing.
    gain: Reward above that of the initial policy.

  Returns:
    α, β, R² and the peak at d = exp(α / β - 1).
  """
  root, gain = _points(kl, gain)
  root, gain = root[root > 0], gain[root > 0]
  alpha, beta, r2 = _two_terms(root, -root * np.log(root), gain)
  # Beyond e^700 the peak is as good as never, and float64 ends.
  falls = beta > 0 and alpha / beta < 700
  peak = math.exp(alpha / beta - 1) if falls else math.inf
  return OveroptimisationFit(alpha, beta, r2, peak)


def fit_best_of_n_form(
  kl: Shaped[np.ndarray, 'N'], gain: Shaped[np.ndarray, 'N']
) -> OveroptimisationFit:
  """Fits gain = d (α - β d), d = √KL, the form for best-of-n.

  Args:
    kl: Divergence from the initial policy, nats; see `best_of_n_kl`.
    gain: Reward above that of the initial policy.

  Returns:
    α, β, R² and the peak at d = α / 2β.
  """
  root, gain = _points(kl, gain)
  alpha, beta, r2 = _two_terms(root, -(root**2), gain)
  peak = alpha / (2 * beta) if beta > 0 else math.inf
  return OveroptimisationFit(alpha, beta, r2, peak)


def best_of_n_kl(n: int) -> float:
  """Bound on KL(best of n ‖ one sample) in nats, ln n - (n - 1) / n."""
  if n < 1:
    raise ValueError(f'n={n} must be at least 1')
  return math.log(n) - (n - 1) / n


def parting_point(
  train: Float[np.ndarray, 'N 3'], held_out: Float[np.ndarray, 'N 3']
) -> int | None:
  """Where the gain under the train-PM leaves that under the held-out PM.

  A gain is the score less that of the first point, which removes each PM's
  arbitrary offset. The two part where the intervals are disjoint, the
  train-PM's above, there and at every later point.

  Args:
    train: Gain `[low, mid, high]` of the policy over training, train-PM.
    held_out: The same under a PM that was not trained against.

  Returns:
    Index of the first such point, or None if they never part.
  """
  train, held_out = np.asarray(train), np.asarray(held_out)
  if train.shape != held_out.shape or train.shape[-1:] != (3,):
    raise ValueError(
      f'{train.shape} and {held_out.shape} are not two equal lists of intervals'
    )
  return _first_for_good(train[:, 0] > held_out[:, 2])


def parting_of_gap(gap: Float[np.ndarray, 'N 3']) -> int | None:
  """Where the gain under the train-PM leaves that under the test-PM, paired.

  As `parting_point`, for the difference of both gains on the same replies,
  which is known far better than either. Where the two do not part, a single
  end point that seems apart by chance (2.5 %) is the only way to an answer.

  Args:
    gap: Train-PM's gain less the test-PM's, `[low, mid, high]`, over training.

  Returns:
    Index of the first point from which on every interval lies above 0, or
    None.
  """
  return _first_for_good(gap[:, 0] > 0)


def linear_range(root: Shaped[np.ndarray, 'N']) -> tuple[float, float]:
  """Lowest and highest √KL of the straight line through a run's points."""
  return LINEAR_FROM, LINEAR_SHARE * float(np.max(root))


def best_of_n_weights(num_samples: int, n: int) -> Float[np.ndarray, 'K']:
  """Chance of each of k samples to be the best of n drawn among them.

  The mean, so weighted, of any quantity of the samples is its expectation for
  the best of n, estimated from all subsets of n: C(i, n - 1) / C(k, n) for
  the sample that i others are below.

  Args:
    num_samples: k, at least n.
    n: How many are drawn, without replacement.

  Returns:
    Weights [k], for samples sorted by ascending score.
  """
  if not 1 <= n <= num_samples:
    raise ValueError(f'n={n} is outside [1, {num_samples}], the samples')
  below = np.arange(num_samples)
  return scipy.special.comb(below, n - 1) / scipy.special.comb(num_samples, n)


def _first_for_good(is_apart: Bool[np.ndarray, 'N']) -> int | None:
  """First place from which on all are true, or None."""
  together = np.flatnonzero(~is_apart)
  first = int(together[-1]) + 1 if together.size else 0
  return first if first < len(is_apart) else None


def _points(
  kl: Shaped[np.ndarray, 'N'], reward: Shaped[np.ndarray, 'N']
) -> tuple[Float[np.ndarray, 'N'], Float[np.ndarray, 'N']]:
  kl, reward = np.asarray(kl, np.float64), np.asarray(reward, np.float64)
  if kl.shape != reward.shape or kl.ndim != 1:
    raise ValueError(
      f'kl of shape {kl.shape} and reward of shape {reward.shape} are no '
      'points of one curve'
    )
  # An estimate of a divergence near 0 may come out below it.
  return np.sqrt(np.maximum(kl, 0)), reward


def _two_terms(
  first: Float[np.ndarray, 'N'],
  second: Float[np.ndarray, 'N'],
  gain: Float[np.ndarray, 'N'],
) -> tuple[float, float, float]:
  features = np.stack([first, second], axis=1)
  if np.linalg.matrix_rank(features) < 2:
    raise ValueError(
      f'{len(gain)} points do not fix α and β: two different √KL are needed'
    )
  weights, *_ = np.linalg.lstsq(features, gain, rcond=None)
  residual = ((gain - features @ weights) ** 2).sum()
  spread = ((gain - gain.mean()) ** 2).sum()
  r2 = float(1 - residual / spread) if spread > 0 else 1.0
  return float(weights[0]), float(weights[1]), r2
