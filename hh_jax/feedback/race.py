"""Two replies on their way, and how much of them may be shown.

1. Both are shown up to the same number of characters, and what one has beyond
   the other once both have ended: neither the faster nor the slower model is
   known by its speed. If one of the two cannot stream, both appear when both
   are there.
2. What may turn out to be a turn marker is held back, and a reply ends there.
"""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import Sequence

from hh_jax.feedback.policies.protocol import begun_marker, cut_at_marker

# No text; and what a page's text box would not give back as it was.
_UNSEEN = str.maketrans(dict.fromkeys((0, ord('\r'), *range(0xD800, 0xE000))))


@dataclasses.dataclass
class Side:
  """One reply so far."""

  text: str = ''
  finish: str = ''
  seconds: float = 0.0

  @property
  def num_shown(self) -> int:
    """Characters that will not be taken back."""
    return len(self.text) - (0 if self.finish else begun_marker(self.text))

  def add(self, text: str, finish: str, most: int) -> None:
    text, has_marker = cut_at_marker(self.text + text.translate(_UNSEEN))
    if has_marker:
      finish = 'stop'
    if len(text) > most:
      text, finish = text[:most], 'length'
    self.text, self.finish = text, finish


class Race:
  """Two replies on their way."""

  def __init__(self, can_stream: bool):
    self.sides = (Side(), Side())
    self.outcome = ''  # 'done', 'failed' or 'unstored'
    self.failed: list[int] = []  # sides
    self._can_stream = can_stream
    self._started = time.monotonic()
    self.changed = asyncio.Event()  # set once; another one takes its place

  @property
  def num_shown(self) -> int:
    if self.is_over(range(len(self.sides))):
      return max(len(side.text) for side in self.sides)
    if not self._can_stream:
      return 0
    return min(side.num_shown for side in self.sides)

  def add(self, side: int, text: str, finish: str, most: int) -> None:
    """Takes more text of a reply, unless that has ended."""
    found = self.sides[side]
    if not found.finish:
      found.add(text, finish, most)
      if found.finish:
        found.seconds = time.monotonic() - self._started
      self.tell()

  def is_over(self, sides: Sequence[int]) -> bool:
    return all(self.sides[side].finish for side in sides)

  def tell(self) -> None:
    changed, self.changed = self.changed, asyncio.Event()
    changed.set()
