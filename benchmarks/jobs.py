"""The jobs that are compared, the sides of each, and what is asked of it.

All sides of a job get the same weights, texts and precision, and run in turn,
each time in a process of its own: modules of `ours` and of `peers`.
"""

from __future__ import annotations

import dataclasses
from typing import Any

DTYPES = ('float32', 'bfloat16')


@dataclasses.dataclass(frozen=True)
class Comparison:
  """One row of the table: a variant of ours beside a peer."""

  name: str
  peer: str  # variant of the peer
  goal: float  # ratio wanted at 13M
  ours: str = 'plain'


@dataclasses.dataclass(frozen=True)
class Job:
  """Work that several sides do."""

  kind: str  # module of `ours` and of `peers`
  unit: str  # what is counted, a second
  comparisons: tuple[Comparison, ...]
  fields: dict[str, Any]  # of every side

  def sides(self) -> list[str]:
    """Every side once, as 'ours/VARIANT' or 'peers/VARIANT'."""
    names = [f'ours/{row.ours}' for row in self.comparisons]
    names += [f'peers/{row.peer}' for row in self.comparisons]
    return list(dict.fromkeys(names))


def _pm(pairs: int, batches: int, goal: float) -> Job:
  name = f'PM training, {pairs} pairs'
  return Job(
    'pm',
    'comparisons',
    (
      Comparison(name, 'plain', goal),
      Comparison(f'{name}, peer sorted by length', 'sorted', 1.3),
    ),
    {
      'pairs': pairs,
      'batches': batches,
      'row_length': 512,
      'rate': 1e-5,
      'repeats': 2,
    },
  )


def _sampling(slots: int) -> Job:
  name = f'sampling, batch {slots}'
  return Job(
    'sampling',
    'tokens',
    (
      Comparison(name, 'plain', 2.5),
      Comparison(f'{name}, peer sorted by length', 'sorted', 2.5),
    ),
    {'prompts': 2 * slots, 'slots': slots, 'max_new': 128, 'repeats': 2},
  )


JOBS = (
  Job(
    'lm',
    'tokens',
    (
      Comparison('LM step, eager', 'eager', 1.0),
      Comparison('LM step, torch.compile', 'compile', 0.9),
    ),
    {'rows': 4, 'rate': 1e-4, 'repeats': 4},
  ),
  Job(
    'ppo',
    'replies',
    (
      Comparison('PPO iteration', 'plain', 2.0),
      Comparison(
        'PPO iteration, value head on the policy: less work',
        'plain',
        2.5,
        'shared',
      ),
    ),
    {
      'prompts': 32,
      'passes': 1,
      'minibatches': 1,
      'max_new': 128,
      'row_length': 512,
      'rate': 1e-6,
      'warm_up': 2,
      'repeats': 2,
    },
  ),
  _pm(8, 8, 2.5),
  _sampling(64),
  _sampling(16),
  Job(
    'best_of',
    'replies',
    (Comparison('best of 16: sampling and scoring', 'plain', 5.0),),
    {
      'prompts': 8,
      'k': 16,
      'slots': 64,
      'max_new': 128,
      'row_length': 1536,
      'repeats': 2,
    },
  ),
  _pm(32, 3, 3.5),
)
