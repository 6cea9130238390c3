"""The result file of a benchmark, written after every job."""

from __future__ import annotations

import json
import pathlib
import shlex
import sys
import time
from collections.abc import Mapping
from typing import Any

from benchmarks import inputs, rows
from benchmarks.sides import Row, Setting
from hh_jax.report import record
from hh_jax.training import provenance


class Results:
  """Rows that are done, and the file that holds them."""

  def __init__(
    self,
    path: pathlib.Path | None,
    facts: Row,
    hardware: Mapping[str, Any] | None = None,
    module: str = 'benchmarks.run',
  ):
    """Opens a file that was begun at this commit.

    Args:
      path: The file; None writes nothing.
      facts: What every row of this run is told with: texts and rounds.
      hardware: What was measured, where this process does not see it.
      module: Whose command line makes the file again.
    """
    self.rows: list[Row] = []
    self._facts = facts
    self._path = path
    self._hardware = hardware
    self._module = module
    self._before = 0.0
    self._started = time.perf_counter()
    if path is None or not path.exists():
      return
    saved = json.loads(path.read_text())
    commit = provenance.commit(ignore=path)
    if saved['commit'] != commit or commit.endswith('+dirty'):
      sys.exit(
        f'{path} is of {saved["commit"]} and this is {commit}; move it away '
        'to begin anew'
      )
    here = dict(hardware) if hardware else record.hardware()
    if saved['hardware'] != here:
      sys.exit(
        f'{path} is of {record.hardware_line(saved["hardware"])} and this is '
        f'{record.hardware_line(here)}; move it away to begin anew'
      )
    self.rows = [row for row in saved['values'] if not rows.is_broken(row)]
    self._before = saved['seconds']

  def has(self, name: str, setting: Setting) -> bool:
    wanted = {**rows.key_of(name, setting), **self._facts}
    return any(wanted.items() <= row.items() for row in self.rows)

  def add(self, row: Row) -> None:
    """Keeps a row and writes the file."""
    self.rows.append({**row, **self._facts})
    if self._path is not None:
      record.write_result(
        self._path,
        self.rows,
        command=shlex.join(['python', '-m', self._module, *sys.argv[1:]]),
        seeds=[inputs.SEED],
        seconds=self._before + time.perf_counter() - self._started,
        machine=self._hardware,
      )
