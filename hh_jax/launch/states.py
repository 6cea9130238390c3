"""Where a trial stands, read from its folder and from the launcher's record.

`DONE` is what its stage says. Beside the trials lies `logs/`: what each of them
printed, and how its last process ended where a launcher of ours saw that.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import pathlib
import time
from collections.abc import Mapping, Sequence
from typing import Any

from hh_jax.launch.sweep import Trial
from hh_jax.training import workdir as workdir_lib

LOGS = 'logs'
METRICS = 'metrics.jsonl'

DONE = 'done'
RUNNING = 'running'  # a process on this file system's hosts works there
STOPPED = 'stopped'  # the same command goes on
FAILED = 'failed'  # its last process ended with an error
READY = 'ready'  # nothing there yet, and what it starts from is done
WAITING = 'waiting'  # for what it starts from

_TAIL_BYTES = 1 << 16

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class State:
  """Of one trial, at one moment."""

  name: str  # one of the above
  step: int  # last one in its metrics
  seconds_ago: float | None  # since its folder's metrics changed
  note: str  # its result, or its last words


def of(trials: Sequence[Trial]) -> dict[str, State]:
  """Returns the state of every trial by name."""
  done = {trial.name for trial in trials if is_done(trial)}
  return {trial.name: _state(trial, done) for trial in trials}


def rows(trials: Sequence[Trial]) -> list[dict[str, object]]:
  """Returns a table of where the trials stand."""
  found = of(trials)
  return [
    {
      'trial': trial.name,
      'state': found[trial.name].name,
      'step': found[trial.name].step,
      'of': trial.num_steps,
      'seconds ago': found[trial.name].seconds_ago,
      'note': found[trial.name].note,
    }
    for trial in trials
  ]


def is_done(trial: Trial) -> bool:
  """Whether a trial is finished, and as long as it is to be."""
  result = workdir_lib.read_done(trial.workdir)
  if result is None:
    return False
  return trial.num_steps is None or result['steps'] >= trial.num_steps


def _state(trial: Trial, done: set[str]) -> State:
  folder = pathlib.Path(trial.workdir)
  metrics = folder / METRICS
  age = time.time() - metrics.stat().st_mtime if metrics.exists() else None
  step = last_step(metrics)
  if trial.name in done:
    result = workdir_lib.read_result(folder)
    return State(DONE, result.get('steps', step), age, result['line'])
  ended = read_end(trial)
  if workdir_lib.is_held(folder):
    return State(RUNNING, step, age, '')
  if ended and ended['is_failed']:
    return State(FAILED, step, age, spell_end(ended))
  if workdir_lib.has_work(folder):
    return State(STOPPED, step, age, spell_end(ended) if ended else '')
  missing = [name for name in trial.starts.values() if name not in done]
  if missing:
    return State(WAITING, 0, None, f'for {", ".join(dict.fromkeys(missing))}')
  return State(READY, 0, None, '')


def last_step(path: pathlib.Path) -> int:
  """Returns the step of the last whole line of a metrics file, else 0."""
  if not path.exists():
    return 0
  with path.open('rb') as file:
    file.seek(max(path.stat().st_size - _TAIL_BYTES, 0))
    lines = file.read().split(b'\n')[:-1]
  for line in reversed(lines):
    try:
      return int(json.loads(line)['step'])
    except (ValueError, KeyError, TypeError):
      continue  # cut short, or the first of the tail
  return 0


def logs(trial: Trial) -> pathlib.Path:
  """Folder of what the trials of a sweep print."""
  return pathlib.Path(trial.workdir).parent / LOGS


def log_file(trial: Trial, process: int = 0) -> pathlib.Path:
  """Where a process of a trial prints to; all but the first have a number."""
  # No name of a trial has an @.
  number = f'@{process}' if process else ''
  return logs(trial) / f'{trial.name}{number}.log'


def write_end(trial: Trial, exit_code: int, is_failed: bool) -> dict[str, Any]:
  """Records how the last process of a trial ended, and its last line."""
  ended = {
    'exit_code': exit_code,
    'is_failed': is_failed,
    'line': _last_line(trial),
  }
  workdir_lib.write_json(_end_file(trial), ended)
  return ended


def read_end(trial: Trial) -> Mapping[str, Any] | None:
  """Returns what `write_end` wrote last, if anything."""
  path = _end_file(trial)
  return json.loads(path.read_text()) if path.exists() else None


def forget_end(trial: Trial) -> None:
  """Removes the record of an earlier process; for when a new one starts."""
  _end_file(trial).unlink(missing_ok=True)


def write_job(trial: Trial, job: str) -> None:
  """Records the job of a cluster that was submitted for a trial."""
  workdir_lib.write_json(logs(trial) / f'{trial.name}.job', {'job': job})


def read_job(trial: Trial) -> str:
  """Returns the job that was submitted last, '' if none was."""
  path = logs(trial) / f'{trial.name}.job'
  return json.loads(path.read_text())['job'] if path.exists() else ''


def spell_end(ended: Mapping[str, Any]) -> str:
  """Returns how a process ended in words, with its last ones."""
  code = ended['exit_code']
  how = f'signal {-code}' if code < 0 else f'exit code {code}'
  return f'{how}: {ended["line"]}' if ended['line'] else how


def _end_file(trial: Trial) -> pathlib.Path:
  return logs(trial) / f'{trial.name}.json'


def _last_line(trial: Trial) -> str:
  """The last line that a trial's first process printed, '' if it was silent."""
  path = log_file(trial)
  if not path.exists():
    return ''
  with path.open('rb') as file:
    file.seek(max(path.stat().st_size - _TAIL_BYTES, 0))
    lines = file.read().decode(errors='replace').split('\n')
  said = [line.strip() for line in lines if line.strip()]
  return said[-1] if said else ''
