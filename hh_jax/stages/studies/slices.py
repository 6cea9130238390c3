"""Accuracy of the mixture's preference models on slices of the test part.

Figure 8: by turn. Figure 25: where both replies score high.

Reference: Bai et al. 2022, section 3.2 and appendix B.2.
"""

from __future__ import annotations

import dataclasses
import pathlib
from typing import Any

import numpy as np

from hh_jax.config import ScalingConfig
from hh_jax.stages import held_out
from hh_jax.stages.held_out import Scored
from hh_jax.stages.studies import scaling

NUM_THRESHOLDS = 9


def fig08(config: ScalingConfig, workdir: pathlib.Path) -> dict[str, Any]:
  """How many comparisons there are of each turn, and accuracy by turn."""
  rows: scaling.Rows = []
  counted: scaling.Rows = []
  for model in scaling.models(config, workdir):
    scored = model.scored()
    counted = []  # the same for every model
    turns = [np.array([c.turn for c in item.comparisons]) for item in scored]
    for turn in range(1, int(max(map(np.max, turns))) + 1):
      parts = [item.where(own == turn) for item, own in zip(scored, turns)]
      count = round(np.mean([len(part.scores) for part in parts]))
      counted.append({'turn': turn, 'count': count})
      if min(len(part.scores) for part in parts) >= config.fewest:
        accuracy = held_out.accuracy(parts).interval()
        row = {'turn': turn, 'count': count, 'accuracy': accuracy}
        rows.append({**model.row(), **row})
  return {'turns': counted, 'by_turn': rows}


def fig25(config: ScalingConfig, workdir: pathlib.Path) -> dict[str, Any]:
  """Accuracy where both replies score above a threshold, by side.

  Scores of a model have its mean on the held-out comparisons subtracted; its
  thresholds are quantiles of the smaller score. Counts are means over seeds.
  """
  rows = []
  for model in scaling.models(config, workdir):
    scored = [centred(item) for item in model.scored()]
    for side in held_out.sides_of(scored)[:-1]:
      parts = [item.where(held_out.is_of(item, side)) for item in scored]
      lowest = np.concatenate([part.scores.min(1) for part in parts])
      for share in np.linspace(0, 0.9, NUM_THRESHOLDS + 1):
        threshold = float(np.quantile(lowest, share)) if share else -np.inf
        above = [part.where(part.scores.min(1) >= threshold) for part in parts]
        if min(len(part.scores) for part in above) < config.fewest:
          continue
        rows.append(
          {
            **model.row(),
            'side': side,
            'threshold': threshold if share else float(lowest.min()),
            'count': round(np.mean([len(part.scores) for part in above])),
            'accuracy': held_out.accuracy(above).interval(),
          }
        )
  return {'by_threshold': rows}


def centred(scored: Scored) -> Scored:
  """Scores less their mean, which alone can be compared [§B.2]."""
  return dataclasses.replace(
    scored, scores=scored.scores - scored.scores.mean()
  )
