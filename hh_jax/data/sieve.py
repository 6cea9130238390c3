"""Leaves out texts that say again what another text has said.

1. A copy is equal but for case and spaces.
2. A near-duplicate has at least a given share of its words in a row, three at
   a time, in one and the same earlier text.
3. A text with n such shingles shares `least` of them with another only if it
   shares one of its n - least + 1 rarest: only texts with one of those are
   compared.

The rule of `evals.data_checks`, for one text after the other. Reference of the
third step: Chaudhuri et al. 2006 (prefix filtering).
"""

from __future__ import annotations

import collections
import math
from collections.abc import Iterable

SHINGLE = 3  # words in a row


class Sieve:
  """Remembers the texts that went through."""

  def __init__(self, near: float, known: Iterable[str] = ()):
    """Takes the share of a near-duplicate, and texts that are there already."""
    self._near = near
    self._exact: set[str] = set()
    self._shingles: list[frozenset[str]] = []
    self._holders: dict[str, list[int]] = collections.defaultdict(list)
    for text in known:
      self.add(text)

  def add(self, text: str) -> None:
    """Remembers a text."""
    own = shingles(text)
    self._exact.add(plain(text))
    for shingle in own:
      self._holders[shingle].append(len(self._shingles))
    self._shingles.append(own)

  def is_copy(self, text: str) -> bool:
    """Whether a text was there before."""
    return plain(text) in self._exact

  def is_near(self, text: str) -> bool:
    """Whether nearly all that a text says was said by one text before."""
    own = shingles(text)
    least = math.ceil(self._near * len(own))
    rarest = sorted(own, key=lambda x: (len(self._holders.get(x, ())), x))
    candidates = {
      holder
      for shingle in rarest[: len(own) - least + 1]
      for holder in self._holders.get(shingle, ())
    }
    return any(len(own & self._shingles[i]) >= least for i in candidates)


def plain(text: str) -> str:
  """A text without case and extra spaces."""
  return ' '.join(text.lower().split())


def shingles(text: str) -> frozenset[str]:
  """Its words in a row, three at a time; of a shorter text all of it."""
  words = plain(text).split()
  starts = range(max(1, len(words) - SHINGLE + 1))
  return frozenset(' '.join(words[i : i + SHINGLE]) for i in starts)
