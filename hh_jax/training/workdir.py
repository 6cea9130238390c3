"""The folder of a run: what it was started with, and whether it is done.

config.json       what it was last run with
run.json          fingerprint, versions of the code that started it, the
                  commits at which it was continued, seconds worked before
checkpoints/      see checkpoint.py
metrics.jsonl     see metrics.py
points/           of rlhf: measurements of the policy; of pm: test scores
                  within the epoch
fold*/            of folds: the models of each fold
rounds/           of prompts: what was sampled, a file a round
tensorboard/
report.html       of the pipeline and of rlhf
DONE              the final result, written last
.lock             held by the process that works here
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import pathlib
import time
from collections.abc import Iterable, Mapping
from typing import IO, Any

import numpy as np

from hh_jax.training import files, provenance
from hh_jax.training import fingerprint as fingerprint_lib

CONFIG = 'config.json'
RECORD = 'run.json'
DONE = 'DONE'
LOCK = '.lock'
# Who only asks whether a folder is held holds it for a moment, which may be
# long on a busy machine.
_LOCK_SECONDS, _LOCK_PAUSE = 3.0, 0.02
WORK = ('checkpoints', 'metrics.jsonl', 'points', 'fold*', 'rounds')

Workdir = str | os.PathLike[str]

_held: dict[pathlib.Path, IO[bytes]] = {}  # locked by this process

log = logging.getLogger(__name__)


def write_json(path: Workdir, value: object) -> None:
  """Writes JSON atomically; arrays and NumPy scalars become lists, numbers."""
  text = json.dumps(value, indent=2, default=_plain, ensure_ascii=False)
  files.write_atomic(path, text + '\n')


def _plain(value: object) -> object:
  if isinstance(value, os.PathLike):
    return os.fspath(value)
  array = np.asarray(value)
  if array.dtype.kind == 'O':
    raise ValueError(f'{type(value).__name__} {value!r} cannot be JSON')
  return array.tolist()


def write_jsonl(path: Workdir, rows: Iterable[Mapping[str, Any]]) -> None:
  """Writes one JSON object a line, atomically; makes the folder."""
  pathlib.Path(path).parent.mkdir(parents=True, exist_ok=True)
  lines = [json.dumps(row, default=_plain) + '\n' for row in rows]
  files.write_atomic(path, ''.join(lines))


def hold(workdir: Workdir) -> None:
  """Locks a folder until `release`, or until this process ends in any way.

  Raises:
    ValueError: Another process holds it.
  """
  folder = pathlib.Path(workdir).resolve()
  if folder in _held:
    return
  try:
    file = (folder / LOCK).open('wb')
    _held[folder] = file
    _lock(file)
  except BlockingIOError:
    release(folder)
    raise ValueError(
      f'another process works in {folder}; wait for its end, or give another '
      '--workdir'
    ) from None
  except OSError as error:  # a file system without locks
    log.info('%s cannot be locked: %s', folder, error)


def _lock(file: IO[bytes]) -> None:
  """Takes a lock; `is_held`, which holds it for a moment, is waited for.

  Raises:
    BlockingIOError: Another process keeps it.
  """
  ends = time.monotonic() + _LOCK_SECONDS
  while True:
    try:
      return fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
      if time.monotonic() > ends:
        raise
      time.sleep(_LOCK_PAUSE)


def release(workdir: Workdir) -> None:
  """Lets other processes work in a folder that this one holds, if it does."""
  file = _held.pop(pathlib.Path(workdir).resolve(), None)
  if file is not None:
    file.close()


def is_held(workdir: Workdir) -> bool:
  """Whether a process holds a folder, as far as its file system can tell."""
  try:
    with (pathlib.Path(workdir) / LOCK).open('rb') as file:
      fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
  except BlockingIOError:
    return True
  except OSError:  # no such folder, or a file system without locks
    return False
  return False


def prepare(
  workdir: Workdir,
  config_dict: Mapping[str, Any],
  fingerprint: Mapping[str, Any],
  total_steps: int | None = None,
) -> pathlib.Path:
  """Makes the folder of a run, or checks that it is this run's.

  Of several processes the first one calls this.

  A run that only claimed its folder left nothing to protect: another one
  takes it over. A finished run is left as it is, unless it is to be made
  longer: then it is no longer done.

  Args:
    workdir: Where the run lives.
    config_dict: All of its config, as JSON.
    fingerprint: What must be equal for the run to be continued.
    total_steps: Where the run is to end, if that is its config's to say.

  Returns:
    The folder, with this config and the versions of the code that started
    the run; the commits at which it was continued are in `continued_at`.

  Raises:
    ValueError: The folder holds another run, or another process works in it.
  """
  folder = pathlib.Path(workdir)
  folder.mkdir(parents=True, exist_ok=True)
  check(folder, fingerprint, is_whole=True)
  done = read_done(folder)
  if done and (total_steps is None or done['steps'] >= total_steps):
    return folder
  hold(folder)
  now = provenance.versions() | provenance.sources()
  if has_work(folder):
    record = read_record(folder)
    commits = [*record.get('continued_at', []), now['hh_jax_commit']]
    record['continued_at'] = commits
    record['seconds_before'] = _seconds_worked(folder, record, done)
  else:
    plain = fingerprint_lib.plain(fingerprint)
    record = {'fingerprint': plain, 'versions': now, 'seconds_before': 0.0}
  record['process_started'] = time.time()
  (folder / DONE).unlink(missing_ok=True)
  write_json(folder / RECORD, record)
  write_json(folder / CONFIG, config_dict)
  return folder


def check(
  workdir: Workdir, fingerprint: Mapping[str, Any], *, is_whole: bool
) -> None:
  """Refuses a folder in which another run has worked; writes nothing.

  Args:
    workdir: The folder, which need not exist.
    fingerprint: Of the run that wants it.
    is_whole: Whether that is all of its fingerprint; what a part does not
      name is not compared.

  Raises:
    ValueError: The folder holds another run.
  """
  folder = pathlib.Path(workdir)
  if not any((folder / name).exists() for name in (CONFIG, RECORD)):
    return
  saved = read_record(folder)['fingerprint']
  if not is_whole:
    saved = {key: saved[key] for key in fingerprint.keys() & saved.keys()}
  found = fingerprint_lib.differences(saved, fingerprint)
  if found and has_work(folder):
    raise ValueError(
      f'workdir {folder} holds another run: {"; ".join(found[:4])}; '
      'give another --workdir'
    )


def has_work(workdir: Workdir) -> bool:
  """Whether a run got further than claiming its folder."""
  return is_done(workdir) or bool(_worked_files(pathlib.Path(workdir)))


def _worked_files(folder: pathlib.Path) -> list[pathlib.Path]:
  """Lists what a run's work has left; empty files are none."""
  entries = (entry for name in WORK for entry in folder.glob(name))
  paths = (path for entry in entries for path in (entry, *entry.rglob('*')))
  return [path for path in paths if path.is_file() and path.stat().st_size]


def _seconds_worked(
  folder: pathlib.Path, record: Mapping[str, Any], done: dict[str, Any] | None
) -> float:
  """Returns how long a run's processes worked, to their last sign of life."""
  if done:
    return done.get('seconds', 0.0)
  last = max(path.stat().st_mtime for path in _worked_files(folder))
  this_one = max(last - record.get('process_started', last), 0.0)
  return record.get('seconds_before', 0.0) + this_one


def seconds_before(workdir: Workdir) -> float:
  """Returns how long earlier processes worked on a run."""
  return read_record(workdir).get('seconds_before', 0.0)


def read_record(workdir: Workdir) -> dict[str, Any]:
  """Returns how a run was started: `fingerprint` and `versions`.

  Raises:
    ValueError: The record is missing or damaged.
  """
  path = pathlib.Path(workdir) / RECORD
  try:
    record = json.loads(path.read_text())
    return {
      **record,
      'fingerprint': dict(record['fingerprint']),
      'versions': dict(record['versions']),
    }
  except (OSError, ValueError, KeyError, TypeError) as error:
    raise ValueError(
      f'{path} is missing or damaged ({error}); give another --workdir'
    ) from error


def write_done(workdir: Workdir, result: Mapping[str, Any]) -> None:
  """Writes the final result; from here on the run `is_done`."""
  write_json(pathlib.Path(workdir) / DONE, dict(result))


def read_done(workdir: Workdir) -> dict[str, Any] | None:
  """Returns the result of a finished run, None of an unfinished one."""
  path = pathlib.Path(workdir) / DONE
  return json.loads(path.read_text()) if path.exists() else None


def read_result(workdir: Workdir) -> dict[str, Any]:
  """Returns the result of a finished run.

  Raises:
    ValueError: The run is not finished.
  """
  result = read_done(workdir)
  if result is None:
    raise ValueError(f'{workdir} is not finished; run its stage again first')
  return result


def is_done(workdir: Workdir) -> bool:
  """Whether a run has written its final result."""
  return (pathlib.Path(workdir) / DONE).exists()
