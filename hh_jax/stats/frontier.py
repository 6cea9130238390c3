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
from collections.abc import Callable

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
class Lines:
  """Straight lines through many sets of points."""

  slope: Float[np.ndarray, 'Q']
  intercept: Float[np.ndarray, 'Q']
  r2: Float[np.ndarray, 'Q']  # 0 where nothing varies


@dataclasses.dataclass(frozen=True)
class Form:
  """A form of Gao et al. 2022: gain = α d + β · bend(d), d = √KL."""

  name: str
  bend: Callable[[np.ndarray], np.ndarray]
  peak: Callable[[float], float]  # √KL of the largest gain, from α / β


@dataclasses.dataclass(frozen=True)
class FormFit:
  """Coefficients of a form by least squares, a set of points an entry."""

  alpha: Float[np.ndarray, 'Q']  # gain per √nat at the start
  beta: Float[np.ndarray, 'Q']  # how fast it is lost
  r2: Float[np.ndarray, 'Q']


RL_FORM = Form(
  'RL: d (α − β ln d)',
  lambda root: -scipy.special.xlogy(root, root),
  lambda share: float(np.exp(min(share - 1, 700.0))),  # float64 ends there
)
BEST_OF_N_FORM = Form(
  'best of n: d (α − β d)', lambda root: -(root**2), lambda share: share / 2
)


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


def fit_lines(
  roots: Float[np.ndarray, 'Q N'], rewards: Float[np.ndarray, 'Q N']
) -> Lines:
  """Fits R = R(0) + slope √KL to every row of points."""
  away = roots - roots.mean(1, keepdims=True)
  above = rewards - rewards.mean(1, keepdims=True)
  spread, rise = (away**2).sum(1), (away * above).sum(1)
  if len(roots[0]) < 2 or not (spread > 0).all():
    raise ValueError(
      f'{len(roots[0])} points at one √KL fix no line; two different are needed'
    )
  slope = rise / spread
  total = (above**2).sum(1)
  explained = np.divide(
    slope * rise, total, out=np.zeros_like(total), where=total > 0
  )
  return Lines(slope, rewards.mean(1) - slope * roots.mean(1), explained)


def fit_form(
  form: Form, kl: Shaped[np.ndarray, 'Q N'], gain: Shaped[np.ndarray, 'Q N']
) -> FormFit:
  """Fits α and β of a form to every row of points.

  Args:
    form: `RL_FORM` or `BEST_OF_N_FORM`.
    kl: Divergence from the initial policy, nats; see `best_of_n_kl`.
    gain: Reward above that of the initial policy.
  """
  root, gain = _points(kl, gain)
  bend = form.bend(root)
  squares, bends = (root**2).sum(1), (bend**2).sum(1)
  both = (root * bend).sum(1)
  # What is left of 1 - cos² of two equal directions is rounding.
  size = squares * bends - both**2
  if not (size > 1e-12 * squares * bends).all():
    raise ValueError(
      f'{gain.shape[1]} points do not fix α and β: two different √KL are needed'
    )
  rise, fall = (root * gain).sum(1), (bend * gain).sum(1)
  alpha = (bends * rise - both * fall) / size
  beta = (squares * fall - both * rise) / size
  fitted = alpha[:, None] * root + beta[:, None] * bend
  spread = ((gain - gain.mean(1, keepdims=True)) ** 2).sum(1)
  missed = ((gain - fitted) ** 2).sum(1)
  return FormFit(alpha, beta, 1 - missed / np.where(spread > 0, spread, np.inf))


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
  kl: Shaped[np.ndarray, '... N'], reward: Shaped[np.ndarray, '... N']
) -> tuple[Float[np.ndarray, '... N'], Float[np.ndarray, '... N']]:
  kl, reward = np.asarray(kl, np.float64), np.asarray(reward, np.float64)
  if kl.shape != reward.shape or not kl.ndim:
    raise ValueError(
      f'kl of shape {kl.shape} and reward of shape {reward.shape} are no '
      'points of one curve'
    )
  # An estimate of a divergence near 0 may come out below it.
  return np.sqrt(np.maximum(kl, 0)), reward
