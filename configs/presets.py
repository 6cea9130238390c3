"""Choices that several config files share: sizes, worlds and scales.

A scale is how much of a stage is run: `full`, `demo` (the ten minutes of
`make demo`) or `smoke` (a few steps, for tests). The paper's rates and batches
are the ladder's; what the small lab models need instead is marked
`Deviation:`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import ml_collections

from hh_jax.config import (
  DataConfig,
  LoopConfig,
  ModelConfig,
  OptimizerConfig,
  SamplingConfig,
  parse_arg,
  to_config_dict,
)
from hh_jax.models.sizes import model_config

SCALES = ('full', 'demo', 'smoke')
ARGUMENTS = {'world': 'lab', 'size': 'nano', 'scale': 'full'}
NANO_INIT_STD = 0.08


@dataclasses.dataclass(frozen=True)
class Choice:
  """The `:world=...,size=...,scale=...` of a config file."""

  world: str
  size: str
  scale: str

  def __post_init__(self):
    if self.scale not in SCALES:
      raise ValueError(f'scale={self.scale!r} is not one of {SCALES}')
    if self.world not in ('lab', 'hh'):
      raise ValueError(f"world={self.world!r} is not one of ('lab', 'hh')")

  @property
  def is_nano(self) -> bool:
    return self.size.startswith('nano')

  @property
  def is_small_data(self) -> bool:
    """Real data on a laptop: a few thousand comparisons, one hour."""
    return self.is_nano and self.world == 'hh'

  def pick(self, full: int, demo: int, smoke: int) -> int:
    """Returns the number of this choice's scale."""
    return {'full': full, 'demo': demo, 'smoke': smoke}[self.scale]


def config_of(
  build: Callable[..., object], arg: str | None, **own: float
) -> ml_collections.ConfigDict:
  """Returns what `build` makes of a config file's argument.

  Args:
    build: Of a Choice and the file's own arguments.
    arg: What stands after the colon: 'name=value,...'.
    **own: Names and defaults of the file's own arguments.
  """
  values = parse_arg(arg, **own, **ARGUMENTS)
  mine = {name: values.pop(name) for name in own}
  return to_config_dict(build(Choice(**values), **mine))


def model(choice: Choice) -> ModelConfig:
  """Returns the rung; in the lab its vocabulary fits the lab's language."""
  if choice.is_nano:
    # Deviation: 1,024 tokens cover the lab's closed language, and the output
    # matrix would otherwise cost as much as the blocks.
    vocabulary = {'vocab_size': 1024} if choice.world == 'lab' else {}
    # Deviation: 0.02 suits wide models; narrow ones start nearer 1/sqrt(d).
    return model_config(choice.size, init_std=NANO_INIT_STD, **vocabulary)
  # bfloat16 operands with float32 sums are what accelerators
  # multiply fastest, and the largest rungs recompute activations to fit.
  return model_config(
    choice.size,
    compute_dtype='bfloat16',
    remat=choice.size in ('810m', '2.7b', '13b', '52b'),
  )


def data(
  choice: Choice,
  row_length: int,
  batch_size: int,
  num_examples: int = 0,
  max_path: int = 0,
) -> DataConfig:
  """Returns a DataConfig of the chosen world."""
  return DataConfig(
    world=choice.world,
    row_length=row_length,
    batch_size=batch_size,
    # Deviation: 95/5 [§2.3] would leave nano rungs too few real comparisons.
    test_fraction=0.1 if choice.is_nano else 0.05,
    num_examples=num_examples,
    max_path=max_path,
  )


def short_rows(choice: Choice, paper_row: int) -> int:
  """Returns tokens of a row that holds prompts with their replies.

  The paper's context on the ladder. On nano rungs the rows are as short as
  the world's dialogues allow, because attention costs T per token.
  """
  if not choice.is_nano:
    return paper_row
  return 256 if choice.world == 'lab' else 512


def loop(choice: Choice) -> LoopConfig:
  return LoopConfig(
    log_every=choice.pick(50, 50, 1),
    checkpoint_every=choice.pick(200, 200, 2),
  )


def optimizer(
  choice: Choice,
  paper_multiple: float,
  nano_multiple: float,
  schedule: str,
  warmup_steps: int = 0,
  nano_schedule: str = '',
) -> OptimizerConfig:
  """Returns Adam at the paper's multiple of lr_pretrain, or a nano rung's.

  Deviation: a nano rung learns from few steps, often a few hundred, and the
  paper's multiples would hardly move its weights (benchmarks/NOTES.md). Where
  `nano_schedule` is given they decay, so that noisy labels average out.
  """
  if choice.is_nano:
    return OptimizerConfig(
      lr_multiple=nano_multiple,
      schedule=nano_schedule or schedule,
      warmup_steps=warmup_steps,
    )
  return OptimizerConfig(
    lr_multiple=paper_multiple, schedule=schedule, warmup_steps=warmup_steps
  )


def sampling(choice: Choice) -> SamplingConfig:
  """Returns 128 new tokens [§B.1], fewer on nano rungs.

  The lab's replies have at most 40. Deviation: 64 on real data at nano size,
  which is longer than three of four HH replies, to fit the hour.
  """
  nano_tokens = 40 if choice.world == 'lab' else 64
  return SamplingConfig(
    max_new_tokens=nano_tokens if choice.is_nano else 128,
    slots=choice.pick(128, 128, 8),
  )
