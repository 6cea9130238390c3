"""Percentile bootstrap intervals, resampling whole clusters.

1. Turns of one dialogue are not independent, so what is drawn with
   replacement is the cluster (the dialogue), never the single value. Without
   clusters every value is its own.
2. A statistic that is a function of sums needs the values only through the
   sums of each cluster, so that a resample is one row of a matrix product.
3. An interval is `[low, mid, high]`: mid is the plain estimate, low and high
   are percentiles of the resampled ones.
4. Samples that share clusters, such as the prompts of several seeds, are
   resampled together: each cluster's weights are drawn from its own key, so
   that it weighs the same in every sample (the Bayesian bootstrap, whose
   weights are exponential and need no fixed sum).

Reference: Efron and Tibshirani 1993, chapter 13; Rubin 1981 for 4. The paper
draws error bars without naming a method.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import scipy
from jaxtyping import Float, Int, Shaped

# Entries of one block of resampling counts: 32 MB in float64.
_MAX_CELLS = 1 << 22


def resample_counts(
  num_clusters: int, num_resamples: int, seed: int
) -> Iterator[Float[np.ndarray, 'R C']]:
  """Yields blocks of how often each resample draws each cluster.

  Args:
    num_clusters: Clusters to draw from, and how many a resample draws.
    num_resamples: Rows over all blocks together.
    seed: Of a Philox generator; the draws do not depend on the block size.

  Yields:
    Counts of some resamples [R, C]; every row sums to `num_clusters`.
  """
  if num_clusters < 1 or num_resamples < 1:
    raise ValueError(
      f'num_clusters={num_clusters} and num_resamples={num_resamples} must be '
      'positive; leave out a slice that holds no values'
    )
  rng = np.random.Generator(np.random.Philox(seed))
  rows = max(1, _MAX_CELLS // num_clusters)
  for start in range(0, num_resamples, rows):
    num_rows = min(rows, num_resamples - start)
    drawn = rng.integers(num_clusters, size=(num_rows, num_clusters))
    drawn += num_clusters * np.arange(num_rows)[:, None]
    counts = np.bincount(drawn.ravel(), minlength=num_rows * num_clusters)
    yield counts.reshape(num_rows, num_clusters).astype(np.float64)


def keyed_weights(
  keys: Int[np.ndarray, 'C'], num_resamples: int
) -> Float[np.ndarray, 'R C']:
  """How much each cluster weighs in each resample, by its key alone."""
  generators = (
    np.random.Generator(np.random.Philox(key=int(key) % 2**64)) for key in keys
  )
  drawn = [each.standard_exponential(num_resamples) for each in generators]
  return np.stack(drawn, axis=1)


def resample_weights(
  keys: Shaped[np.ndarray, 'C'], num_resamples: int, seed: int | None
) -> Iterator[Float[np.ndarray, 'R C']]:
  """Yields blocks of weights: counts, or `keyed_weights` without a seed."""
  if seed is not None:
    yield from resample_counts(len(keys), num_resamples, seed)
  else:
    yield keyed_weights(keys, num_resamples)


def resampled_sums(
  totals: Shaped[np.ndarray, 'C F'] | scipy.sparse.csr_array,
  num_resamples: int,
  seed: int | None,
  keys: Shaped[np.ndarray, 'C'] | None = None,
) -> Float[np.ndarray, 'R F']:
  """Sums of the features of the drawn clusters, one row a resample.

  Args:
    totals: Sums over each cluster.
    num_resamples: Resamples to draw (R).
    seed: Of the draws; None draws each cluster's weights from its key.
    keys: Of the clusters; by default their numbers.

  Returns:
    Sums [R, F].
  """
  keys = np.arange(totals.shape[0]) if keys is None else keys
  blocks = resample_weights(keys, num_resamples, seed)
  return np.concatenate([weights @ totals for weights in blocks])


def percentile_interval(
  mid: float, draws: Shaped[np.ndarray, 'R'], level: float
) -> Float[np.ndarray, '3']:
  """`[low, mid, high]` from resampled estimates.

  Args:
    mid: Estimate on the data as they are.
    draws: Estimate on every resample.
    level: Coverage in (0, 1).

  Returns:
    The interval [3].
  """
  if not 0 < level < 1:
    raise ValueError(f'level={level} is outside (0, 1)')
  low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2])
  return np.array([low, mid, high], np.float64)


def cluster_index(
  clusters: Shaped[np.ndarray, 'N'] | None, num_values: int
) -> Int[np.ndarray, 'N']:
  """Numbers the clusters from 0; every value is its own when none are given.

  Args:
    clusters: Cluster of every value: integers or strings.
    num_values: Values to number (N).

  Returns:
    Cluster index of every value [N].
  """
  if clusters is None:
    return np.arange(num_values)
  return _numbered(clusters, num_values)[1]


def cluster_keys(
  clusters: Shaped[np.ndarray, 'N'] | None, num_values: int
) -> Shaped[np.ndarray, 'C']:
  """The keys of the clusters in the order in which they are numbered.

  Args:
    clusters: Cluster of every value, an integer that is the same wherever the
      cluster occurs; None: every value's place.
    num_values: Values there are (N).
  """
  if clusters is None:
    return np.arange(num_values)
  return _numbered(clusters, num_values)[0]


def _numbered(
  clusters: Shaped[np.ndarray, 'N'], num_values: int
) -> tuple[np.ndarray, np.ndarray]:
  clusters = np.asarray(clusters)
  if clusters.shape != (num_values,):
    raise ValueError(
      f'clusters have shape {clusters.shape} but there are {num_values} values'
    )
  return np.unique(clusters, return_inverse=True)


def mean_interval(
  values: Shaped[np.ndarray, 'N'],
  clusters: Shaped[np.ndarray, 'N'] | None = None,
  seed: int = 0,
  num_resamples: int = 1000,
  level: float = 0.95,
) -> Float[np.ndarray, '3']:
  """Mean with a percentile bootstrap interval.

  The mean is over values, not over clusters: a long dialogue weighs more. The
  interval of values that are all equal has no width, however few they are.

  Args:
    values: What to average; bool for an accuracy.
    clusters: Dialogue of every value, or None where values are independent.
    seed: Of the resamples.
    num_resamples: Resamples to draw.
    level: Coverage in (0, 1).

  Returns:
    `[low, mid, high]` in the unit of the values.
  """
  values = _checked('values', values)
  draws = mean_draws(values, clusters, num_resamples, seed)
  return percentile_interval(float(values.mean()), draws, level)


def mean_intervals(
  values: Shaped[np.ndarray, 'N'],
  groups: Shaped[np.ndarray, 'N'],
  clusters: Shaped[np.ndarray, 'N'],
  names: Sequence[str],
) -> dict[str, list[float]]:
  """Mean of each group, [low, mid, high]; see `mean_interval`.

  Args:
    values: What to average.
    groups: Group of every value.
    clusters: Dialogue of every value.
    names: Groups in the order to report them; those without values are left
      out.
  """
  members = {name: groups == name for name in names}
  return {
    name: mean_interval(values[chosen], clusters[chosen]).tolist()
    for name, chosen in members.items()
    if chosen.any()
  }


def _checked(
  name: str, values: Shaped[np.ndarray, 'N']
) -> Float[np.ndarray, 'N']:
  values = np.asarray(values, np.float64)
  if values.ndim != 1 or not values.size:
    raise ValueError(
      f'{name} of shape {values.shape} is no list of values to average; leave '
      'out a slice that holds none'
    )
  if not np.isfinite(values).all():
    num_bad = int((~np.isfinite(values)).sum())
    raise ValueError(f'{num_bad} of {len(values)} {name} are not finite')
  return values


def mean_draws(
  values: Shaped[np.ndarray, 'N'],
  clusters: Shaped[np.ndarray, 'N'] | None,
  num_resamples: int,
  seed: int,
) -> Float[np.ndarray, 'R']:
  """Mean of each resample; see `mean_interval`."""
  index = cluster_index(clusters, len(values))
  totals = np.stack([np.bincount(index, values), np.bincount(index)], axis=1)
  sums = resampled_sums(totals, num_resamples, seed)
  return sums[:, 0] / sums[:, 1]


def mean_table(
  values: Shaped[np.ndarray, 'T N'],
  clusters: Int[np.ndarray, 'N'] | None,
  num_resamples: int,
) -> Float[np.ndarray, 'Q T']:
  """Means of several quantities of the same items, resampled together.

  Clusters weigh the same in every table that holds them.

  Args:
    values: T quantities of N items.
    clusters: Key of the dialogue of every item, or None where each is its own.
    num_resamples: Resamples to draw (R).

  Returns:
    R + 1 rows (Q): the plain means, then those of every resample.
  """
  num_items = values.shape[1]
  index = cluster_index(clusters, num_items)
  columns = [np.bincount(index), *(np.bincount(index, row) for row in values)]
  totals = np.stack(columns, axis=1)
  keys = cluster_keys(clusters, num_items)
  sums = resampled_sums(totals, num_resamples, None, keys)
  sums = np.concatenate([totals.sum(0, keepdims=True), sums])
  return sums[:, 1:] / sums[:, :1]
