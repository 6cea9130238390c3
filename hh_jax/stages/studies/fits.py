"""Laws of gain against √KL fitted to every seed and every resample.

Which points a fit uses is decided on the prompts as they are, for each seed.

Reference: Bai et al. 2022, section 4.3; Gao et al. 2022.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from hh_jax.stages.trajectory import Table
from hh_jax.stats import frontier, seeds
from hh_jax.stats.frontier import OveroptimisationFit

Form = Callable[[np.ndarray, np.ndarray], OveroptimisationFit]


def line(roots: Sequence[Table], gains: Sequence[Table]) -> dict[str, Any]:
  """A straight line from √KL 0.5 to half the largest, over seeds.

  Where a seed has fewer than three points there, only their number is given.

  Args:
    roots: √KL of every seed, [R + 1, T].
    gains: Gain over π0 of every seed, resampled with it.
  """
  ranges = [frontier.linear_range(root[0]) for root in roots]
  used = [
    (root[0] >= low) & (root[0] <= high)
    for root, (low, high) in zip(roots, ranges, strict=True)
  ]
  found: dict[str, Any] = {
    'from_sqrt_kl': ranges[0][0],
    'to_sqrt_kl': float(np.mean([high for _, high in ranges])),
    'points': int(min(members.sum() for members in used)),
  }
  if found['points'] < 3:
    return found
  fitted = [
    [
      frontier.fit_sqrt_kl(x**2, y, 0.0, math.inf)
      for x, y in zip(root[:, members], gain[:, members], strict=True)
    ]
    for root, gain, members in zip(roots, gains, used, strict=True)
  ]
  return found | {
    'slope': _over([[fit.slope for fit in own] for own in fitted]),
    'at_zero': _over([[fit.intercept for fit in own] for own in fitted]),
    'r2': float(np.mean([own[0].r2 for own in fitted])),
    'least_r2': min(own[0].r2 for own in fitted),
  }


def form(
  fit: Form, roots: Sequence[Table], gains: Sequence[Table]
) -> dict[str, Any]:
  """α and β of a form of Gao et al., over seeds; points at √KL 0 say nothing.

  Args:
    fit: `frontier.fit_rl_form` or `fit_best_of_n_form`.
    roots: √KL of every seed, [R + 1, T].
    gains: Gain over π0 of every seed, resampled with it.
  """
  if min(np.count_nonzero(root[0] > 0) for root in roots) < 2:
    return {'points': 0}
  fitted = [
    [fit(x**2, y) for x, y in zip(root, gain, strict=True)]
    for root, gain in zip(roots, gains, strict=True)
  ]
  peaks = [own[0].peak for own in fitted]
  return {
    'alpha': _over([[found.alpha for found in own] for own in fitted]),
    'beta': _over([[found.beta for found in own] for own in fitted]),
    'r2': float(np.mean([own[0].r2 for own in fitted])),
    'peak_sqrt_kl': float(np.mean(peaks)) if np.isfinite(peaks).all() else None,
  }


def _over(values: Sequence[Sequence[float]]) -> list[float]:
  return seeds.joined([np.array(own) for own in values]).interval()
