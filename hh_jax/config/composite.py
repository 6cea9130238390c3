"""Configs of experiments that run several stages: folds and the pipeline.

What they fill in themselves must not be set inside them: it would be ignored.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from hh_jax.config import agreement, shared
from hh_jax.config.shared import DataConfig, LoopConfig
from hh_jax.config.stages import (
  UNTUNED,
  DistillConfig,
  EvaluateConfig,
  PMConfig,
  PMPConfig,
  PretrainConfig,
  RejectionConfig,
  RLHFConfig,
)

field = dataclasses.field


@dataclasses.dataclass(frozen=True)
class FoldsConfig:
  """Preference models by cross-validation, so that every pair is tested."""

  seed: int = 0
  init_from: str = shared.run_of('pmp', *UNTUNED, 'public_pm')
  data: DataConfig = field(default_factory=DataConfig)  # folds set the split
  loop: LoopConfig = field(default_factory=LoopConfig)
  pm: PMConfig = field(default_factory=PMConfig)  # but `data`, `loop`
  num_folds: int = 5  # by hash of the first human turn
  record: str = ''  # result file that also takes the numbers; '': none

  def __post_init__(self):
    agreement.require_runnable(self)
    shared.require(
      self.num_folds >= 2, f'num_folds={self.num_folds} must be at least 2'
    )
    for name in ('test_fraction', 'split_offset'):
      value = getattr(self.data, name)
      shared.require(
        value in (0, getattr(DataConfig(), name)),
        f'--config.data.{name}={value} is not used; the folds are set by '
        '--config.num_folds',
      )
    plain = PMConfig()
    for name in ('seed', 'init_from', 'data', 'loop'):
      default, own = getattr(plain, name), getattr(self, name)
      agreement.require_unset(
        f'pm.{name}', getattr(self.pm, name), (default, own)
      )
    _check_both_sides('pm', self.pm)


@dataclasses.dataclass(frozen=True)
class PipelineConfig:
  """The whole paper in one run; the stages' `*_from` are filled in."""

  world: str = 'lab'
  size: str = 'nano'
  seed: int = 0  # of every stage
  data_dir: str = ''  # world=hh: where the official files are
  record: str = ''  # result file that also takes the numbers; '': none
  pretrain: PretrainConfig = field(default_factory=PretrainConfig)
  distill: DistillConfig = field(default_factory=DistillConfig)
  pmp: PMPConfig = field(default_factory=PMPConfig)
  pm: PMConfig = field(default_factory=PMConfig)
  pm_one_side: PMConfig = field(default_factory=PMConfig)
  rejection: RejectionConfig = field(default_factory=RejectionConfig)
  rlhf: RLHFConfig = field(default_factory=RLHFConfig)
  evaluate: EvaluateConfig = field(default_factory=EvaluateConfig)

  def __post_init__(self):
    shared.one_of('world', self.world, shared.WORLDS)
    agreement.require_seed(self.seed)
    stages: dict[str, Any] = {
      name: stage
      for name, stage in vars(self).items()
      if dataclasses.is_dataclass(stage)
    }
    for name, stage in stages.items():
      self._check_replaced(name, stage)
    _check_both_sides('pm_one_side', self.pm_one_side)
    names = ('pm', 'pm_one_side', 'rejection', 'rlhf', 'evaluate')
    agreement.require_one_split({name: stages[name] for name in names})

  def _check_replaced(self, name: str, stage: Any) -> None:
    """Raises ValueError for a field of a stage that the pipeline fills in."""
    shared.require(
      stage.data.world == self.world,
      f'{name}.data.world={stage.data.world!r} is not world={self.world!r}; '
      'choose the world of all stages by --config=FILE.py:world=NAME',
    )
    data_dirs = ('', self.data_dir)
    agreement.require_unset(f'{name}.seed', stage.seed, (0, self.seed))
    agreement.require_unset(
      f'{name}.data.data_dir', stage.data.data_dir, data_dirs
    )
    for field, value in vars(stage).items():
      shared.require(
        not value or not field.endswith('_from') or field == 'teacher_from',
        f'--config.{name}.{field}={value} is not used: the stages of a '
        'pipeline start from each other; run the stage alone with '
        f'--config.{field}',
      )


def _check_both_sides(name: str, pm: PMConfig) -> None:
  shared.require(
    pm.harmless_fraction == -1,
    f'--config.{name}.harmless_fraction={pm.harmless_fraction} is not used: '
    'a model is trained on either side; run experiments.pm for a mixture',
  )
