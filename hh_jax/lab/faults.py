"""Faults of language models, put into some of the compared replies.

A preference model that never saw a repeated or unfinished sentence cannot know
that it is bad, and a policy trained on it soon says nothing else. The
comparisons of real crowds hold such replies, because language models wrote
them (paper, section 2.2); so do the lab's.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from hh_jax.lab import constants, draws, phrases, reading

_STRAY = (
  *phrases.VAGUE,
  *phrases.REFUSALS,
  *phrases.OFFERS,
  *phrases.RUDE,
)
_WORDS = tuple(sorted(phrases.LEXICON))
_MOST_REPEATS = 3
_MOST_LOST = 3  # words of an unfinished reply


def _repeat(rng: np.random.Generator, text: str) -> str:
  """Says the last sentence again, up to three times."""
  last = reading.sentences(text)[-1]
  return ' '.join([text] + [last] * (1 + draws.below(rng, _MOST_REPEATS)))


def _stray(rng: np.random.Generator, text: str) -> str:
  """Goes on with endings, or with a sentence that belongs elsewhere."""
  more = [draws.pick(rng, _STRAY)]
  if draws.chance(rng, 0.5):
    more = draws.sample(rng, phrases.ENDINGS, 2)
  return ' '.join([text, *(sentence + '.' for sentence in more)])


def _unfinished(rng: np.random.Generator, text: str) -> str:
  """Loses the last words and the stop."""
  words = text.rstrip('.!?').split(' ')
  kept = len(words) - 1 - draws.below(rng, _MOST_LOST)
  return ' '.join(words[: max(1, kept)])


def _garbled(rng: np.random.Generator, text: str) -> str:
  """Has a word too much, or another word in a word's place."""
  words = text.split(' ')
  place = draws.below(rng, len(words))
  if draws.chance(rng, 0.5):
    words.insert(place, words[place])
  else:
    words[place] = draws.pick(rng, _WORDS)
  return ' '.join(words)


_FAULTS: dict[str, Callable[[np.random.Generator, str], str]] = {
  'repeat': _repeat,
  'stray': _stray,
  'unfinished': _unfinished,
  'garbled': _garbled,
}
_TABLE = draws.Table(constants.FAULTS)


def put(rng: np.random.Generator, text: str) -> str:
  """Returns the reply with one fault, of a kind by `constants.FAULTS`."""
  return _FAULTS[_TABLE.draw(rng)](rng, text)
