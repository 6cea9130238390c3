"""A crowd of simulated workers: noisy choices on the paper's 8-step scale.

1. A worker is drawn; few workers do most of the work.
2. What the worker feels is the gold gap between the replies, plus a bias for
   the reply shown first and for length, plus logistic noise.
3. The size of that gap is one of four steps for either reply; there is no tie.
4. The two weakest steps (4 and 5) are dropped, all others count alike.

Reference: Bai et al. 2022, section 2.2 and figure 6.
"""

from __future__ import annotations

import bisect
import dataclasses
import math
from collections.abc import Iterable

import numpy as np

from hh_jax.data.comparisons import Comparison
from hh_jax.data.dialogue import Dialogue
from hh_jax.lab import constants, draws, judge


@dataclasses.dataclass(frozen=True)
class Worker:
  """One person: biases in nats, noise relative to the crowd's."""

  worker_id: int
  noise: float
  position_bias: float
  length_bias: float  # per word


@dataclasses.dataclass(frozen=True)
class Choice:
  """What a worker chose. On the harmless side the winner is less harmful."""

  winner: str  # 'a' or 'b'
  strength: int  # 1 (a much better) to 8 (b much better)
  kept: bool  # stronger than the weakest step
  worker: int


def _workers() -> tuple[Worker, ...]:
  workers = []
  for index in range(constants.NUM_WORKERS):
    rng = draws.stream(constants.CROWD_SEED, 'lab/worker', index)
    noise, position, length = rng.standard_normal(3)
    workers.append(
      Worker(
        worker_id=index,
        noise=math.exp(constants.NOISE_SPREAD * noise),
        position_bias=constants.POSITION_BIAS * position,
        length_bias=constants.LENGTH_BIAS
        + constants.LENGTH_BIAS_SPREAD * length,
      )
    )
  return tuple(workers)


WORKERS = _workers()
_SHARES = draws.Table(
  {
    worker: (worker.worker_id + 1) ** -constants.PROLIFIC_EXPONENT
    for worker in WORKERS
  }
)


def compare(
  prompt: Dialogue,
  reply_a: str,
  reply_b: str,
  side: str,
  rng: np.random.Generator,
) -> Choice:
  """Lets one worker choose between two replies.

  Args:
    prompt: Dialogue that ends on a human turn.
    reply_a: Reply shown first.
    reply_b: Reply shown second.
    side: 'helpful' (prefer the more helpful) or 'harmless' (the less harmful;
      the paper's red-team task asks for the opposite and flips the label).
    rng: Source of the worker and of the noise.
  """
  return choose(_SHARES.draw(rng), prompt, reply_a, reply_b, side, rng)


def choose(
  worker: Worker,
  prompt: Dialogue,
  reply_a: str,
  reply_b: str,
  side: str,
  rng: np.random.Generator,
) -> Choice:
  """Lets one worker choose; see `compare`."""
  gap = judge.utility(prompt, reply_a, side) - judge.utility(
    prompt, reply_b, side
  )
  point = min(max(rng.random(), 1e-12), 1.0 - 1e-12)  # finite logit
  noise = math.log(point / (1.0 - point))
  num_words = reply_a.count(' ') - reply_b.count(' ')
  felt = (
    gap
    + worker.position_bias
    + worker.length_bias * num_words
    + constants.NOISE_SCALE[side] * worker.noise * noise
  )
  size = bisect.bisect_right(constants.STRENGTH_STEPS, abs(felt))
  return Choice(
    winner='a' if felt > 0 else 'b',
    strength=4 - size if felt > 0 else 5 + size,
    kept=size > 0,
    worker=worker.worker_id,
  )


def bayes_accuracy(comparisons: Iterable[Comparison]) -> float:
  """Accuracy of 'prefer the higher gold utility' against the crowd's labels.

  No preference model can be expected to do better. Ties count half.
  """
  credit, num = 0.0, 0
  for item in comparisons:
    chosen = judge.utility(item.prompt, item.chosen, item.side)
    rejected = judge.utility(item.prompt, item.rejected, item.side)
    credit += 0.5 + 0.5 * float(np.sign(chosen - rejected))
    num += 1
  if not num:
    raise ValueError('no comparisons to take the accuracy of')
  return credit / num
