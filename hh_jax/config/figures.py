"""Configs of the paper's figures: models of several sizes and seeds.

A figure's models differ from the stages' configs here in size, seed and in
what the figure varies; they are trained when a figure first asks for them.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from hh_jax.config import agreement, shared
from hh_jax.config.stages import (
  DistillConfig,
  PMConfig,
  PMPConfig,
  PretrainConfig,
)

field = dataclasses.field

NANO_LADDER = ('nano0', 'nano1', 'nano2', 'nano3')


@dataclasses.dataclass(frozen=True)
class FigureConfig:
  """The models of a figure; the stages' `*_from` and seeds are filled in."""

  world: str = 'lab'
  data_dir: str = ''  # world=hh: where the official files are
  sizes: tuple[str, ...] = NANO_LADDER  # smallest first
  teacher: str = ''  # size that all are distilled from; '': the largest [§A.1]
  seeds: tuple[int, ...] = (0,)  # of order, first weights, the lab's data
  record: str = ''  # result file that also takes the numbers; '': none
  num_test: int = 4000  # most held-out comparisons scored
  pretrain: PretrainConfig = field(default_factory=PretrainConfig)
  distill: DistillConfig = field(default_factory=DistillConfig)
  pmp: PMPConfig = field(default_factory=PMPConfig)
  pm: PMConfig = field(default_factory=PMConfig)

  def __post_init__(self):
    shared.one_of('world', self.world, shared.WORLDS)
    shared.positive(self, 'num_test')
    for name in ('sizes', 'seeds'):
      require_distinct(name, getattr(self, name))
    for seed in self.seeds:
      agreement.require_seed(seed)
    for name, stage in vars(self).items():
      if dataclasses.is_dataclass(stage):
        self._check_stage(name, stage)

  @property
  def teacher_size(self) -> str:
    return self.teacher or self.sizes[-1]

  def _check_stage(self, name: str, stage: Any) -> None:
    """Raises ValueError for a field of a stage that the figure fills in."""
    shared.require(
      stage.data.world == self.world,
      f'{name}.data.world={stage.data.world!r} is not world={self.world!r}; '
      'choose the world of all stages by --config=FILE.py:world=NAME',
    )
    agreement.require_unset(
      f'{name}.data.data_dir', stage.data.data_dir, ('', self.data_dir)
    )
    shared.require(
      stage.seed == 0,
      f'--config.{name}.seed={stage.seed} is not used; set --config.seeds',
    )
    if isinstance(stage, PMConfig):
      fixed = (stage.num_comparisons, stage.harmless_fraction)
      shared.require(
        fixed == (0, -1) and stage.data.summaries == 'none',
        f'--config.{name}.num_comparisons, harmless_fraction and '
        'data.summaries are not used: the figure says what its models are '
        'trained on',
      )
    for key, value in vars(stage).items():
      shared.require(
        not value or not key.endswith('_from'),
        f'--config.{name}.{key}={value} is not used: the models of a figure '
        'start from each other',
      )


@dataclasses.dataclass(frozen=True)
class ScalingConfig(FigureConfig):
  """Accuracy by size and by number of comparisons [§3.1, §A.3].

  The mixture is of all comparisons there are.
  """

  counts: tuple[int, ...] = (250, 1000, 3500)  # comparisons of every kind
  fewest: int = 20  # comparisons of a number that is reported

  def __post_init__(self):
    super().__post_init__()
    require_counts('counts', self.counts)
    shared.positive(self, 'fewest')


@dataclasses.dataclass(frozen=True)
class MixtureConfig(FigureConfig):
  """Helpful and harmless data in every proportion [§5.1]."""

  num_comparisons: int = 3500  # of every mixture; the paper's total is 42k
  fractions: tuple[float, ...] = tuple(n / 10 for n in range(11))  # harmless
  weights: tuple[float, ...] = (1.0, 2.0, 3.0, 4.0, 10.0)  # λ [§5.1.2]

  def __post_init__(self):
    super().__post_init__()
    shared.positive(self, 'num_comparisons')
    require_distinct('fractions', self.fractions)
    require_distinct('weights', self.weights)
    for value in self.fractions:
      shared.require(
        0 <= value <= 1, f'fractions holds {value}, which is outside [0, 1]'
      )
    for value in self.weights:
      shared.require(value > 0, f'weights holds {value}; it must be positive')


@dataclasses.dataclass(frozen=True)
class CalibrationConfig(FigureConfig):
  """Accuracy against score gap, on a larger test part [§3.3]."""

  num_bins: int = 10  # of about equal counts

  def __post_init__(self):
    super().__post_init__()
    shared.positive(self, 'num_bins')


@dataclasses.dataclass(frozen=True)
class TransferConfig(FigureConfig):
  """Preference-model pretraining against comparisons [A-2nd]."""

  counts: tuple[int, ...] = (100, 500, 2000, 7000)  # comparisons finetuned on

  def __post_init__(self):
    super().__post_init__()
    require_counts('counts', self.counts)


@dataclasses.dataclass(frozen=True)
class HHHConfig(FigureConfig):
  """The HHH evaluation [§3.4.1]."""

  hhh_file: str = ''  # its jsonl file or BIG-bench folder; '': the lab's pairs
  num_items: int = 400  # that the lab makes, half of either side
  num_shown: int = 10  # worst failures

  def __post_init__(self):
    super().__post_init__()
    shared.positive(self, 'num_items', 'num_shown')


@dataclasses.dataclass(frozen=True)
class BiasConfig(FigureConfig):
  """Harmful first replies and gender [§3.4.2]."""

  # JSON lines of {prompt, reply, is_harmful}; '': the lab's own.
  replies_file: str = ''
  num_replies: int = 2000  # comparisons of the lab that are looked through

  def __post_init__(self):
    super().__post_init__()
    shared.positive(self, 'num_replies')


@dataclasses.dataclass(frozen=True)
class OODConfig(FigureConfig):
  """Harmful prompts told by activations [§5.4, §B.9]."""

  network: str = 'pretrain'  # whose activations: 'pretrain' or 'pm' [open]
  pooling: str = 'mean'  # of a prompt's tokens: 'mean' or 'last' [open]
  num_usual: int = 2000  # helpful training prompts
  num_tested: int = 1000  # held-out prompts of either kind
  exposures: tuple[int, ...] = (1, 3, 10, 30, 100)  # harmful prompts shown
  num_exposures: int = 5  # draws of those [§B.9]

  def __post_init__(self):
    super().__post_init__()
    shared.one_of('network', self.network, ('pretrain', 'pm'))
    shared.one_of('pooling', self.pooling, ('mean', 'last'))
    shared.positive(self, 'num_usual', 'num_tested', 'num_exposures')
    require_counts('exposures', self.exposures)
    shared.require(
      self.exposures[-1] <= self.num_tested,
      f'exposures={self.exposures} asks for more harmful prompts than '
      f'num_tested={self.num_tested} are made',
    )


def require_distinct(name: str, values: tuple[Any, ...]) -> None:
  """Raises ValueError for a list that is empty or holds a value twice."""
  shared.require(len(values) > 0, f'{name} is empty; give at least one')
  twice = [value for value in values if values.count(value) > 1]
  shared.require(not twice, f'{name} holds {twice[:1]} more than once')


def require_counts(name: str, values: tuple[int, ...]) -> None:
  """Raises ValueError unless counts are positive and ascend."""
  require_distinct(name, values)
  shared.require(
    min(values) > 0 and list(values) == sorted(values),
    f'{name}={values} must be positive and ascend',
  )
