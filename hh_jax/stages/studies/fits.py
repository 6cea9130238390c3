"""Laws of gain against √KL fitted to every seed and every resample.

Which points a fit uses is decided on the prompts as they are, for each seed.

Reference: Bai et al. 2022, section 4.3; Gao et al. 2022.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from hh_jax.stages.trajectory import Table
from hh_jax.stats import frontier, seeds
from hh_jax.stats.frontier import Form


def line(roots: Sequence[Table], gains: Sequence[Table]) -> dict[str, Any]:
  """A straight line from √KL 0.5 to half the largest, over seeds.

  None of it is known where a seed has fewer than three points there.

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
    **dict.fromkeys(('slope', 'at_zero', 'r2', 'least_r2')),
  }
  if found['points'] < 3:
    return found
  fitted = [
    frontier.fit_lines(root[:, members], gain[:, members])
    for root, gain, members in zip(roots, gains, used, strict=True)
  ]
  return found | {
    'slope': seeds.joined([own.slope for own in fitted]).interval(),
    'at_zero': seeds.joined([own.intercept for own in fitted]).interval(),
    'r2': seeds.joined([own.r2 for own in fitted]).interval(),
    'least_r2': float(min(own.r2[0] for own in fitted)),
  }


def form(
  shape: Form, roots: Sequence[Table], gains: Sequence[Table]
) -> dict[str, Any]:
  """α and β of a form of Gao et al., over seeds; points at √KL 0 say nothing.

  There is a peak where β is shown to be positive.

  Args:
    shape: `frontier.RL_FORM` or `BEST_OF_N_FORM`.
    roots: √KL of every seed, [R + 1, T].
    gains: Gain over π0 of every seed, resampled with it.
  """
  used = [root[0] > 0 for root in roots]
  found: dict[str, Any] = {
    'form': shape.name,
    'points': int(min(members.sum() for members in used)),
    **dict.fromkeys(('alpha', 'beta', 'r2', 'peak_sqrt_kl')),
  }
  if found['points'] < 2:
    return found
  fitted = [
    frontier.fit_form(shape, root[:, members] ** 2, gain[:, members])
    for root, gain, members in zip(roots, gains, used, strict=True)
  ]
  alpha = seeds.joined([own.alpha for own in fitted])
  beta = seeds.joined([own.beta for own in fitted])
  share = seeds.ratio(alpha, beta)
  return found | {
    'alpha': alpha.interval(),
    'beta': beta.interval(),
    'r2': seeds.joined([own.r2 for own in fitted]).interval(),
    'peak_sqrt_kl': None if share is None else [*map(shape.peak, share)],
  }
