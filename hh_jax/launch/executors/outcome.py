"""What an executor has to say at its end."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

EXIT_FAILED = 1  # some trial is not done, and will not be by itself


@dataclasses.dataclass(frozen=True)
class Outcome:
  """How many trials went which way, and what the shell is told."""

  counts: Mapping[str, int]  # 'done' -> 3
  exit_code: int = 0

  def line(self) -> str:
    """The counts as one line."""
    return ', '.join(f'{n} {name}' for name, n in self.counts.items() if n)
