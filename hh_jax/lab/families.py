"""What a family of helpful tasks is: how it asks, answers and grades.

1. A family draws the slots of a question and says it by one of its templates.
2. The same templates, read backwards, turn a question into its slots, so that
   the judge needs nothing but the text.
3. From the slots come a right answer, a wrong one of the same type, and a
   grade (right, wrong or not an answer of this type) of any phrase.
"""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from hh_jax.lab import draws

Slots = dict[str, str]

# Slots that stand beside each other in a question hold one noun each.
_NOUN_SLOTS = ('item', 'first', 'second')


@dataclasses.dataclass(frozen=True)
class Family:
  """A family of helpful tasks.

  `frames` are what an answer {x} is said in; the first is the bare answer.
  `statements` tell a fact to be recalled (slots `key` and `value`); a family
  that has some needs the fact among the slots, as `value`.
  """

  name: str
  questions: tuple[str, ...]
  frames: tuple[str, ...]
  draw: Callable[[np.random.Generator], Slots]
  accepts: Callable[[Slots], bool]
  right: Callable[[np.random.Generator, Slots], str]
  wrong: Callable[[np.random.Generator, Slots], str]
  grade: Callable[[Slots, str], bool | None]
  statements: tuple[str, ...] = ()

  @functools.cached_property
  def question_patterns(self) -> tuple[re.Pattern[str], ...]:
    return tuple(template_pattern(text) for text in self.questions)

  @functools.cached_property
  def statement_patterns(self) -> tuple[re.Pattern[str], ...]:
    return tuple(template_pattern(text) for text in self.statements)

  def read(self, question: str) -> Slots | None:
    """Slots of a question, None if it is not one of this family."""
    return self._read(question, self.question_patterns)

  def read_statement(self, sentence: str) -> Slots | None:
    """Slots of a sentence that tells a fact, None if it is no such one."""
    return self._read(sentence, self.statement_patterns)

  def _read(
    self, sentence: str, patterns: Sequence[re.Pattern[str]]
  ) -> Slots | None:
    for pattern in patterns:
      match = pattern.fullmatch(sentence)
      if match and self.accepts(match.groupdict()):
        return match.groupdict()
    return None

  def parts(self, slots: Slots) -> list[tuple[str, str, bool]]:
    """What stands before and after the answer, most specific frame first.

    Returns:
      (before, after, is a whole sentence) of each frame.
    """
    cut = []
    for index, frame in enumerate(self.frames):
      before, after = frame.split('{x}')
      cut.append((before.format(**slots), after.format(**slots), index > 0))
    return sorted(cut, key=lambda part: -len(part[0]) - len(part[1]))


def _slot_pattern(name: str) -> str:
  words = 'an? [a-z]+' if name in _NOUN_SLOTS else '[a-z ]+?'
  return f'(?P<{name}>{words})'


def template_pattern(template: str) -> re.Pattern[str]:
  """Pattern with one named group for each slot of a template."""
  pieces = re.split(r'\{(\w+)\}', template)
  text = ''.join(
    _slot_pattern(piece) if index % 2 else re.escape(piece)
    for index, piece in enumerate(pieces)
  )
  return re.compile(text)


def table_family(
  name: str,
  table: Mapping[str, str],
  questions: tuple[str, ...],
  frames: tuple[str, ...],
  near: Callable[[str], tuple[str, ...]] = lambda _: (),
) -> Family:
  """A family whose answers stand in a table.

  Args:
    name: Name of the family.
    table: What is asked about -> the answer.
    questions: Templates with slot {q}.
    frames: Templates with the answer {x}, and {q}.
    near: Tempting wrong answers to a key.
  """
  keys = tuple(table)
  values = tuple(dict.fromkeys(table.values()))
  tempting = {
    key: tuple(word for word in near(key) if word != table[key]) for key in keys
  }
  known = frozenset(values).union(*tempting.values())

  def wrong(rng: np.random.Generator, slots: Slots) -> str:
    pool = tempting[slots['q']]
    if pool and draws.chance(rng, 0.5):
      return draws.pick(rng, pool)
    return pick_other(rng, values, table[slots['q']])

  def grade(slots: Slots, phrase: str) -> bool | None:
    return phrase == table[slots['q']] if phrase in known else None

  return Family(
    name=name,
    questions=questions,
    frames=frames,
    draw=lambda rng: {'q': draws.pick(rng, keys)},
    accepts=lambda slots: slots['q'] in table,
    right=lambda _, slots: table[slots['q']],
    wrong=wrong,
    grade=grade,
  )


def pick_other(
  rng: np.random.Generator, items: Sequence[str], avoid: str
) -> str:
  """Draws an item that is not `avoid`."""
  item = draws.pick(rng, items)
  while item == avoid:
    item = draws.pick(rng, items)
  return item


def recall_family(
  name: str,
  pools: Mapping[str, Sequence[str]],
  statements: tuple[str, ...],
  questions: tuple[str, ...],
  frames: tuple[str, ...],
) -> Family:
  """A family that asks for what an earlier human sentence told.

  Args:
    name: Name of the family.
    pools: What a fact can be about -> its possible values.
    statements: Templates with slots {key} and {value}.
    questions: Templates with slot {key}.
    frames: Templates with the answer {x}, and {key}.
  """
  keys = tuple(pools)

  def draw(rng: np.random.Generator) -> Slots:
    key = draws.pick(rng, keys)
    return {'key': key, 'value': draws.pick(rng, pools[key])}

  def accepts(slots: Slots) -> bool:
    key, value = slots['key'], slots.get('value')
    return key in pools and (value is None or value in pools[key])

  def wrong(rng: np.random.Generator, slots: Slots) -> str:
    return pick_other(rng, pools[slots['key']], slots['value'])

  def grade(slots: Slots, phrase: str) -> bool | None:
    return phrase == slots['value'] if phrase in pools[slots['key']] else None

  return Family(
    name=name,
    questions=questions,
    frames=frames,
    draw=draw,
    accepts=accepts,
    right=lambda _, slots: slots['value'],
    wrong=wrong,
    grade=grade,
    statements=statements,
  )
