"""What preference-model pretraining is worth, by number of comparisons.

A preference model begins as the plain language model, or after pretraining on
ranked answers: as ranked pairs, or as pairs that judge labels (binary). All
are then finetuned on the same human comparisons, few or many.

Reference: Askell et al. 2021, section 4; Bai et al. 2022, section A.2.
"""

from __future__ import annotations

import pathlib
from typing import Any

from hh_jax.config import TransferConfig
from hh_jax.stages import held_out, lineage
from hh_jax.stages.lineage import Lineage
from hh_jax.stages.studies import pm_targets, scaling
from hh_jax.stats.seeds import Estimate

NONE = 'none'


def ranked(line: Lineage) -> pathlib.Path:
  """Pretrained on ranked pairs."""
  return line.pmp(binary=False)


def binary(line: Lineage) -> pathlib.Path:
  """Pretrained on pairs that judge labels."""
  return line.pmp(binary=True)


STARTS: dict[str, scaling.Start] = {
  NONE: Lineage.pretrained,
  'ranked': ranked,
  'binary': binary,
}


def transfer(config: TransferConfig, workdir: pathlib.Path) -> dict[str, Any]:
  """Accuracy by start and number of comparisons, and gains over none."""
  for line in lineage.of(config, workdir)[: len(config.seeds)]:
    for count in config.counts:
      scaling.require_comparisons(line, {'num_comparisons': count})
  rows, gains = [], []
  at_few: dict[str, Estimate] = {}  # of the largest size
  for count in config.counts:
    found = {
      kind: scaling.models(config, workdir, count, start)
      for kind, start in STARTS.items()
    }
    for place, model in enumerate(found[NONE]):
      plain = held_out.accuracy(model.scored())
      for kind, models in found.items():
        accuracy = held_out.accuracy(models[place].scored())
        row = {**model.row(), 'start': kind}
        rows.append({**row, 'accuracy': accuracy.interval()})
        if kind != NONE:
          gain = accuracy - plain
          gains.append({**row, 'gain': gain.interval()})
          if count == pm_targets.FEW and model.size == config.sizes[-1]:
            at_few[kind] = gain
  values = {'by_start': rows, 'gains': gains}
  if not pm_targets.has_truth(config):
    return values
  return values | {'targets': pm_targets.of_transfer(at_few)}
