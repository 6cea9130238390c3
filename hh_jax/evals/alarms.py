"""Alarms of a policy that trains with PPO: what went wrong, where to look.

1. Every rule compares the median of the last `WINDOW` iterations with that of
   the first ones, or with a limit; single iterations are noisy.
2. A rule that fired stays silent until it has been quiet once.
3. A row with a number that is not finite is a bad step, which has a name of
   its own (`training.soundness`), and no part of any median.
4. Alarms say and store; they change nothing about training.

The paper watches KL and the length of replies (sections 4.3 and 4.4); the
limits are ours [open].
"""

from __future__ import annotations

import collections
import dataclasses
import math
import statistics
from collections.abc import Callable, Mapping, Sequence

WINDOW = 5  # iterations of a median
MAX_KL = 100.0  # nats a reply; the paper's runs end below √KL of about 8
MIN_KL = -1.0  # log-ratios of own samples are positive on average
MAX_VALUE_GROWTH = 10.0  # of the value loss
MIN_ENTROPY_SHARE = 0.1  # of what it was
FULL_LENGTH = 0.9  # of max_new_tokens: most replies are cut off
MIN_LENGTH_SHARE = 0.25  # of what it was
MIN_EOT_SHARE = 0.5  # of what it was
MIN_EOT_RATE = 0.05  # however low it began

Row = Mapping[str, float]


@dataclasses.dataclass(frozen=True)
class Alarm:
  """What fired, at which iteration, and what to look at."""

  step: int
  name: str
  message: str


@dataclasses.dataclass(frozen=True)
class Rule:
  """Fires where a metric, now and at the start, is a sign of trouble."""

  name: str
  metric: str
  fires: Callable[[float, float, int], bool]  # now, at the start, longest
  look_at: str


RULES = (
  Rule(
    'KL',
    'rollout/kl_k1',
    lambda now, first, longest: now > MAX_KL or now < MIN_KL,
    'the policy is far from its reference, or sampler and trainer disagree '
    '(rollout/sampler_mismatch): lower optimizer.lr_multiple, raise kl_coef',
  ),
  Rule(
    'value',
    'ppo/value_loss',
    lambda now, first, longest: now > MAX_VALUE_GROWTH * max(first, 1e-3),
    'the value network diverges: lower value_lr_multiple, check the scale of '
    'rollout/score',
  ),
  Rule(
    'entropy',
    'ppo/entropy',
    lambda now, first, longest: now < MIN_ENTROPY_SHARE * first,
    'the policy says one thing only: read samples/, lower '
    'optimizer.lr_multiple, raise kl_coef',
  ),
  Rule(
    'length',
    'rollout/length',
    lambda now, first, longest: (
      now > FULL_LENGTH * longest > first or now < MIN_LENGTH_SHARE * first
    ),
    'replies are cut off or nearly empty: the preference model may pay for '
    'length; compare its score with the length of replies',
  ),
  Rule(
    'EOS rate',
    'rollout/eot_rate',
    lambda now, first, longest: now < max(MIN_EOT_SHARE * first, MIN_EOT_RATE),
    'replies do not end: set missing_eot_score=fixed, or raise '
    'sampling.max_new_tokens',
  ),
)


class Watch:
  """Looks at one iteration after the other, from the first on."""

  def __init__(self, longest: int):
    """`longest` is `sampling.max_new_tokens`."""
    self._longest = longest
    self._first: list[Row] = []
    self._last: collections.deque[Row] = collections.deque(maxlen=WINDOW)
    self._loud: set[str] = set()

  def look(self, row: Row) -> list[Alarm]:
    """Returns the alarms that fire at this row of metrics, with its `step`."""
    if not all(math.isfinite(row[rule.metric]) for rule in RULES):
      return []
    self._last.append(row)
    if len(self._first) < WINDOW:
      self._first.append(row)
    if len(self._last) < WINDOW:
      return []
    fired = []
    for rule in RULES:
      now, first = (
        statistics.median(row[rule.metric] for row in window)
        for window in (self._last, self._first)
      )
      if not rule.fires(now, first, self._longest):
        self._loud.discard(rule.name)
      elif rule.name not in self._loud:
        self._loud.add(rule.name)
        fired.append(_alarm(rule, int(row['step']), now, first))
    return fired


def _alarm(rule: Rule, step: int, now: float, first: float) -> Alarm:
  what = f'{rule.metric} is {now:.3g} (it began at {first:.3g})'
  return Alarm(step, rule.name, f'{rule.name}: {what}; {rule.look_at}')


def find(rows: Sequence[Row], longest: int) -> list[Alarm]:
  """All alarms of a run, in the order in which they fired; see `Watch`."""
  watch = Watch(longest)
  return [alarm for row in rows for alarm in watch.look(row)]
