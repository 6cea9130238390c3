"""What the interface asks of a policy.

`generate(dialogue, replies, seed)` streams replies to a dialogue, piece by
piece. With the same spec, dialogue and seed reply i is the same again,
whichever others are asked for and whoever else is served. Replies of different
numbers are drawn independently: side A is number 0 and side B number 1, also
where two models answer.
"""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Protocol, runtime_checkable

from hh_jax.data.dialogue import ASSISTANT, HUMAN, MARKERS, Dialogue

# Transcripts are taken apart by these; a rule or a table begins otherwise.
_MARKERS = (MARKERS[HUMAN], MARKERS[ASSISTANT])


class PolicyError(Exception):
  """A policy that does not answer; the message is for researchers."""


@dataclasses.dataclass(frozen=True)
class Piece:
  """More text of one reply; the last piece says how it ended."""

  reply: int  # its number
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
    self, dialogue: Dialogue, replies: Sequence[int], seed: int
  ) -> AsyncGenerator[Piece, None]:
    """Streams replies.

    Args:
      dialogue: Ends on a human turn.
      replies: Numbers of those that are wanted.
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
  places = [place for m in _MARKERS if (place := text.find(m)) >= 0]
  return (text[: min(places)], True) if places else (text, False)


def begun_marker(text: str) -> int:
  """Characters at the end of a text that may become a turn marker."""
  longest = max(map(len, _MARKERS)) - 1
  for length in range(min(longest, len(text)), 0, -1):
    if any(m.startswith(text[-length:]) for m in _MARKERS):
      return length
  return 0
