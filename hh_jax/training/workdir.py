"""The folder of a run: what it was started with, and whether it is done.

config.json       config, fingerprint, versions
checkpoints/      see checkpoint.py
metrics.jsonl     see metrics.py
tensorboard/
samples/
report.html
DONE              the final result, written last
"""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import json
import os
import pathlib
import platform
import subprocess
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from hh_jax.training import files
from hh_jax.training import fingerprint as fingerprint_lib

CONFIG = 'config.json'
RECORD = 'run.json'
DONE = 'DONE'
PACKAGES = (
  'jax',
  'jaxlib',
  'flax',
  'optax',
  'orbax-checkpoint',
  'numpy',
  'tokenizers',
)

Workdir = str | os.PathLike[str]


def write_json(path: Workdir, value: object) -> None:
  """Writes JSON atomically; arrays and NumPy scalars become lists, numbers."""
  text = json.dumps(value, indent=2, default=_plain)
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


def prepare(
  workdir: Workdir,
  config_dict: Mapping[str, Any],
  fingerprint: Mapping[str, Any],
) -> pathlib.Path:
  """Makes the folder of a run, or checks that it is this run's.

  A run that stopped before its first step left nothing to protect: another
  one takes the folder over.

  Args:
    workdir: Where the run lives.
    config_dict: All of its config, as JSON.
    fingerprint: What must be equal for the run to be continued.

  Returns:
    The folder, with this config and the versions of the code at work.

  Raises:
    ValueError: The folder holds another run.
  """
  folder = pathlib.Path(workdir)
  folder.mkdir(parents=True, exist_ok=True)
  if (folder / CONFIG).exists() or (folder / RECORD).exists():
    found = fingerprint_lib.differences(_saved_fingerprint(folder), fingerprint)
    if found and _has_work(folder):
      raise ValueError(
        f'workdir {folder} holds another run: {"; ".join(found[:4])}; '
        'give another --workdir'
      )
  record = {
    'fingerprint': fingerprint_lib.plain(fingerprint),
    'versions': versions(),
  }
  write_json(folder / RECORD, record)
  write_json(folder / CONFIG, config_dict)
  return folder


def _has_work(folder: pathlib.Path) -> bool:
  """Whether a run got further than claiming its folder."""
  return any(
    (folder / name).exists() for name in (DONE, 'checkpoints', 'metrics.jsonl')
  )


def _saved_fingerprint(folder: pathlib.Path) -> dict[str, Any]:
  try:
    return dict(json.loads((folder / RECORD).read_text())['fingerprint'])
  except (OSError, ValueError, KeyError, TypeError) as error:
    raise ValueError(
      f'{folder / RECORD} is missing or damaged ({error}); '
      'give another --workdir'
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


def versions() -> dict[str, str]:
  """Returns the versions of the code at work and of what it stands on."""
  found = {'python': platform.python_version(), **_code_version()}
  for name in PACKAGES:
    try:
      found[name] = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
      found[name] = 'absent'
  return found


@functools.cache
def _code_version() -> dict[str, str]:
  """Hashes the package's sources; adds the commit if they are in a checkout."""
  package = pathlib.Path(__file__).parent.parent
  digest = hashlib.sha256()
  for path in sorted(package.rglob('*.py')):
    digest.update(f'{path.relative_to(package)}\n'.encode())
    digest.update(path.read_bytes())
  command = ['git', '-C', str(package), 'rev-parse', 'HEAD']
  try:
    commit = subprocess.run(
      command, capture_output=True, text=True, timeout=10, check=True
    ).stdout.strip()
  except (OSError, subprocess.SubprocessError):
    commit = ''
  return {'hh_jax_sha256': digest.hexdigest(), 'hh_jax_commit': commit}
