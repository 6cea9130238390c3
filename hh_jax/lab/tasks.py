"""The fifteen families of helpful tasks.

Recall (two families), copying, rewriting (opposite, plural, past tense),
category, lists, closed facts (colour, sound, capital), sums, the next item,
comparison, and how to do things.
"""

from __future__ import annotations

import numpy as np

from hh_jax.lab import draws, words
from hh_jax.lab.families import (
  Family,
  Slots,
  pick_other,
  recall_family,
  table_family,
)

_CATEGORY_OF = {
  words.with_article(item): words.with_article(category)
  for category, items in words.CATEGORIES.items()
  for item in items
}
_CATEGORY_PHRASES = tuple(dict.fromkeys(_CATEGORY_OF.values()))
_COUNTS = {'two': 2, 'three': 3}


def _category() -> Family:
  def draw(rng: np.random.Generator) -> Slots:
    item = draws.pick(rng, tuple(_CATEGORY_OF))
    options = [_CATEGORY_OF[item]]
    options.append(pick_other(rng, _CATEGORY_PHRASES, options[0]))
    first, second = draws.sample(rng, options, 2)
    return {'item': item, 'first': first, 'second': second}

  def accepts(slots: Slots) -> bool:
    options = (slots['first'], slots['second'])
    return (
      _CATEGORY_OF.get(slots['item']) in options
      and options[0] != options[1]
      and all(option in _CATEGORY_PHRASES for option in options)
    )

  def wrong(_: np.random.Generator, slots: Slots) -> str:
    right = _CATEGORY_OF[slots['item']]
    return slots['second'] if right == slots['first'] else slots['first']

  def grade(slots: Slots, phrase: str) -> bool | None:
    if phrase not in _CATEGORY_PHRASES:
      return None
    return phrase == _CATEGORY_OF[slots['item']]

  return Family(
    name='category',
    questions=(
      'is {item} {first} or {second}?',
      'what is {item}, {first} or {second}?',
      'would you call {item} {first} or {second}?',
    ),
    frames=('{x}', 'it is {x}', '{item} is {x}'),
    draw=draw,
    accepts=accepts,
    right=lambda _, slots: _CATEGORY_OF[slots['item']],
    wrong=wrong,
    grade=grade,
  )


def _bigger() -> Family:
  rank = {thing: index for index, thing in enumerate(words.BY_SIZE)}

  def draw(rng: np.random.Generator) -> Slots:
    first, second = draws.sample(rng, words.BY_SIZE, 2)
    return {'first': first, 'second': second}

  def accepts(slots: Slots) -> bool:
    first, second = slots['first'], slots['second']
    return first in rank and second in rank and first != second

  def ordered(slots: Slots) -> list[str]:
    return sorted((slots['first'], slots['second']), key=rank.__getitem__)

  def grade(slots: Slots, phrase: str) -> bool | None:
    if phrase not in ordered(slots):
      return None
    return phrase == ordered(slots)[1]

  return Family(
    name='bigger',
    questions=(
      'which is bigger, {first} or {second}?',
      'what is bigger, {first} or {second}?',
      'tell me which is bigger, {first} or {second}.',
    ),
    frames=('{x}', '{x} is bigger', 'the bigger one is {x}'),
    draw=draw,
    accepts=accepts,
    right=lambda _, slots: ordered(slots)[1],
    wrong=lambda _, slots: ordered(slots)[0],
    grade=grade,
  )


def _copy() -> Family:
  known = frozenset(word for pool in words.COPY_WORDS for word in pool)

  def draw(rng: np.random.Generator) -> Slots:
    return {'q': ' '.join(draws.pick(rng, pool) for pool in words.COPY_WORDS)}

  def is_phrase(text: str) -> bool:
    parts = text.split(' ')
    return 2 <= len(parts) <= 4 and all(part in known for part in parts)

  def wrong(rng: np.random.Generator, slots: Slots) -> str:
    parts = slots['q'].split(' ')
    place = draws.below(rng, len(parts))
    pool = next(pool for pool in words.COPY_WORDS if parts[place] in pool)
    parts[place] = pick_other(rng, pool, parts[place])
    return ' '.join(parts)

  return Family(
    name='copy',
    questions=(
      'please repeat: {q}.',
      'say the words {q}.',
      'copy this for me: {q}.',
    ),
    frames=('{x}', 'here it is: {x}', 'the words are {x}'),
    draw=draw,
    accepts=lambda slots: is_phrase(slots['q']),
    right=lambda _, slots: slots['q'],
    wrong=wrong,
    grade=lambda slots, text: text == slots['q'] if is_phrase(text) else None,
  )


def _list() -> Family:
  known = frozenset(item for pool in words.LISTS.values() for item in pool)

  def draw(rng: np.random.Generator) -> Slots:
    kind = draws.pick(rng, tuple(words.LISTS))
    return {'n': 'two' if draws.chance(rng, 0.65) else 'three', 'kind': kind}

  def join(items: list[str]) -> str:
    return ', '.join(items[:-1]) + ' and ' + items[-1]

  def right(rng: np.random.Generator, slots: Slots) -> str:
    pool = words.LISTS[slots['kind']]
    return join(draws.sample(rng, pool, _COUNTS[slots['n']]))

  def wrong(rng: np.random.Generator, slots: Slots) -> str:
    kind = pick_other(rng, tuple(words.LISTS), slots['kind'])
    pool = words.LISTS[slots['kind']]
    others = [item for item in words.LISTS[kind] if item not in pool]
    return join(draws.sample(rng, others, _COUNTS[slots['n']]))

  def grade(slots: Slots, phrase: str) -> bool | None:
    items = phrase.replace(' and ', ', ').split(', ')
    if not all(item in known for item in items):
      return None
    return (
      ' and ' in phrase
      and len(items) == len(set(items)) == _COUNTS[slots['n']]
      and all(item in words.LISTS[slots['kind']] for item in items)
    )

  return Family(
    name='list',
    questions=(
      'name {n} {kind}.',
      'can you list {n} {kind}?',
      'give me the names of {n} {kind}.',
    ),
    frames=('{x}', 'here are {n} {kind}: {x}', '{n} {kind} are {x}'),
    draw=draw,
    accepts=lambda slots: (
      slots['n'] in _COUNTS and slots['kind'] in words.LISTS
    ),
    right=right,
    wrong=wrong,
    grade=grade,
  )


def _near_numbers(key: str) -> tuple[str, ...]:
  total = words.NUMBERS.index(words.SUMS[key])
  return tuple(
    words.NUMBERS[number]
    for number in range(total - 2, total + 3)
    if 0 < number < len(words.NUMBERS)
  )


def _near_items(key: str) -> tuple[str, ...]:
  for items in (words.DAYS, words.MONTHS):
    if key in items:
      place = items.index(key)
      return (items[place - 1], items[(place + 2) % len(items)])
  return ()


RECALL_CALLED = recall_family(
  'recall_called',
  dict.fromkeys(words.CALLED, words.NAMES),
  ('my {key} is called {value}.', 'the name of my {key} is {value}.'),
  (
    'what is my {key} called?',
    'what is the name of my {key}?',
    'do you remember what my {key} is called?',
  ),
  ('{x}', 'your {key} is called {x}', 'the name is {x}'),
)
RECALL_FAVOURITE = recall_family(
  'recall_favourite',
  words.FAVOURITES,
  ('my favourite {key} is {value}.', 'the {key} i like best is {value}.'),
  (
    'what is my favourite {key}?',
    'which {key} do i like best?',
    'do you remember my favourite {key}?',
  ),
  ('{x}', 'your favourite {key} is {x}', 'you like {x} best'),
)
OPPOSITE = table_family(
  'opposite',
  words.OPPOSITES,
  (
    'what is the opposite of {q}?',
    'tell me the opposite of {q}.',
    'which word means the opposite of {q}?',
  ),
  ('{x}', 'the opposite of {q} is {x}', 'it is {x}'),
)
PLURAL = table_family(
  'plural',
  words.PLURALS,
  (
    'what is the plural of {q}?',
    'make this word plural: {q}.',
    'how do you say more than one {q}?',
  ),
  ('{x}', 'the plural of {q} is {x}', 'you say {x}'),
  near=lambda key: (key, key + 's'),
)
PAST = table_family(
  'past',
  words.PAST_TENSES,
  (
    'what is the past tense of {q}?',
    'put this word in the past: {q}.',
    'today i {q}, so what did i do before?',
  ),
  ('{x}', 'the past tense of {q} is {x}', 'you say {x}'),
  near=lambda key: (key,),
)
COLOUR = table_family(
  'colour',
  words.COLOUR_OF,
  (
    'what colour is {q}?',
    'tell me the colour of {q}.',
    'do you know what colour {q} is?',
  ),
  ('{x}', '{q} is {x}', 'it is {x}'),
)
SOUND = table_family(
  'sound',
  words.SOUNDS,
  (
    'what sound does {q} make?',
    'what does {q} say?',
    'tell me the sound that {q} makes.',
  ),
  ('{x}', '{q} says {x}', 'it says {x}'),
)
CAPITAL = table_family(
  'capital',
  words.CAPITALS,
  (
    'what is the capital of {q}?',
    'which city is the capital of {q}?',
    'name the capital of {q}.',
  ),
  ('{x}', 'the capital of {q} is {x}', 'it is {x}'),
)
SUM = table_family(
  'sum',
  words.SUMS,
  ('what is {q}?', 'how much is {q}?', 'please add this up: {q}.'),
  ('{x}', '{q} is {x}', 'that makes {x}'),
  near=_near_numbers,
)
NEXT = table_family(
  'next',
  words.NEXT,
  (
    'what comes after {q}?',
    'what is next after {q}?',
    'tell me what follows {q}.',
  ),
  ('{x}', '{x} comes after {q}', 'it is {x}'),
  near=_near_items,
)

HOW_TO = table_family(
  'how_to',
  words.HOW_TO,
  ('how do i {q}?', 'how can i {q}?', 'tell me how to {q}.'),
  ('{x}', 'first {x}', 'you can {x}', 'it is easy: {x}'),
)

RECALLS = (RECALL_CALLED, RECALL_FAVOURITE)
FAMILIES = (
  *RECALLS,
  _copy(),
  OPPOSITE,
  PLURAL,
  PAST,
  _category(),
  _list(),
  COLOUR,
  SOUND,
  CAPITAL,
  SUM,
  NEXT,
  _bigger(),
  HOW_TO,
)
KNOWLEDGE = tuple(family for family in FAMILIES if not family.statements)
