"""Figure 30: context distillation by size of the student.

The teacher is the largest size; its knowledge with the HHH prompt goes into
every size without it. Beside the KL curves stands what the prompt does to the
teacher's replies and how much of it each student keeps, where there is a judge
that knows.

Reference: Bai et al. 2022, appendix A.1, figure 30.
"""

from __future__ import annotations

import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from hh_jax.config import FigureConfig
from hh_jax.data.comparisons import SIDES
from hh_jax.stages import lineage, prompt_effect
from hh_jax.stages.studies import pm_targets
from hh_jax.stages.studies.scaling import Rows
from hh_jax.stats import seeds
from hh_jax.training import metrics

NUM_POINTS = 16  # of a curve, evenly in the logarithm of steps
KL = 'distill/kl'


def fig30(config: FigureConfig, workdir: pathlib.Path) -> dict[str, Any]:
  """KL to the prompted teacher within training, by student size."""
  lines = lineage.of(config, workdir)
  folders = {line: line.distilled() for line in lines}
  curves, effects = [], []
  for size in config.sizes:
    own = [line for line in lines if line.size == size]
    row = {'size': size, 'params': own[0].model.num_block_params}
    for point in curve([folders[line] for line in own]):
      curves.append({**row, **point})
    for effect in effects_of([folders[line] for line in own]):
      effects.append({**row, **effect})
  values: dict[str, Any] = {'curves': curves}
  if not effects:
    return values
  largest = [row for row in effects if row['size'] == config.sizes[-1]]
  held = pm_targets.of_distillation(largest)
  return values | {'effects': effects, 'targets': held}


def curve(folders: Sequence[pathlib.Path]) -> Rows:
  """Mean KL between two points, with an interval over seeds and batches."""
  found = [
    np.array([row[KL] for row in metrics.read_metrics(folder) if KL in row])
    for folder in folders
  ]
  num_steps = min(map(len, found))
  edges = np.geomspace(1, num_steps + 1, NUM_POINTS + 1)
  edges = np.unique(np.round(edges).astype(int)) - 1
  rows = []
  for start, stop in zip(edges[:-1], edges[1:], strict=True):
    parts = [values[start:stop] for values in found]
    batches = [np.arange(stop - start)] * len(parts)
    middle = float(np.sqrt((start + 1) * stop))
    rows.append({'step': middle, 'kl': seeds.mean(parts, batches).interval()})
  return rows


def effects_of(folders: Sequence[pathlib.Path]) -> Rows:
  """Gold score gained by the prompt and by the student, and the share kept.

  There is a share where the interval of the prompt's own gain excludes 0.
  """
  found = [prompt_effect.Gains.read(folder) for folder in folders]
  gains = [one for one in found if one is not None]
  rows = []
  for side in SIDES:
    masks = [one.sides == side for one in gains]
    if not gains or not all(mask.any() for mask in masks):
      continue
    clusters = [
      one.conversations[mask] for one, mask in zip(gains, masks, strict=True)
    ]
    prompted, student = (
      seeds.mean(
        [values[mask] for values, mask in zip(own, masks, strict=True)],
        clusters,
      )
      for own in (
        [one.prompted for one in gains],
        [one.student for one in gains],
      )
    )
    rows.append(
      {
        'side': side,
        'prompted': prompted.interval(),
        'student': student.interval(),
        'share': seeds.ratio(student, prompted),
      }
    )
  return rows
