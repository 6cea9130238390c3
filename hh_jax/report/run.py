"""What a finished run left behind, read for the page.

1. `results.json` holds the evaluated numbers; every key is optional.
2. `<stage>/metrics.jsonl` holds one JSON object a step.
3. The workdir of one stage is read too: `DONE` for its numbers, and its own
   `metrics.jsonl`.
4. A number may stand alone or as an interval `[low, mid, high]`; `band` reads
   both, and anything else as missing.
"""

from __future__ import annotations

import dataclasses
import json
import math
import pathlib
from collections.abc import Mapping, Sequence

from hh_jax.report import table
from hh_jax.training import metrics as metrics_lib
from hh_jax.training import workdir as workdir_lib

Band = tuple[float, float, float]  # low, mid, high
Row = Mapping[str, table.Value]

_WORDS = {
  'pi0': 'π0',
  'rlhf': 'RLHF',
  'lm': 'LM',
  'pm': 'PM',
  'pmp': 'PMP',
  'kl': 'KL',
}


@dataclasses.dataclass(frozen=True)
class Run:
  """Everything the page is made from."""

  workdir: pathlib.Path
  values: Row  # results.json
  curves: Mapping[str, Sequence[Row]]  # stage -> lines of its metrics
  is_stage: bool = False  # of one stage alone, which has no more to say

  def mapping(self, key: str) -> Row:
    """A mapping of the results, empty where it is missing."""
    return as_mapping(self.values.get(key))

  def rows(self, key: str) -> list[Row]:
    """A list of mappings of the results, empty where it is missing."""
    return as_rows(self.values.get(key))


def read_run(workdir: pathlib.Path) -> Run:
  """Reads a workdir.

  Args:
    workdir: Folder with `results.json` or stage folders, or both.

  Returns:
    What it holds.
  """
  if not workdir.is_dir():
    raise ValueError(f'{workdir} is no folder; pass the workdir of a run')
  if (workdir / workdir_lib.RECORD).is_file():
    return _read_stage(workdir)
  path = workdir / 'results.json'
  values = _read_object(path) if path.is_file() else {}
  curves = {
    found.parent.name: _read_lines(found)
    for found in sorted(workdir.glob('*/metrics.jsonl'))
  }
  curves = {name: lines for name, lines in curves.items() if lines}
  if not values and not curves:
    raise ValueError(
      f'{workdir} holds neither results.json nor <stage>/metrics.jsonl'
    )
  return Run(workdir, values, curves)


def _read_stage(workdir: pathlib.Path) -> Run:
  """Reads the workdir of one finished stage."""
  record = workdir_lib.read_record(workdir)
  done = workdir_lib.read_result(workdir)
  stage = str(record['fingerprint']['stage'])
  shown = {'steps': done.get('steps'), 'seconds': done['seconds']}
  values = {
    **done,
    'stages': {stage: {**shown, 'result': done['line']}},
    'versions': record['versions'],
  }
  if 'state_sha256' in done:
    values['state_sha256'] = {stage: done['state_sha256']}
  path = workdir / metrics_lib.FILE
  curves = {stage: _read_lines(path)} if path.is_file() else {}
  return Run(workdir, values, curves, is_stage=True)


def as_mapping(value: table.Value) -> Row:
  """The value if it is a mapping, else an empty one."""
  return value if isinstance(value, Mapping) else {}


def as_rows(value: table.Value) -> list[Row]:
  """The mappings in a list, else nothing."""
  if isinstance(value, Sequence) and not isinstance(value, str):
    return [row for row in value if isinstance(row, Mapping)]
  return []


def number(value: table.Value) -> float | None:
  """A finite number, or None."""
  if isinstance(value, bool) or not isinstance(value, (int, float)):
    return None
  return float(value) if math.isfinite(value) else None


def band(value: table.Value) -> Band | None:
  """Reads a number or `[low, mid, high]`; None if it is neither."""
  alone = number(value)
  if alone is not None:
    return alone, alone, alone
  if isinstance(value, Sequence) and not isinstance(value, str):
    parts = [number(x) for x in value]
    if len(parts) == 3 and None not in parts:
      low, mid, high = (x for x in parts if x is not None)
      return low, mid, high
  return None


def bands(values: Row) -> dict[str, Band]:
  """The entries of a mapping that are numbers or intervals."""
  found = {key: band(value) for key, value in values.items()}
  return {key: value for key, value in found.items() if value is not None}


def has_width(value: Band) -> bool:
  """Whether an interval was measured, and not only a number."""
  return value[2] > value[0]


def label(name: str) -> str:
  """A name from a result file in words."""
  words = name.replace('/', '_/_').split('_')
  return ' '.join(_WORDS.get(word, word) for word in words)


def _read_object(path: pathlib.Path) -> Row:
  try:
    value = json.loads(path.read_text(encoding='utf-8'))
  except json.JSONDecodeError as error:
    raise ValueError(f'{path} is no JSON: {error}') from error
  if not isinstance(value, dict):
    raise ValueError(f'{path} holds a {type(value).__name__}, not an object')
  return value


def _read_lines(path: pathlib.Path) -> list[Row]:
  """Lines of a metrics file; a torn last line of a killed run is left out."""
  lines: list[Row] = []
  for line in path.read_text(encoding='utf-8').splitlines():
    try:
      value = json.loads(line)
    except json.JSONDecodeError:
      continue
    if isinstance(value, dict):
      lines.append(value)
  return lines
