"""Progress of long work that is not made of training steps."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable

import jax
import tqdm

log = logging.getLogger(__name__)


def reporter(name: str) -> Callable[[int, int], None]:
  """Returns a function to call with how much is done and how much there is.

  The first process shows a bar on a terminal; elsewhere it logs a line for
  about each tenth of the work.
  """
  is_first = jax.process_index() == 0
  bar = tqdm.tqdm(desc=name, disable=not (is_first and sys.stderr.isatty()))
  told = 0

  def report(done: int, total: int) -> None:
    nonlocal told
    bar.total = total
    bar.update(done - bar.n)
    is_due = done == total or 10 * (done - told) >= total
    if bar.disable and is_first and is_due:
      log.info('%s: %d of %d', name, done, total)
      told = done
    if done == total:
      bar.close()

  return report
