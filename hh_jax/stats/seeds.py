"""Estimates over seeds and over what was measured with each of them.

1. A run with another seed is another draw of order and first weights, in the
   lab also of the data. What is reported is the mean over seeds.
2. A resample draws seeds with replacement, and for each the items it was
   measured on, by cluster. With one seed only the items are resampled; where
   all seeds share the items, one draw of them serves all.
3. Resample r draws the same seeds and items for every model measured on them,
   so that functions of several estimates have intervals, too.

Reference: Efron and Tibshirani 1993, chapter 8. The paper draws error bars
without naming a method.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from hh_jax.stats import bootstrap

NUM_RESAMPLES = 1000


@dataclasses.dataclass(frozen=True)
class Estimate:
  """A number, and the same on every resample."""

  mid: float
  draws: Float[np.ndarray, 'R']

  def interval(self, level: float = 0.95) -> list[float]:
    """`[low, mid, high]`."""
    found = bootstrap.percentile_interval(self.mid, self.draws, level)
    return found.tolist()

  def __sub__(self, other: Estimate) -> Estimate:
    return Estimate(self.mid - other.mid, self.draws - other.draws)


def over_seeds(
  mids: Sequence[float],
  draws: Float[np.ndarray, 'S R'],
  has_same_items: bool = False,
) -> Estimate:
  """The mean of what was estimated with each seed.

  Args:
    mids: The estimate with each seed.
    draws: The same on resampled items.
    has_same_items: Whether all seeds were measured on the same items and
      resampled alike; otherwise a seed that is drawn twice brings other
      resamples of its items the second time.
  """
  num_seeds, num_resamples = draws.shape
  rng = np.random.Generator(np.random.Philox(num_seeds))
  chosen = rng.integers(num_seeds, size=(num_seeds, num_resamples))
  column = np.broadcast_to(np.arange(num_resamples), chosen.shape)
  if not has_same_items:
    step = num_resamples // num_seeds
    column = (column + np.arange(num_seeds)[:, None] * step) % num_resamples
  means = draws[chosen, column].mean(0)
  return Estimate(float(np.mean(mids)), means)


def joined(tables: Sequence[Float[np.ndarray, 'Q']]) -> Estimate:
  """The mean over seeds of a statistic; each seed has items of its own.

  Args:
    tables: Of every seed, the statistic of its items as they are, then of
      every resample (see `bootstrap.mean_table`).
  """
  mids = [float(table[0]) for table in tables]
  return over_seeds(mids, np.stack([table[1:] for table in tables]))


def mean(
  values: Sequence[np.ndarray],
  clusters: Sequence[np.ndarray],
  has_same_items: bool = False,
  num_resamples: int = NUM_RESAMPLES,
) -> Estimate:
  """The mean over seeds of the mean of each seed's values.

  Args:
    values: Of every seed, [N] each.
    clusters: Dialogue of every value, [N] each.
    has_same_items: Whether these are the same items for every seed.
    num_resamples: Resamples to draw.
  """
  draws = [
    bootstrap.mean_draws(x, c, num_resamples, 0 if has_same_items else seed)
    for seed, (x, c) in enumerate(zip(values, clusters, strict=True))
  ]
  mids = [float(np.mean(x)) for x in values]
  return over_seeds(mids, np.stack(draws), has_same_items)
