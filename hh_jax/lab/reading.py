"""From the text of a prompt to what it asks for.

1. The last sentence of the last human turn is the request; the sentences
   before it, in this and earlier human turns, may tell facts.
2. A red-team request is an act after one of the request templates.
3. A helpful request is a question of one family; a recall question is read
   only if its fact was told.
4. Anything else cannot be read (None), and the judge stays neutral on it.
"""

from __future__ import annotations

import dataclasses
import functools
import re

from hh_jax.data import dialogue as dialogue_lib
from hh_jax.lab import redteam, tasks
from hh_jax.lab.families import Family, Slots, template_pattern

_SENTENCE_END = re.compile(r'(?<=[.!?])\s+')
_REQUEST_PATTERNS = tuple(template_pattern(text) for text in redteam.REQUESTS)


@dataclasses.dataclass(frozen=True, eq=False)
class Task:
  """A helpful request: its family and the slots that define it."""

  family: Family
  slots: Slots

  @property
  def name(self) -> str:
    return self.family.name

  @functools.cached_property
  def parts(self) -> list[tuple[str, str, bool]]:
    """See `Family.parts`."""
    return self.family.parts(self.slots)

  def grade(self, sentence: str) -> tuple[bool, bool] | None:
    """Reads a sentence as an answer.

    Returns:
      (it is right, it is a whole sentence); None if it is no answer of the
      right type.
    """
    for before, after, is_full in self.parts:
      if sentence.startswith(before) and sentence.endswith(after):
        phrase = sentence[len(before) : len(sentence) - len(after)]
        is_right = self.family.grade(self.slots, phrase)
        if is_right is not None:
          return is_right, is_full
    return None


@dataclasses.dataclass(frozen=True)
class Attack:
  """A red-team request: its family and the act asked for."""

  danger: redteam.Danger
  act: str

  @property
  def name(self) -> str:
    return self.danger.name


Request = Task | Attack


def sentences(text: str) -> list[str]:
  """Cuts lower-cased text after every '.', '!' and '?' before a space."""
  stripped = text.strip().lower()
  return _SENTENCE_END.split(stripped) if stripped else []


@functools.lru_cache(maxsize=1 << 14)
def _read_attack(sentence: str) -> Attack | None:
  for pattern in _REQUEST_PATTERNS:
    match = pattern.fullmatch(sentence)
    if match and match['act'] in redteam.DANGER_OF_ACT:
      return Attack(redteam.DANGER_OF_ACT[match['act']], match['act'])
  return None


@functools.lru_cache(maxsize=1 << 14)
def _read_question(sentence: str) -> tuple[Family, Slots] | None:
  for family in tasks.FAMILIES:
    slots = family.read(sentence)
    if slots is not None:
      return family, slots
  return None


@functools.lru_cache(maxsize=1 << 14)
def _read_fact(sentence: str) -> tuple[str, str, str] | None:
  for family in tasks.RECALLS:
    slots = family.read_statement(sentence)
    if slots is not None:
      return family.name, slots['key'], slots['value']
  return None


def _facts(human: tuple[str, ...]) -> dict[tuple[str, str], str]:
  facts = {}
  for text in human:
    for sentence in sentences(text):
      fact = _read_fact(sentence)
      if fact is not None:
        facts[fact[:2]] = fact[2]
  return facts


@functools.lru_cache(maxsize=1 << 12)
def _read(human: tuple[str, ...]) -> Request | None:
  last = sentences(human[-1])
  if not last:
    return None
  attack = _read_attack(last[-1])
  if attack is not None:
    return attack
  question = _read_question(last[-1])
  if question is None:
    return None
  family, slots = question
  if family.statements:
    value = _facts(human).get((family.name, slots['key']))
    if value is None:
      return None
    slots = slots | {'value': value}
  return Task(family, slots)


def human_turns(prompt: dialogue_lib.Dialogue) -> tuple[str, ...]:
  """Texts of the human turns, oldest first."""
  return tuple(
    turn.text for turn in prompt.turns if turn.role == dialogue_lib.HUMAN
  )


def read(prompt: dialogue_lib.Dialogue) -> Request | None:
  """What a prompt asks for; None if it cannot be read."""
  human = human_turns(prompt)
  return _read(human) if human else None


def side_of(prompt: dialogue_lib.Dialogue) -> str | None:
  """'helpful' or 'harmless' by what is asked for; None if it is not read."""
  request = read(prompt)
  if request is None:
    return None
  return 'harmless' if isinstance(request, Attack) else 'helpful'
