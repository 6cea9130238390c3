"""Accuracy and calibration of preference-model scores on comparisons.

Intervals are bootstrapped over first human turns, because comparisons of one
conversation are not independent.

Reference: Bai et al. 2022, sections 3.2-3.3, figures 7-9.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from hh_jax.data.comparisons import SIDES, Comparison
from hh_jax.data.dialogue import conversation_ids
from hh_jax.stats import agreement, bootstrap, calibration


def is_correct(scores: np.ndarray) -> np.ndarray:
  """Returns 1 where chosen scores higher, 1/2 on ties, 0 else, [N] float64.

  Args:
    scores: [N, 2], of the chosen and the rejected reply.
  """
  margin = scores[:, 0] - scores[:, 1]
  return np.where(margin == 0, 0.5, (margin > 0).astype(np.float64))


def clusters_of(comparisons: Sequence[Comparison]) -> np.ndarray:
  """Returns the number of each comparison's first human turn, [N]."""
  return conversation_ids([item.prompt for item in comparisons])


def by_side(
  comparisons: Sequence[Comparison], correct: np.ndarray
) -> dict[str, list[float]]:
  """Returns [low, mid, high] of each side there is, and of `all`."""
  sides = np.array([item.side for item in comparisons])
  clusters = clusters_of(comparisons)
  found = bootstrap.mean_intervals(correct, sides, clusters, SIDES)
  if len(comparisons):
    found['all'] = bootstrap.mean_interval(correct, clusters).tolist()
  return found


def by_tranche(
  comparisons: Sequence[Comparison], correct: np.ndarray
) -> dict[str, list[float]]:
  """Returns [low, mid, high] of each tranche."""
  tranches = [item.tranche for item in comparisons]
  return bootstrap.mean_intervals(
    correct,
    np.array(tranches),
    clusters_of(comparisons),
    sorted(set(tranches)),
  )


def by_turn(
  comparisons: Sequence[Comparison], correct: np.ndarray
) -> list[dict[str, Any]]:
  """Returns rows of side, turn, count and accuracy (figure 8)."""
  return agreement.accuracy_by_turn(
    np.array([item.side for item in comparisons]),
    np.array([item.turn for item in comparisons]),
    correct,
    clusters_of(comparisons),
  )


def calibrate(
  comparisons: Sequence[Comparison], scores: np.ndarray
) -> dict[str, Any]:
  """Returns accuracy against score gap beside 1 / (1 + e^-Δ) (figure 9)."""
  margin = scores[:, 0] - scores[:, 1]
  curve = calibration.calibration_curve(
    np.abs(margin),
    is_correct(scores),
    clusters=clusters_of(comparisons),
  )
  return {
    'gap': curve.gap.tolist(),
    'predicted': curve.predicted.tolist(),
    'accuracy': curve.accuracy.tolist(),
    'count': curve.count.tolist(),
    'ece': curve.ece.tolist(),
  }


def longer_reply(comparisons: Sequence[Comparison]) -> dict[str, list[float]]:
  """Returns `by_side` of 'the longer reply is chosen'; ties count half."""
  lengths = np.array(
    [[len(item.chosen), len(item.rejected)] for item in comparisons]
  )
  return by_side(comparisons, is_correct(lengths.astype(np.float64)))
