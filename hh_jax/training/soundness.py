"""Steps that could not be used, because a number was not finite.

1. Such a step leaves parameters and optimizer bit for bit as they were
   (`state.loss_step`); here it is named, with the numbers that were at fault.
2. A step of several updates loses only the bad ones. A number that no update
   was made of (a hook's) changes nothing and is named all the same.
3. One may be an accident. After `loop.max_bad_steps` of them in a row the run
   ends with exit code 3; the last checkpoint stays the last.
"""

from __future__ import annotations

import logging
import math
import sys

import jax

from hh_jax.training import exit_codes
from hh_jax.training.metrics import Row

SKIPPED = 'train/skipped'

log = logging.getLogger(__name__)


def faults(row: Row) -> list[str]:
  """Names of the metrics of a step that are not finite, as 'name=nan'."""
  return [
    f'{name}={value}'
    for name, value in sorted(row.items())
    if not math.isfinite(value)
  ]


class BadSteps:
  """Counts the bad steps in a row."""

  def __init__(self, stage: str, limit: int):
    self._stage = stage
    self._limit = limit
    self._in_a_row = 0

  def look(self, step: int, row: Row) -> None:
    """Takes the metrics of a step.

    Raises:
      SystemExit: Code 3, at the limit.
    """
    found = faults(row)
    skipped = row.get(SKIPPED, 0)
    if not found and not skipped:
      self._in_a_row = 0
      return
    self._in_a_row += 1
    is_end = self._in_a_row >= self._limit
    if jax.process_index() == 0:
      what = ', '.join(found) or f'{SKIPPED}={skipped:g}, nothing to weigh'
      log.warning(
        '%s: step %d %s: %s', self._stage, step, _outcome(skipped), what
      )
      if is_end:
        print(
          f'error: {self._stage}: step {step} is bad step {self._in_a_row} in '
          f'a row ({what}); no bad update was applied; look at the batches of '
          'these steps, lower optimizer.lr_multiple, or raise '
          'loop.max_bad_steps',
          file=sys.stderr,
          flush=True,
        )
    if is_end:
      raise SystemExit(exit_codes.UNSOUND)


def _outcome(skipped: float) -> str:
  """What became of a bad step; `skipped` is the share of its updates."""
  if skipped == 1:
    return 'was skipped'
  if 0 < skipped < 1:
    return f'lost {skipped:.0%} of its updates'
  return 'was applied but reports a number that is not finite'
