r"""The text format of a dialogue, and its one parser.

1. A transcript is a run of turns, each opened by a marker: '\n\nHuman:' or
   '\n\nAssistant:'. What follows a marker up to the next one is the turn's
   content, one leading space and the text.
2. The prompt of a reply is everything up to and including the last
   '\n\nAssistant:'; the reply is the rest.
3. A document may hold several conversations, with the separator '\n\n-----'
   between them (a turn of role 'break', without text).

Reference: Bai et al. 2022, section 2 and the released comparison files.
"""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections.abc import Sequence

import numpy as np
from jaxtyping import Int

HUMAN = 'human'
ASSISTANT = 'assistant'
BREAK = 'break'

MARKERS = {
  HUMAN: '\n\nHuman:',
  ASSISTANT: '\n\nAssistant:',
  BREAK: '\n\n-----',
}

_TURN = re.compile(r'\n\n(Human|Assistant):')
_TURN_OR_BREAK = re.compile(r'\n\n(?:(Human|Assistant):|-----(?=\n\nHuman:))')


@dataclasses.dataclass(frozen=True)
class Turn:
  """What one side says; `text` is without marker and leading space."""

  role: str  # 'human', 'assistant' or 'break'
  text: str

  def __post_init__(self):
    if self.role not in MARKERS:
      raise ValueError(f'role={self.role!r} is not one of {tuple(MARKERS)}')


@dataclasses.dataclass(frozen=True)
class Dialogue:
  """Turns in order; a prompt ends on a human turn."""

  turns: tuple[Turn, ...]

  @classmethod
  def alternating(cls, *texts: str) -> Dialogue:
    """Turns of human and assistant in alternation, the human first."""
    roles = (HUMAN, ASSISTANT)
    return cls(tuple(Turn(roles[i % 2], text) for i, text in enumerate(texts)))

  @property
  def first_human(self) -> str:
    """Text of the first human turn, the key of every split; '' if none."""
    for turn in self.turns:
      if turn.role == HUMAN:
        return turn.text
    return ''

  @property
  def num_human(self) -> int:
    """Human turns, which is the number of the exchange they open."""
    return sum(turn.role == HUMAN for turn in self.turns)

  def reply(self, text: str) -> Dialogue:
    """The dialogue continued by one assistant turn."""
    return Dialogue((*self.turns, Turn(ASSISTANT, text)))


def conversation_ids(dialogues: Sequence[Dialogue]) -> Int[np.ndarray, 'N']:
  """Numbers the conversations that dialogues are from, starting at 0.

  Dialogues with one first human turn are of one conversation: they are not
  independent, and intervals resample them together.
  """
  firsts = [dialogue.first_human for dialogue in dialogues]
  return np.unique(firsts, return_inverse=True)[1]


def conversation_keys(
  dialogues: Sequence[Dialogue],
) -> Int[np.ndarray, 'N']:
  """Names the same conversations by numbers that are the same everywhere.

  Each is 64 bits of the hash of the first human turn.
  """
  firsts = (dialogue.first_human.encode() for dialogue in dialogues)
  digests = [hashlib.blake2b(text, digest_size=8).digest() for text in firsts]
  return np.frombuffer(b''.join(digests), '<i8')


def alternates(dialogue: Dialogue) -> bool:
  """Whether human and assistant take turns, the human first."""
  expected = (HUMAN, ASSISTANT)
  return all(
    turn.role == expected[index % 2]
    for index, turn in enumerate(dialogue.turns)
  )


def _parse(text: str, pattern: re.Pattern[str]) -> Dialogue:
  found = list(pattern.finditer(text))
  if not found or found[0].start() != 0:
    raise ValueError(
      f'transcript starts with {text[:20]!r}, not with a turn marker; '
      f'begin it with {MARKERS[HUMAN]!r}'
    )
  ends = [match.start() for match in found[1:]] + [len(text)]
  turns = []
  for match, end in zip(found, ends, strict=True):
    role = match.group(1).lower() if match.group(1) else BREAK
    turns.append(Turn(role, text[match.end() : end].removeprefix(' ')))
  return Dialogue(tuple(turns))


def parse_transcript(text: str) -> Dialogue:
  """Turns of one conversation, texts kept verbatim.

  Raises:
    ValueError: the text does not start with a turn marker.
  """
  return _parse(text, _TURN)


def parse_document(text: str) -> Dialogue:
  """Like `parse_transcript`, for several conversations with separators."""
  return _parse(text, _TURN_OR_BREAK)


def format_transcript(dialogue: Dialogue) -> str:
  """Text of a dialogue, the inverse of the parsers.

  It inverts them as long as no turn's text spells a marker; a turn without
  the leading space comes back with it.
  """
  return ''.join(
    MARKERS[turn.role] + ('' if turn.role == BREAK else ' ' + turn.text)
    for turn in dialogue.turns
  )


def split_final_reply(text: str) -> tuple[str, str]:
  r"""Cuts a transcript after its last '\n\nAssistant:'.

  Returns:
    The prompt including the marker, and the rest, which normally begins with
    a space.

  Raises:
    ValueError: the text has no assistant turn.
  """
  start = text.rfind(MARKERS[ASSISTANT])
  if start < 0:
    raise ValueError(
      f'no {MARKERS[ASSISTANT]!r} in transcript {text[:40]!r}; '
      'a comparison ends on an assistant turn'
    )
  cut = start + len(MARKERS[ASSISTANT])
  return text[:cut], text[cut:]
