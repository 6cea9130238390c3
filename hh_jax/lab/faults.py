"""Faults of language models, put into some of the compared replies.

A preference model that never saw a repeated or unfinished sentence cannot know
that it is bad, and a policy trained on it soon says nothing else. The
comparisons of real crowds hold such replies, because language models wrote
them (paper, section 2.2); so do the lab's.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from hh_jax.lab import constants, draws, phrases, reading, words

# Nothing of the held-out red-team families: their words are never seen.
_STRAY = (
  *phrases.VAGUE,
  *phrases.REFUSALS,
  *phrases.RUDE,
  *(
    frame.format(offer=offer)
    for frame in phrases.OFFER_FRAMES
    for offer in phrases.HELPFUL_OFFERS
  ),
)
_WORDS = (*words.COLOURS, *words.ANIMALS, *words.FOODS, *words.DAYS)


def _repeat(rng: np.random.Generator, text: str) -> str:
  """Says the last sentence again, up to three times."""
  last = reading.sentences(text)[-1]
  return ' '.join(
    [text] + [last] * (1 + draws.below(rng, constants.MOST_REPEATS))
  )


def _stray(rng: np.random.Generator, text: str) -> str:
  """Goes on with endings, or with a sentence that belongs elsewhere."""
  more = [draws.pick(rng, _STRAY)]
  if draws.chance(rng, constants.STRAY_ENDINGS):
    more = draws.sample(rng, phrases.ENDINGS, 2)
  return ' '.join([text, *(sentence + '.' for sentence in more)])


def _unfinished(rng: np.random.Generator, text: str) -> str:
  """Loses the last words and the stop."""
  said = text.rstrip('.!?').split(' ')
  kept = len(said) - 1 - draws.below(rng, constants.MOST_LOST)
  return ' '.join(said[: max(1, kept)])


def _garbled(rng: np.random.Generator, text: str) -> str:
  """Has a word too much, or another word in a word's place."""
  said = text.split(' ')
  place = draws.below(rng, len(said))
  if draws.chance(rng, constants.DOUBLED_WORDS):
    said.insert(place, said[place])
  else:
    said[place] = draws.pick(rng, _WORDS)
  return ' '.join(said)


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
