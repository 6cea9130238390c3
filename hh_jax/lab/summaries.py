"""Summaries: comparisons of another kind than the lab's dialogues.

1. A person tells a few facts and asks for a summary; a reply opens with the
   same words and says some of the facts, and perhaps false ones.
2. Gold counts facts that are told truly and takes off for false ones and for
   what is said twice. It reads prompt and reply alone.
3. A worker picks by the gold gap with logistic noise; pairs of equal worth are
   drawn anew.

The stream is apart from those of `world`, whose items it does not change.

Reference: Bai et al. 2022, section 5.2 (comparisons of summaries in the
dialogue template).
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from hh_jax.data.comparisons import Comparison
from hh_jax.data.dialogue import Dialogue, Turn
from hh_jax.lab import constants, draws, tasks
from hh_jax.lab.families import Family

TRANCHE = 'summaries'
ASK = 'please sum this up for me.'
OPENER = 'sure, here it is:'
_FATES = draws.Table(constants.SUMMARY_FATES)


@dataclasses.dataclass(frozen=True)
class Fact:
  """Something that a person told of themselves."""

  family: Family
  key: str
  value: str

  def statement(self, rng: np.random.Generator) -> str:
    text = draws.pick(rng, self.family.statements)
    return text.format(key=self.key, value=self.value)

  def retold(self) -> str:
    frame = self.family.frames[1]
    return frame.format(key=self.key, x=self.value)


def _facts(rng: np.random.Generator) -> list[Fact]:
  """Draws facts about different things."""
  num = draws.pick(rng, constants.SUMMARY_FACTS)
  found: dict[tuple[str, str], Fact] = {}
  while len(found) < num:
    family = draws.pick(rng, tasks.RECALLS)
    slots = family.draw(rng)
    found[family.name, slots['key']] = Fact(
      family, slots['key'], slots['value']
    )
  return list(found.values())


def _falsified(rng: np.random.Generator, fact: Fact) -> Fact:
  slots = {'key': fact.key, 'value': fact.value}
  return dataclasses.replace(fact, value=fact.family.wrong(rng, slots))


def _reply(rng: np.random.Generator, facts: list[Fact]) -> str:
  """Says some of the facts, each truly or falsely, in their order."""
  said = []
  for fact in facts:
    fate = _FATES.draw(rng)
    if fate != 'left out':
      said.append(fact if fate == 'told' else _falsified(rng, fact))
    if said and draws.chance(rng, constants.SUMMARY_REPEAT_RATE):
      said.append(said[-1])
  said = said or facts[:1]
  return f'{OPENER} ' + ' '.join(f'{fact.retold()}.' for fact in said)


def utility(prompt: Dialogue, reply: str) -> float:
  """Worth of any reply to a request for a summary, in nats."""
  true = {
    fact.retold() for fact in _read_facts(prompt.turns[-1].text.split('. '))
  }
  text = reply.removeprefix(OPENER).strip()
  said = [part.strip() for part in text.removesuffix('.').split('.')]
  said = [part for part in said if part]
  value = 0.0
  for place, part in enumerate(said):
    if part in said[:place]:
      value -= constants.SUMMARY_REPEAT_COST
    else:
      value += (
        constants.SUMMARY_TRUE_GAIN
        if part in true
        else -constants.SUMMARY_FALSE_COST
      )
  return value


def _read_facts(sentences: list[str]) -> list[Fact]:
  found = []
  for sentence in sentences:
    whole = sentence.strip().removesuffix('.') + '.'
    for family in tasks.RECALLS:
      slots = family.read_statement(whole)
      if slots is not None:
        found.append(Fact(family, slots['key'], slots['value']))
  return found


def comparison(seed: int, index: int) -> Comparison:
  """Comparison `index` of the stream."""
  rng = draws.stream(seed, 'lab/summary', index)
  facts = _facts(rng)
  told = ' '.join(fact.statement(rng) for fact in facts)
  prompt = Dialogue((Turn('human', f'{told} {ASK}'),))
  first = _reply(rng, facts)
  second = _reply(rng, facts)
  while utility(prompt, first) == utility(prompt, second):
    second = _reply(rng, facts)
  gap = utility(prompt, first) - utility(prompt, second)
  point = min(max(rng.random(), 1e-12), 1.0 - 1e-12)  # finite logit
  felt = gap + constants.SUMMARY_NOISE_SCALE * math.log(point / (1 - point))
  chosen, rejected = (first, second) if felt > 0 else (second, first)
  return Comparison(prompt, chosen, rejected, 'helpful', TRANCHE, 1)


def comparisons(seed: int, num: int) -> list[Comparison]:
  """The first `num` comparisons of the stream."""
  if num < 0:
    raise ValueError(f'num={num}: need num >= 0')
  return [comparison(seed, index) for index in range(num)]
