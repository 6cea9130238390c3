"""What both sides of a benchmark share: inputs, timing, result of a process.

Peers run in an environment of their own, so nothing here needs more than
NumPy.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import pathlib
import re
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

SHORTEST = 0.3  # seconds; a shorter sample is mostly noise


def write_lists(path: pathlib.Path, **lists: Sequence[np.ndarray]) -> None:
  """Writes lists of id arrays of any lengths into one file."""
  arrays: dict[str, Any] = {}
  for name, items in lists.items():
    arrays[f'{name}/lengths'] = np.array([len(item) for item in items])
    arrays[f'{name}/ids'] = np.concatenate([np.zeros(0, np.int32), *items])
  np.savez(path, **arrays)


def read_lists(path: pathlib.Path) -> dict[str, list[np.ndarray]]:
  """Reads what `write_lists` wrote."""
  lists = {}
  with np.load(path) as found:
    for key in found.files:
      name, _, kind = key.partition('/')
      if kind == 'lengths':
        ends = np.cumsum(found[key])[:-1]
        lists[name] = np.split(found[f'{name}/ids'], ends)
  return lists


def prompts_of(
  lists: Mapping[str, list[np.ndarray]], job: Mapping[str, Any]
) -> list[np.ndarray]:
  """The prompts of a job: the first ones, or text of one length.

  Where the job has a `prompt_length`, all prompts are laid one after the other
  and cut into pieces of it.
  """
  length = job.get('prompt_length', 0)
  if not length:
    return lists['prompts'][: job['prompts']]
  flat = np.concatenate(lists['prompts'])
  return list(np.resize(flat, (job['prompts'], length)))


def seconds_of(
  run: Callable[[], object],
  repeats: int,
  warm_up: Callable[[], object] | None = None,
) -> list[float]:
  """Seconds of one call, measured `repeats` times.

  A sample is as many calls as fill `SHORTEST` seconds; the first tells how
  many that are. `warm_up` runs before all of them, by default the call itself.
  """
  (warm_up or run)()
  samples: list[float] = []
  calls = 1
  while len(samples) < repeats:
    started = time.perf_counter()
    for _ in range(calls):
      run()
    taken = time.perf_counter() - started
    if taken < SHORTEST and calls == 1:
      calls = int(SHORTEST / taken) + 1
      continue
    samples.append(taken / calls)
  return samples


@dataclasses.dataclass
class Marks:
  """When each phase of each iteration of PPO ended."""

  sampled: list[float] = dataclasses.field(default_factory=list)
  scored: list[float] = dataclasses.field(default_factory=list)
  updated: list[float] = dataclasses.field(default_factory=list)  # one more
  lengths: list[float] = dataclasses.field(default_factory=list)  # of replies

  def result(self, warm_up: int) -> dict[str, Any]:
    """Seconds of whole iterations and of their phases, for `finish`.

    Args:
      warm_up: First iterations, which compile and are left out.
    """
    started, ended = np.array(self.updated[:-1]), np.array(self.updated[1:])
    sampled, scored = np.array(self.sampled), np.array(self.scored)
    parts = {
      'sample': sampled - started,
      'score': scored - sampled,
      'update': ended - scored,
    }
    return {
      'samples': (ended - started)[warm_up:],
      'parts': {name: times[warm_up:] for name, times in parts.items()},
    }


def peak_gib() -> float:
  """Most memory that this process ever held."""
  # Of `getrusage` a process inherits the peak of whoever started it.
  status = pathlib.Path('/proc/self/status').read_text()
  (kib,) = re.findall(r'VmHWM:\s*(\d+) kB', status)
  return int(kib) / 2**20


def arguments() -> argparse.Namespace:
  """The command line of a side: its job, its inputs, its result file."""
  parser = argparse.ArgumentParser()
  parser.add_argument('--job', type=json.loads, required=True)
  parser.add_argument('--inputs', type=pathlib.Path, required=True)
  parser.add_argument('--out', type=pathlib.Path, required=True)
  return parser.parse_args()


def finish(
  out: pathlib.Path,
  *,
  units: float,
  samples: Sequence[float],
  checks: Mapping[str, Any],
  settings: str,
  parts: Mapping[str, Sequence[float]] | None = None,
  peak: float | None = None,
) -> None:
  """Writes what one process measured.

  Args:
    out: Result file.
    units: Tokens, comparisons or replies of one call.
    samples: Seconds of one call.
    checks: What the other side must have computed too.
    settings: The options this side ran with, in a few words.
    parts: Seconds of the phases of one call.
    peak: Most memory held, in GiB; by default this process's own.
  """
  result = {
    'units': units,
    'samples': list(samples),
    'peak_gib': peak_gib() if peak is None else peak,
    'checks': dict(checks),
    'settings': settings,
    'parts': {name: list(times) for name, times in (parts or {}).items()},
    'threads': os.environ.get('OMP_NUM_THREADS', ''),
  }
  out.write_text(json.dumps(result))
