"""Figure 20: comparisons of summaries mixed in, with no loss on either.

Three preference models of every size: of dialogues, of summaries, and of both
together. Each is tested on both.

Reference: Bai et al. 2022, section 5.2 and figure 20.
"""

from __future__ import annotations

import dataclasses
import pathlib
from typing import Any

from hh_jax.config import DataConfig, FigureConfig
from hh_jax.data import mixtures
from hh_jax.stages import held_out, lineage
from hh_jax.stages.held_out import Scored
from hh_jax.stages.lineage import Lineage

# Comparisons of each kind of model: world's own, and summaries.
KINDS = {'dialogues': 'none', 'summaries': 'alone', 'both': 'mixed'}


def fig20(config: FigureConfig, workdir: pathlib.Path) -> dict[str, Any]:
  """Accuracy on dialogues and on summaries by size and kind of model."""
  lines = lineage.of(config, workdir)
  for summaries in KINDS.values():  # before anything is trained
    held_out.parts_of(lines[0], with_summaries(config.pm.data, summaries))
  rows = []
  for size in config.sizes:
    own = [line for line in lines if line.size == size]
    for kind, summaries in KINDS.items():
      for tested, scored in tests(own, summaries).items():
        rows.append(
          {
            'size': size,
            'params': own[0].model.num_block_params,
            'model': kind,
            'tested': tested,
            'accuracy': held_out.accuracy(scored).interval(),
          }
        )
  return {'by_size': rows}


def tests(own: list[Lineage], summaries: str) -> dict[str, list[Scored]]:
  """One kind of model's scores on the held-out part of either data."""
  found: dict[str, list[Scored]] = {'dialogues': [], 'summaries': []}
  for line in own:
    data = line.config.pm.data
    folder = line.pm(line.pmp(), data=with_summaries(data, summaries))
    for tested, source in (('dialogues', 'none'), ('summaries', 'alone')):
      _, test = held_out.parts_of(line, with_summaries(data, source))
      items = mixtures.subset(test, line.config.num_test, line.seed)
      found[tested].append(held_out.score(line, folder, items))
  return found


def with_summaries(data: DataConfig, summaries: str) -> DataConfig:
  """The data with, without or of summaries alone."""
  return dataclasses.replace(data, summaries=summaries)
