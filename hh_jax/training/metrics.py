"""`metrics.jsonl`: the source of truth of a run, one line a step.

1. Line n holds what update n gave (the first update is 1), written once, in
   one system call. A stage without updates has one line, its result.
2. On resume from step s the lines after s are dropped by an atomic rewrite,
   for those steps run again.
3. Names starting with 'time/' are wall-clock and differ between equal runs.
4. Numbers read back exactly; what is not finite is spelled as a string, so
   that every line is JSON.
"""

from __future__ import annotations

import json
import logging
import math
import os
import pathlib
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import TypeGuard

import jax
import numpy as np

from hh_jax.training import files

FILE = 'metrics.jsonl'
TENSORBOARD = 'tensorboard'
STEP = 'step'
TIME_PREFIX = 'time/'
INTERVAL = ('low', 'mid', 'high')

Number = int | float
Row = dict[str, Number]

log = logging.getLogger(__name__)


def read_metrics(
  path: str | os.PathLike[str], *, with_time: bool = True
) -> list[Row]:
  """Reads the lines of a metrics file, or of the one in a workdir.

  Args:
    path: The file or its workdir.
    with_time: False leaves the wall-clock fields out.

  Returns:
    One dictionary a step. A last line cut short by a kill is left out.
  """
  path = pathlib.Path(path)
  path = path / FILE if path.is_dir() else path
  return [
    {k: v for k, v in row.items() if with_time or not is_time(k)}
    for _, row in _parse(path)
  ]


def is_time(name: str) -> bool:
  """Whether a metric is wall-clock, so that equal runs differ in it."""
  return name.startswith(TIME_PREFIX)


def to_numbers(values: Mapping[str, object]) -> Row:
  """Fetches scalar metrics from the device.

  Raises:
    ValueError: A value is no scalar.
  """
  row: Row = {}
  for name, value in jax.device_get(dict(values)).items():
    array = np.asarray(value)
    if array.size != 1:
      raise ValueError(
        f'metric {name!r} has shape {array.shape}, not one value'
      )
    if array.dtype.kind in 'iu':
      row[name] = int(array.item())
    else:
      row[name] = float(array.astype(np.float64).item())
  return row


def flatten(values: Mapping[str, object], prefix: str = '') -> Row:
  """The numbers of nested results, by the path to each.

  Args:
    values: Numbers, intervals [low, mid, high] and mappings of such; anything
      else is left to the files that hold it.
    prefix: Put before every name.
  """
  row: Row = {}
  for name, value in values.items():
    if isinstance(value, np.ndarray | np.generic):
      value = value.tolist()
    if _is_interval(value):
      value = dict(zip(INTERVAL, value, strict=True))
    if isinstance(value, Mapping):
      row |= flatten(value, f'{prefix}{name}/')
    elif isinstance(value, Number) and not isinstance(value, bool):
      row[f'{prefix}{name}'] = value
  return row


def _is_interval(value: object) -> TypeGuard[Sequence[Number]]:
  return (
    isinstance(value, Sequence)
    and len(value) == len(INTERVAL)
    and all(isinstance(item, Number) for item in value)
  )


def _parse(path: pathlib.Path) -> list[tuple[bytes, Row]]:
  """Returns (line, content) of every whole line."""
  if not path.exists():
    return []
  lines = path.read_bytes().split(b'\n')
  rows = []
  for number, line in enumerate(lines, start=1):
    if not line:
      continue
    try:
      row = {
        name: float(value) if isinstance(value, str) else value
        for name, value in json.loads(line).items()
      }
      rows.append((line, row | {STEP: int(row[STEP])}))
    except (ValueError, KeyError, TypeError, AttributeError):
      if number < len(lines):
        raise ValueError(f'{path}:{number} is not a line of metrics') from None
  return rows


class MetricsLog:
  """Appends to the metrics and TensorBoard files of one run."""

  def __init__(
    self,
    workdir: str | os.PathLike[str],
    *,
    resume_step: int = 0,
    tensorboard: bool = True,
  ):
    """Opens the files, dropping what lies after the step resumed from."""
    folder = pathlib.Path(workdir)
    folder.mkdir(parents=True, exist_ok=True)
    self._path = folder / FILE
    self._drop_after(resume_step)
    self._file = os.open(
      self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644
    )
    self._board = None
    if tensorboard:
      import tensorboardX

      self._board = tensorboardX.SummaryWriter(
        str(folder / TENSORBOARD), purge_step=resume_step + 1
      )

  def _drop_after(self, resume_step: int) -> None:
    rows = _parse(self._path)
    kept = [line + b'\n' for line, row in rows if row[STEP] <= resume_step]
    if [row[STEP] for _, row in rows[: len(kept)]] != list(
      range(1, resume_step + 1)
    ):
      log.warning(
        '%s has %d lines for the %d steps done: it was edited or replaced',
        self._path,
        len(kept),
        resume_step,
      )
    content = b''.join(kept)
    if self._path.exists() and self._path.read_bytes() != content:
      files.write_atomic(self._path, content)

  def write(self, step: int, values: Mapping[str, Number]) -> None:
    """Appends the line of one step."""
    if STEP in values:
      raise ValueError(f'a metric is named {STEP!r}; rename it')
    row = {STEP: step} | {
      name: value if math.isfinite(value) else str(value)
      for name, value in sorted(values.items())
    }
    os.write(self._file, json.dumps(row, allow_nan=False).encode() + b'\n')
    if self._board is not None:
      for name, value in values.items():
        self._board.add_scalar(name, value, step)

  def sync(self) -> None:
    """Returns when every line is on disk, before a checkpoint counts them."""
    os.fsync(self._file)
    if self._board is not None:
      self._board.flush()

  def close(self) -> None:
    os.close(self._file)
    if self._board is not None:
      self._board.close()

  def __enter__(self) -> MetricsLog:
    return self

  def __exit__(
    self,
    kind: type[BaseException] | None,
    error: BaseException | None,
    trace: TracebackType | None,
  ) -> None:
    self.close()
