"""The stages of a pipeline, in order, with their complete configs.

1. pretrain -> distill (π0); pretrain -> pmp.
2. pm (the mixture, which rewards), pm_held_out (on the other part of the
   comparisons), pm_helpful and pm_harmless (one side each).
3. rejection (best of k) and rlhf from π0.
4. evaluate.
"""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Callable
from typing import Any

from hh_jax.config import PipelineConfig
from hh_jax.stages import (
  distill,
  evaluate,
  inputs,
  pm,
  pmp,
  pretrain,
  rejection,
  rlhf,
)


@dataclasses.dataclass(frozen=True)
class Planned:
  """One stage of the chain: what it is called and how it is run."""

  name: str
  config: Any
  run: Callable[[Any, pathlib.Path], str]


def plan(config: PipelineConfig, workdir: pathlib.Path) -> list[Planned]:
  """Returns the stages in order, their configs complete."""

  def path(name: str) -> str:
    return str(workdir / name)

  def complete(stage: Any, **fields: Any) -> Any:
    data = inputs.place_data(config, stage.data)
    return dataclasses.replace(stage, seed=config.seed, data=data, **fields)

  base = complete(config.pm, init_from=path('pmp'))
  other_part = dataclasses.replace(
    base.data, span_start=base.data.span_end, span_end=1.0
  )
  one_side = complete(config.pm_one_side, init_from=path('pmp'))
  policy = {'policy_from': path('distill'), 'pm_from': path('pm')}
  return [
    Planned('pretrain', complete(config.pretrain), pretrain.run),
    Planned(
      'distill',
      complete(config.distill, init_from=path('pretrain')),
      distill.run,
    ),
    Planned('pmp', complete(config.pmp, init_from=path('pretrain')), pmp.run),
    Planned('pm', base, pm.run),
    Planned('pm_held_out', dataclasses.replace(base, data=other_part), pm.run),
    Planned(
      'pm_helpful',
      dataclasses.replace(one_side, harmless_fraction=0.0),
      pm.run,
    ),
    Planned(
      'pm_harmless',
      dataclasses.replace(one_side, harmless_fraction=1.0),
      pm.run,
    ),
    Planned('rejection', complete(config.rejection, **policy), rejection.run),
    Planned(
      'rlhf',
      complete(config.rlhf, held_out_pm_from=path('pm_held_out'), **policy),
      rlhf.run,
    ),
    Planned(
      'evaluate',
      complete(
        config.evaluate,
        pm_from=path('pm'),
        held_out_pm_from=path('pm_held_out'),
        helpful_pm_from=path('pm_helpful'),
        harmless_pm_from=path('pm_harmless'),
        reference_from=path('distill'),
        rlhf_from=path('rlhf'),
      ),
      evaluate.run,
    ),
  ]
