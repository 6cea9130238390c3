"""How accuracy grows with the size of a model and with its data (eq. A.1).

  accuracy = a + b ln(P / P0) + c ln(D / D0)

P counts non-embedding parameters and D comparisons. The paper fits P0 = 1e11
and D0 = 8e4 and does not name the base of its logarithm; the natural one gives
the accuracies it plots.

Reference: Bai et al. 2022, section 3.1, appendix A.3, figures 7, 31 and 32.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hh_jax.stats.seeds import Estimate

PARAMS, COMPARISONS = 1e11, 8e4  # P0, D0
PAPER = {'intercept': 0.72, 'per_ln_params': 0.007, 'per_ln_comparisons': 0.015}


def fit(
  num_params: Sequence[float],
  num_comparisons: Sequence[float],
  accuracies: Sequence[Estimate],
  reference: tuple[float, float] = (PARAMS, COMPARISONS),
) -> dict[str, list[float]]:
  """Least squares through accuracies, with intervals over their resamples.

  Args:
    num_params: P of each model.
    num_comparisons: D of each model.
    accuracies: Of each model, resampled together.
    reference: P0 and D0; the slopes do not depend on them.

  Returns:
    `[low, mid, high]` of `intercept`, `per_ln_params` and
    `per_ln_comparisons`.

  Raises:
    ValueError: There are fewer than two sizes or two numbers of comparisons,
      so that a slope is open.
  """
  for name, values in (
    ('num_params', num_params),
    ('num_comparisons', num_comparisons),
  ):
    if len(set(values)) < 2:
      raise ValueError(
        f'{name}={sorted(set(values))}: a slope needs at least two values'
      )
  table = np.stack(
    [
      np.ones(len(accuracies)),
      np.log(np.asarray(num_params, np.float64) / reference[0]),
      np.log(np.asarray(num_comparisons, np.float64) / reference[1]),
    ],
    axis=1,
  )
  solve = np.linalg.pinv(table)  # [3, M]
  tables = np.stack([estimate.table for estimate in accuracies])
  fitted = np.tensordot(solve, tables, axes=1)  # [3, S, R + 1]
  names = ('intercept', 'per_ln_params', 'per_ln_comparisons')
  return {
    name: Estimate(own).interval()
    for name, own in zip(names, fitted, strict=True)
  }
