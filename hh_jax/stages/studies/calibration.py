"""Figure 9: accuracy against score gap, beside 1 / (1 + e^-Δ).

The mixture and the helpful side alone, on a test part of 35 % (section 3.3).

Reference: Bai et al. 2022, section 3.3.
"""

from __future__ import annotations

import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from hh_jax.config import CalibrationConfig
from hh_jax.stages import held_out
from hh_jax.stages.held_out import Scored
from hh_jax.stages.studies import scaling
from hh_jax.stats import calibration

KINDS = {'mixture': scaling.MIXTURE, 'helpful_pm': scaling.HELPFUL}


def fig09(config: CalibrationConfig, workdir: pathlib.Path) -> dict[str, Any]:
  """Calibration curves, their error, and the slope of confidence."""
  found: dict[str, Any] = {'curves': [], 'errors': []}
  for kind, fraction in KINDS.items():
    for model in scaling.models(config, workdir, harmless_fraction=fraction):
      scored = model.scored()
      if fraction == scaling.HELPFUL:
        scored = [one.where(held_out.is_of(one, 'helpful')) for one in scored]
      gaps, correct, clusters = together(scored)
      curve = calibration.calibration_curve(
        gaps, correct, num_bins=config.num_bins, clusters=clusters
      )
      slope = calibration.confidence_slope(gaps, correct, clusters=clusters)
      row = {'model': kind, **model.row()}
      found['curves'] += [{**row, **point} for point in points(curve)]
      found['errors'].append(
        {**row, 'ece': curve.ece.tolist(), 'slope': slope.tolist()}
      )
  return found


def points(curve: calibration.CalibrationCurve) -> scaling.Rows:
  """One row a bin."""
  return [
    {
      'gap': float(curve.gap[place]),
      'predicted': float(curve.predicted[place]),
      'accuracy': curve.accuracy[place].tolist(),
      'count': int(curve.count[place]),
    }
    for place in range(len(curve.gap))
  ]


def together(
  scored: Sequence[Scored],
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """Score gaps, correctness and clusters of all seeds, [N] each.

  Equal first turns are one cluster, whichever seed they were tested with. The
  spread between seeds is in no interval.
  """
  firsts = [c.prompt.first_human for one in scored for c in one.comparisons]
  clusters = np.unique(firsts, return_inverse=True)[1]
  gaps = [np.abs(one.scores[:, 0] - one.scores[:, 1]) for one in scored]
  correct = [one.correct for one in scored]
  return (
    np.concatenate(gaps),
    np.concatenate(correct),
    clusters,
  )
