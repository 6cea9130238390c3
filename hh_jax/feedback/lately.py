"""What is expensive to compute and may be some seconds old."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping


class Lately:
  """Keeps values for a while; of several who ask at once one computes them."""

  def __init__(self, seconds: float):
    self._seconds = seconds
    self._lock = threading.Lock()
    self._values: Mapping[str, object] = {}
    self._until = 0.0  # on the monotonic clock

  def get(
    self, compute: Callable[[], Mapping[str, object]]
  ) -> Mapping[str, object]:
    """Returns what was computed last, or computes it anew."""
    with self._lock:
      if not self._values or time.monotonic() >= self._until:
        self._values = compute()
        self._until = time.monotonic() + self._seconds
      return self._values
