"""Figure 9: accuracy against score gap, beside 1 / (1 + e^-Δ).

The mixture and the helpful side alone, on a test part of 35 % (section 3.3).

Reference: Bai et al. 2022, section 3.3.
"""

from __future__ import annotations

import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy

from hh_jax.config import CalibrationConfig
from hh_jax.stages import held_out
from hh_jax.stages.held_out import Scored
from hh_jax.stages.studies import pm_targets, scaling
from hh_jax.stats import calibration, seeds
from hh_jax.stats.seeds import Estimate

KINDS = {'mixture': scaling.MIXTURE, 'helpful_pm': scaling.HELPFUL}


def fig09(config: CalibrationConfig, workdir: pathlib.Path) -> dict[str, Any]:
  """Calibration curves, their error, and the slope of confidence."""
  found: dict[str, Any] = {'curves': [], 'errors': []}
  held: scaling.Rows = []
  for kind, fraction in KINDS.items():
    for model in scaling.models(config, workdir, harmless_fraction=fraction):
      scored = model.scored()
      if fraction == scaling.HELPFUL:
        scored = [one.where(held_out.is_of(one, 'helpful')) for one in scored]
      row = {'model': kind, **model.row()}
      found['curves'] += [
        {**row, **point} for point in curve(scored, config.num_bins)
      ]
      ece, slope = error_and_slope(scored, config.num_bins)
      found['errors'].append(
        {**row, 'ece': ece.interval(), 'slope': slope.interval()}
      )
      if fraction == scaling.HELPFUL:  # sizes ascend: the last is the largest
        held = pm_targets.of_calibration(ece)
  return found | ({'targets': held} if pm_targets.has_truth(config) else {})


def curve(scored: Sequence[Scored], num_bins: int) -> scaling.Rows:
  """One row a bin of the gaps of all seeds; accuracies are means over seeds.

  Seeds that have no comparison in a bin are not in its mean.
  """
  gaps = [gaps_of(one) for one in scored]
  edges = edges_of(scored, num_bins)
  bins = [np.searchsorted(edges[1:-1], own, side='right') for own in gaps]
  rows = []
  for place in range(len(edges) - 1):
    parts = [
      (one.correct[own == place], one.clusters[own == place])
      for one, own in zip(scored, bins, strict=True)
      if (own == place).any()
    ]
    if not parts:  # there are fewer comparisons than bins
      continue
    inside = np.concatenate(
      [own[bin_ == place] for own, bin_ in zip(gaps, bins, strict=True)]
    )
    rows.append(
      {
        'gap': float(inside.mean()),
        'predicted': float(scipy.special.expit(inside).mean()),
        'accuracy': seeds.mean(
          [correct for correct, _ in parts], [keys for _, keys in parts]
        ).interval(),
        'count': len(inside),
        'seeds': len(parts),
      }
    )
  return rows


def error_and_slope(
  scored: Sequence[Scored], num_bins: int
) -> tuple[Estimate, Estimate]:
  """ECE and slope of confidence of every seed: pooled, errors would cancel."""
  edges = edges_of(scored, num_bins)
  errors, slopes = [], []
  for one in scored:
    gaps = gaps_of(one)
    errors.append(
      calibration.calibration_curve(
        gaps,
        one.correct,
        edges=edges,
        clusters=one.clusters,
        seed=None,
      ).error
    )
    slopes.append(
      calibration.confidence_slope(
        gaps, one.correct, clusters=one.clusters, seed=None
      )
    )
  return seeds.joined(errors), seeds.joined(slopes)


def edges_of(scored: Sequence[Scored], num_bins: int) -> np.ndarray:
  """Edges of bins that hold about as many comparisons of all seeds each."""
  gaps = np.concatenate([gaps_of(one) for one in scored])
  inner = np.quantile(gaps, np.linspace(0, 1, num_bins + 1)[1:-1])
  return np.unique([0.0, *inner, np.inf])  # equal gaps share a bin


def gaps_of(scored: Scored) -> np.ndarray:
  """How far apart the replies of each comparison score, [N] nats."""
  return np.abs(scored.scores[:, 0] - scored.scores[:, 1]).astype(np.float64)
