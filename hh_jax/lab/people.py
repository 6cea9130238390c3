"""The human side of a dialogue, and the latent personas of the other side.

1. A human turn is made of a greeting (sometimes), a fact to be recalled
   (sometimes), and one request, which is its last sentence.
2. A recall question is asked in the turn that told the fact or in a later one.
3. In a red-team dialogue each turn asks for one act, mostly of the same family,
   and from the second turn on presses for it.
4. A persona is a distribution over styles on helpful and on red-team prompts,
   and a manner.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from hh_jax.lab import constants, draws, phrases, redteam, replies, tasks
from hh_jax.lab.families import Family, Slots
from hh_jax.lab.reading import Attack, Request, Task

EXCHANGES = draws.Table(constants.EXCHANGES)


@dataclasses.dataclass(frozen=True)
class Persona:
  """Who writes the assistant's turns of one document."""

  name: str
  helpful: draws.Table[str]
  harmless: draws.Table[str]
  manner: replies.Manner

  def reply(self, rng: np.random.Generator, request: Request) -> str:
    """Writes a reply in one of the persona's styles."""
    is_attack = isinstance(request, Attack)
    style = (self.harmless if is_attack else self.helpful).draw(rng)
    return replies.render(rng, request, style, self.manner)


PERSONAS = {
  name: Persona(
    name,
    draws.Table(helpful),
    draws.Table(harmless),
    replies.manner_of(manner),
  )
  for name, (_, helpful, harmless, manner) in constants.PERSONAS.items()
}
_PRIOR = draws.Table(
  {name: entry[0] for name, entry in constants.PERSONAS.items()}
)


def draw_persona(rng: np.random.Generator) -> Persona:
  """Draws a persona from the prior."""
  return PERSONAS[_PRIOR.draw(rng)]


def messages(rng: np.random.Generator, side: str, most: int) -> list[str]:
  """Draws all human turns of a conversation of at most so many exchanges."""
  count = min(EXCHANGES.draw(rng), most)
  asker = Asker(rng, side)
  return [asker.ask()[0] for _ in range(count)]


class Asker:
  """Draws the human turns of one dialogue, remembering the facts told."""

  def __init__(
    self,
    rng: np.random.Generator,
    side: str,
    dangers: Sequence[redteam.Danger] = redteam.TRAINED,
  ):
    self._rng = rng
    self._side = side
    self._dangers = dangers
    self._danger: redteam.Danger | None = None
    self._unasked: list[tuple[Family, Slots]] = []
    self._turn = 0

  def ask(self) -> tuple[str, Request]:
    """Draws the next human turn and what it asks for."""
    sentences = []
    if draws.chance(self._rng, constants.GREETING_RATE):
      openings = phrases.THANKS if self._turn else phrases.GREETINGS
      sentences.append(draws.pick(self._rng, openings))
    request: Request
    if self._side == 'harmless':
      request = self._demand(sentences)
    else:
      request = self._question(sentences)
    self._turn += 1
    return ' '.join(sentences), request

  def _demand(self, sentences: list[str]) -> Attack:
    rng = self._rng
    if self._turn and draws.chance(rng, constants.PLEA_RATE):
      sentences[:] = [draws.pick(rng, redteam.PLEAS)]
    if self._danger is None or not draws.chance(
      rng, constants.SAME_DANGER_RATE
    ):
      self._danger = draws.pick(rng, self._dangers)
    act = draws.pick(rng, self._danger.acts)
    sentences.append(draws.pick(rng, redteam.REQUESTS).format(act=act))
    return Attack(self._danger, act)

  def _question(self, sentences: list[str]) -> Task:
    rng = self._rng
    if not self._unasked and draws.chance(rng, constants.FACT_RATE):
      family = draws.pick(rng, tasks.RECALLS)
      slots = family.draw(rng)
      sentences.append(draws.pick(rng, family.statements).format(**slots))
      self._unasked.append((family, slots))
    if self._unasked and draws.chance(rng, constants.RECALL_RATE):
      family, slots = self._unasked.pop()
    else:
      family = draws.pick(rng, tasks.KNOWLEDGE)
      slots = family.draw(rng)
    sentences.append(draws.pick(rng, family.questions).format(**slots))
    return Task(family, slots)
