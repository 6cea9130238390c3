"""What clients send, checked: text that can be kept, steps and times."""

from __future__ import annotations

import re

from hh_jax.data.dialogue import ASSISTANT, HUMAN, MARKERS
from hh_jax.feedback import schema
from hh_jax.feedback.refusals import RefusedError

# Control characters, and halves of surrogate pairs, which are no text.
_NOT_TEXT = re.compile('[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]')
_LONGEST = 7 * 24 * 3600.0  # seconds of one choice; a page may lie open


def is_text(text: str) -> bool:
  """Whether all of its characters can be kept."""
  return not _NOT_TEXT.search(text)


def clean_text(text: object, limit: int, *, may_be_empty: bool = False) -> str:
  """Returns what a person wrote, fit to be stored and exported.

  Raises:
    RefusedError: It is empty, too long, no text, or spells a turn marker.
  """
  if not isinstance(text, str) or not is_text(text):
    raise RefusedError(422, 'no_text', 'This is not text that can be kept.')
  text = text.replace('\r\n', '\n').replace('\r', '\n').strip()
  if not text and not may_be_empty:
    raise RefusedError(422, 'empty', 'Write something first.')
  if len(text) > limit:
    raise RefusedError(
      422,
      'too_long',
      f'This has {len(text):,} characters; at most {limit:,} can be kept.',
    )
  if any(MARKERS[role] in text for role in (HUMAN, ASSISTANT)):
    raise RefusedError(
      422,
      'marker',
      'A paragraph may not begin with "Human:" or "Assistant:": these words '
      'separate the turns of a transcript.',
    )
  return text


def clean_step(step: object) -> int:
  """Returns a step of the scale.

  Raises:
    RefusedError: It is none.
  """
  if not isinstance(step, int) or isinstance(step, bool):
    step = 0
  if not 1 <= step <= schema.NUM_STEPS:
    raise RefusedError(422, 'no_step', 'Choose one of the eight steps.')
  return step


def clean_seconds(seconds: object) -> float:
  """Returns how long a choice took, as the page measured it."""
  if not isinstance(seconds, int | float) or isinstance(seconds, bool):
    seconds = -1.0
  if not 0 <= seconds < 1e12:
    raise RefusedError(422, 'no_time', 'seconds must be a number from 0.')
  return min(float(seconds), _LONGEST)
