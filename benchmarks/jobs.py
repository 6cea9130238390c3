"""The jobs that are compared, the sides of each, and what is asked of it.

All sides of a job get the same weights, texts and precision, and run in turn,
each time in a process of its own: modules of `ours` and of `peers`. Where a
peer has several ways to do the same work, the fastest counts.
"""

from __future__ import annotations

import dataclasses
from typing import Any

DTYPES: tuple[str, ...] = ('float32', 'bfloat16')
SIZES: tuple[str, ...] = ('13m',)  # on a CPU
VOCAB = 8192
PLAIN = ('plain',)


@dataclasses.dataclass(frozen=True)
class Comparison:
  """One row of the table: a variant of ours beside a peer."""

  name: str
  goal: float | None  # ratio wanted, at 13M where the size does not decide
  peers: tuple[str, ...] = PLAIN  # variants of the peer
  ours: str = 'plain'
  dtypes: tuple[str, ...] = DTYPES


@dataclasses.dataclass(frozen=True)
class Job:
  """Work that several sides do."""

  kind: str  # module of `ours`, and of `peers` unless that has another
  unit: str  # what is counted, a second
  comparisons: tuple[Comparison, ...]
  fields: dict[str, Any]  # of every side
  family: str = 'gpt_neox'  # architecture of the networks
  peer: str = ''  # module of `peers`
  peer_fields: dict[str, Any] | None = None  # of the peers, where they differ

  def sides(self) -> list[str]:
    """Every side once, as 'ours/VARIANT' or 'peers/VARIANT'."""
    names = [f'ours/{row.ours}' for row in self.comparisons]
    names += [f'peers/{p}' for row in self.comparisons for p in row.peers]
    return list(dict.fromkeys(names))

  def module(self, owner: str) -> str:
    return self.peer if self.peer and owner == 'peers' else self.kind

  def fields_of(self, side: str) -> dict[str, Any]:
    """What a process of a side is told of the job."""
    fields = self.fields
    if side.startswith('peers') and self.peer_fields is not None:
      fields = self.peer_fields
    return {**fields, 'family': self.family}

  def of_dtype(self, dtype: str) -> Job:
    """The comparisons at one precision."""
    kept = tuple(row for row in self.comparisons if dtype in row.dtypes)
    return dataclasses.replace(self, comparisons=kept)

  def alone(self) -> Job:
    """The same without peers: one row for each variant of ours."""
    rows: dict[str, Comparison] = {}
    for row in self.comparisons:
      alone = dataclasses.replace(row, peers=(), goal=None)
      rows.setdefault(row.ours, alone)
    return dataclasses.replace(self, comparisons=tuple(rows.values()))


def _pm(pairs: int, batches: int, goal: float) -> Job:
  name = f'PM training, {pairs} pairs'
  return Job(
    'pm',
    'comparisons',
    (
      Comparison(name, goal),
      Comparison(f'{name}, peer sorted by length', 1.3, ('sorted',)),
    ),
    {
      'pairs': pairs,
      'batches': batches,
      'row_length': 512,
      'rate': 1e-5,
      'repeats': 2,
    },
  )


def _decoding(name: str, goal: float) -> tuple[Comparison, ...]:
  """Rows of a job that samples; low precision need not pay for a peer."""
  low = ('plain', 'autocast', 'float32')
  return (
    Comparison(name, goal, dtypes=('float32',)),
    Comparison(name, goal, low, dtypes=('bfloat16',)),
  )


def _sampling(slots: int) -> Job:
  name = f'sampling, batch {slots}'
  by_length = Comparison(
    f'{name}, peer sorted by length', 2.5, ('sorted',), dtypes=('float32',)
  )
  return Job(
    'sampling',
    'tokens',
    (*_decoding(name, 2.5), by_length),
    {'prompts': 2 * slots, 'slots': slots, 'max_new': 128, 'repeats': 2},
  )


_IS_LESS = 'PPO iteration, value head on the policy: less work'
_AS_SHIPPED = 'PPO iteration, TRL as shipped (float32)'
_PPO = {
  'prompts': 32,
  'passes': 1,
  'minibatches': 1,
  'max_new': 128,
  'row_length': 512,
  'rate': 1e-6,
  'repeats': 2,
}

JOBS = (
  Job(
    'lm',
    'tokens',
    (
      Comparison('LM step, eager', 1.0, ('eager',)),
      Comparison('LM step, torch.compile', 0.9, ('compile',)),
    ),
    {'rows': 4, 'rate': 1e-4, 'repeats': 4},
  ),
  Job(
    'ppo',
    'replies',
    (
      Comparison('PPO iteration', 2.0),
      Comparison(_IS_LESS, 2.5, ours='shared'),
      Comparison(_AS_SHIPPED, 3.0, ('shipped',), dtypes=('bfloat16',)),
    ),
    _PPO,
  ),
  Job(
    'ppo',
    'replies',
    (Comparison('PPO iteration, Tunix', 2.2, dtypes=('float32',)),),
    _PPO,
    family='qwen2',
    peer='ppo_tunix',
  ),
  _pm(8, 8, 2.5),
  _sampling(64),
  Job(
    'best_of',
    'replies',
    _decoding('best of 16: sampling and scoring', 5.0),
    {'prompts': 16, 'k': 16, 'slots': 64, 'max_new': 128, 'repeats': 2},
  ),
  _pm(32, 3, 3.5),
  _sampling(16),
)
