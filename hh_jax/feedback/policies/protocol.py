"""What the interface asks of a policy.

`generate(dialogue, n, seed)` streams n replies to a dialogue, piece by piece.
With the same spec, dialogue and seed reply i is the same again, whatever n is
and whoever else is served.
"""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncGenerator, Mapping
from typing import Protocol, runtime_checkable

from hh_jax.data.dialogue import MARKERS, Dialogue

FINISHES = ('stop', 'length', 'time')


class PolicyError(Exception):
  """A policy that does not answer; the message is for researchers."""


@dataclasses.dataclass(frozen=True)
class Piece:
  """More text of one reply; the last piece says how it ended."""

  reply: int  # 0 to n - 1
  text: str
  finish: str = ''  # 'stop' or 'length' once nothing follows


@runtime_checkable
class Policy(Protocol):
  """A model together with how it is sampled."""

  name: str  # as researchers call it
  share: float  # of the traffic, relative to the others
  can_stream: bool  # pieces come while the reply is being written
  spec: Mapping[str, object]  # all that makes its replies, but the seed

  def generate(
    self, dialogue: Dialogue, n: int, seed: int
  ) -> AsyncGenerator[Piece, None]:
    """Streams n replies.

    Args:
      dialogue: Ends on a human turn.
      n: Replies to it.
      seed: Of all of them, in [0, 2**31).

    Raises:
      PolicyError: It does not answer.
    """
    ...

  async def close(self) -> None:
    """Frees what it holds."""
    ...


def cut_at_marker(text: str) -> tuple[str, bool]:
  """A reply up to where it starts to speak for the human, and if it did."""
  places = [place for m in MARKERS.values() if (place := text.find(m)) >= 0]
  return (text[: min(places)], True) if places else (text, False)


def begun_marker(text: str) -> int:
  """Characters at the end of a text that may become a turn marker."""
  longest = max(map(len, MARKERS.values())) - 1
  for length in range(min(longest, len(text)), 0, -1):
    if any(m.startswith(text[-length:]) for m in MARKERS.values()):
      return length
  return 0
