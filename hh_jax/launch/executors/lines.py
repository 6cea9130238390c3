"""Prints the command line of every trial, in an order in which they can run."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from hh_jax.launch.executors.outcome import Outcome
from hh_jax.launch.sweep import Trial

SEES_FILES = True  # of the trials, from this machine


@dataclasses.dataclass(frozen=True)
class Options:
  """There is nothing to choose."""


def launch(trials: Sequence[Trial], options: Options) -> Outcome:
  """Prints one line a trial."""
  for trial in trials:
    print(trial.line())
  return Outcome({'printed': len(trials)})
