"""Ends a process that hangs, so that its run can go on.

1. What must end in time is given a limit: a barrier a fixed one, a step a
   multiple of the median step.
2. Past its limit the stacks of all threads are printed and the process kills
   itself (SIGKILL: one that hangs in a collective heeds nothing else). The
   others see by the heartbeat that it is gone, and launchers start the run
   again from its last checkpoint.
"""

from __future__ import annotations

import collections
import contextlib
import faulthandler
import math
import os
import signal
import statistics
import sys
import threading
import time
from collections.abc import Iterator

# For all processes to come to the same place; writing a checkpoint takes some
# of them minutes longer than others.
BARRIER_SECONDS = 1200.0
# A step is not given up earlier, however short others are: it may compile.
LEAST_SECONDS = 600.0
_FEWEST = 5  # steps until their median means something
_REMEMBERED = 101  # steps
_POLL_SECONDS = 1.0


def give_up(what: str, seconds: float) -> None:
  """Prints what hangs and where every thread is, and kills this process."""
  print(
    f'error: {what} did not end within {seconds:.0f} s; the process ends '
    'itself, run the same command again to go on from the last checkpoint',
    file=sys.stderr,
    flush=True,
  )
  faulthandler.dump_traceback(file=sys.stderr, all_threads=True)
  os.kill(os.getpid(), signal.SIGKILL)


@contextlib.contextmanager
def limit(what: str, seconds: float = 0.0) -> Iterator[None]:
  """Gives up if what is inside takes longer, by default than a barrier may."""
  seconds = seconds or BARRIER_SECONDS
  timer = threading.Timer(seconds, give_up, (what, seconds))
  timer.daemon = True
  timer.start()
  try:
    yield
  finally:
    timer.cancel()


class StepWatch:
  """Gives up if a step takes many times as long as the steps before it."""

  def __init__(self, times: int, least: float = LEAST_SECONDS):
    """Starts to watch.

    Args:
      times: How many times the median; 0 watches nothing.
      least: Seconds that a step may always take.
    """
    self._times, self._least = times, least
    self._seconds: collections.deque[float] = collections.deque(
      maxlen=_REMEMBERED
    )
    self._limit = self._deadline = math.inf
    self._is_closed = threading.Event()
    if times:
      threading.Thread(target=self._look, daemon=True).start()

  @contextlib.contextmanager
  def step(self) -> Iterator[None]:
    """Watches what is inside, and remembers how long it took."""
    started = time.monotonic()
    if len(self._seconds) >= _FEWEST:
      usual = statistics.median(self._seconds)
      self._limit = max(self._least, self._times * usual)
    self._deadline = started + self._limit
    try:
      yield
    finally:
      self._deadline = math.inf
    self._seconds.append(time.monotonic() - started)

  def close(self) -> None:
    """Stops watching."""
    self._is_closed.set()

  def _look(self) -> None:
    while not self._is_closed.wait(_POLL_SECONDS):
      if time.monotonic() > self._deadline:
        give_up('a step', self._limit)
