"""Configs of figures that train policies or sample from them."""

from __future__ import annotations

import dataclasses

from hh_jax.config import agreement, shared
from hh_jax.config.figures import FigureConfig, require_counts, require_distinct
from hh_jax.config.stages import RejectionConfig, RLHFConfig

field = dataclasses.field


@dataclasses.dataclass(frozen=True)
class PolicyConfig(FigureConfig):
  """The models of a figure, and policies trained against them."""

  rlhf: RLHFConfig = field(default_factory=RLHFConfig)
  rejection: RejectionConfig = field(default_factory=RejectionConfig)

  def __post_init__(self):
    super().__post_init__()
    parts = {'pm': self.pm, 'rlhf': self.rlhf, 'rejection': self.rejection}
    agreement.require_one_split(parts)


@dataclasses.dataclass(frozen=True)
class RobustnessConfig(PolicyConfig):
  """Train- and test-PMs of independent halves of the comparisons [§4.2].

  `rejection.k` is the largest n of best-of-n beside RL.
  """

  compared_at: float = 0.8  # of a run's samples; the paper: 200k of 250k

  def __post_init__(self):
    super().__post_init__()
    shared.fraction(self, 'compared_at')
    span = (self.pm.data.span_start, self.pm.data.span_end)
    shared.require(
      span == (0, 1),
      f'pm.data.span_start, span_end={span} are not used: the figure halves '
      'the comparisons',
    )


@dataclasses.dataclass(frozen=True)
class BestOfConfig(PolicyConfig):
  """Best of k for several k, each with replies of its own [§B.6]."""

  ks: tuple[int, ...] = (1, 4, 16, 64)
  games_per_prompt: int = 2  # crowd comparisons of each pair [open]

  def __post_init__(self):
    super().__post_init__()
    shared.positive(self, 'games_per_prompt')
    require_counts('ks', self.ks)
    shared.require(
      len(self.ks) > 1, f'ks={self.ks} compares nothing; give two or more'
    )
    shared.require(
      self.rejection.k >= sum(self.ks),
      f'rejection.k={self.rejection.k} replies a prompt are too few: '
      f'ks={self.ks} take {sum(self.ks)}, each its own',
    )


@dataclasses.dataclass(frozen=True)
class TensionConfig(PolicyConfig):
  """RLHF with harmless prompts in several shares [§4.4]."""

  fractions: tuple[float, ...] = (0.0, 0.25, 0.5, 0.75, 1.0)  # harmless

  def __post_init__(self):
    super().__post_init__()
    require_distinct('fractions', self.fractions)
    shared.require(
      list(self.fractions) == sorted(self.fractions)
      and self.fractions[0] >= 0
      and self.fractions[-1] <= 1,
      f'fractions={self.fractions} must ascend within [0, 1]',
    )


@dataclasses.dataclass(frozen=True)
class EloConfig(PolicyConfig):
  """Elo of policies by size [§1, §2.4]."""

  games_per_prompt: int = 2  # crowd comparisons of each pair [open]
  # world=lab: shares of lapses of the writers beside the policies [open]
  writer_lapses: tuple[float, ...] = (0.1, 0.3)

  def __post_init__(self):
    super().__post_init__()
    shared.positive(self, 'games_per_prompt')
    require_distinct('writer_lapses', self.writer_lapses)
    shared.require(
      0 <= min(self.writer_lapses) <= max(self.writer_lapses) <= 1,
      f'writer_lapses={self.writer_lapses} is not within [0, 1]',
    )


@dataclasses.dataclass(frozen=True)
class WritersConfig(EloConfig):
  """Policies against the first of the writers [§6.1]."""


@dataclasses.dataclass(frozen=True)
class OnlineConfig(PolicyConfig):
  """Iterated online RLHF [§4.5]; `rejection` says how deployed models answer.

  `rejection.k` is that of the best of k among them.
  """

  # The one to run, in figures the last one.
  iteration: int = field(default=0, metadata={'has_flag': True})
  # Of this iteration, as hh_jax.feedback.export wrote it; '': the lab's crowd.
  tranche: str = ''
  # Whether a tranche may hold replies of models that no earlier iteration
  # made, as a small share of the paper's does [fn 11].
  other_models: bool = False
  conversations: int = 1000  # that the crowd has for a tranche, or for Elo
  harmless_share: float = 0.0  # of them, red-team: none in the paper [§2.3]
  snapshots: int = 4  # of a policy that are deployed, evenly along its training
  games_per_prompt: int = 2  # crowd comparisons of each pair [open]
  hhh_file: str = ''  # as in HHHConfig; world=hh, '': without that line
  num_items: int = 400  # HHH items that the lab makes

  def __post_init__(self):
    super().__post_init__()
    shared.counts(self)
    shared.positive(
      self, 'conversations', 'snapshots', 'games_per_prompt', 'num_items'
    )
    shared.fraction(self, 'harmless_share')
    every, left = divmod(self.rlhf.num_iterations, self.snapshots)
    shared.require(
      every > 0 and left == 0 and every % self.rlhf.eval_every == 0,
      f'snapshots={self.snapshots} do not divide rlhf.num_iterations='
      f'{self.rlhf.num_iterations} into multiples of rlhf.eval_every='
      f'{self.rlhf.eval_every}',
    )
    shared.require(
      not self.tranche or (len(self.seeds) == 1 and self.iteration > 0),
      f'tranche={self.tranche} is one of one seed and of an iteration from 1 '
      f'on, not of seeds={self.seeds}, iteration={self.iteration}',
    )

  @property
  def snapshot_steps(self) -> tuple[int, ...]:
    """Iterations of RLHF after which a policy is kept, the last its end."""
    every = self.rlhf.num_iterations // self.snapshots
    return tuple(every * number for number in range(1, self.snapshots + 1))
