"""Markdown tables, and numbers as people read them.

An interval `[low, mid, high]` is written `0.683 [0.659, 0.706]`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TypeAlias, TypeGuard

# What a result file can hold in one place: numbers, text, lists, mappings.
# It comes from JSON, so it is looked at before it is used.
Value: TypeAlias = object

MISSING = '–'


def format_number(value: float) -> str:
  """Writes a number with about three significant digits.

  Args:
    value: Any number; integers keep all their digits, grouped by thousands.

  Returns:
    Text such as '0.683', '12,400' or '3.2e-05'; a dash for NaN.
  """
  if not math.isfinite(value):
    return MISSING
  if isinstance(value, int) or (value == int(value) and abs(value) >= 1000):
    return f'{int(value):,}'
  size = abs(value)
  if 0 < size < 1e-3:
    return f'{value:.2g}'
  for limit, decimals in ((1, 3), (10, 2), (100, 1)):
    if size < limit:
      return f'{value:.{decimals}f}'
  return f'{value:,.0f}'


def is_interval(value: Value) -> bool:
  """Whether a value reads as `[low, mid, high]`."""
  numbers = _numbers(value)
  return len(numbers) == 3 and numbers == sorted(numbers)


def format_value(value: Value) -> str:
  """Writes a number, an interval, a truth value, text or a list of them."""
  if value is None:
    return MISSING
  if isinstance(value, bool):
    return 'yes' if value else 'no'
  if isinstance(value, (int, float)):
    return format_number(value)
  if isinstance(value, str):
    return value
  if is_interval(value):
    low, mid, high = (format_number(x) for x in _numbers(value))
    return f'{mid} [{low}, {high}]'
  if isinstance(value, Mapping):
    return ', '.join(f'{k}: {format_value(v)}' for k, v in value.items())
  if isinstance(value, Sequence):
    return ', '.join(format_value(v) for v in value)
  return str(value)


def markdown_table(
  rows: Sequence[Mapping[str, Value]], columns: Sequence[str] | None = None
) -> str:
  """Lays rows out as a GitHub table.

  Args:
    rows: One mapping of column to value a row.
    columns: Order of the columns; by default as they first appear.

  Returns:
    The table, without a final newline. Numbers are aligned to the right.
  """
  if columns is None:
    columns = list(dict.fromkeys(key for row in rows for key in row))
  if not rows or not columns:
    raise ValueError(f'{len(rows)} rows, {len(columns)} columns: no table')
  cells = [[_cell(row.get(column)) for column in columns] for row in rows]
  rights = [
    all(_is_numeric(row[column]) for row in rows if row.get(column) is not None)
    for column in columns
  ]
  lines = [
    [_cell(column) for column in columns],
    ['---:' if is_right else '---' for is_right in rights],
    *cells,
  ]
  return '\n'.join('| ' + ' | '.join(line) + ' |' for line in lines)


def rows_of(values: Value, name: str = 'name') -> list[dict[str, Value]]:
  """Turns the values of a result file into table rows.

  Args:
    values: A list of rows as they are; a mapping of rows of plain values,
      whose keys become the first column; or any other mapping, one row a
      plain value, named by its dotted path. Lists of rows inside a mapping
      are tables of their own and left out.
    name: Header of the column of keys.

  Returns:
    The rows.
  """
  if isinstance(values, Mapping):
    rows = [row for row in values.values() if _is_row(row)]
    if rows and len(rows) == len(values):
      return [{name: key, **row} for key, row in zip(values, rows)]
    return [{name: key, 'value': value} for key, value in leaves(values)]
  if isinstance(values, Sequence):
    rows = [row for row in values if isinstance(row, Mapping)]
    if len(rows) == len(values):
      return [dict(row) for row in rows]
  raise ValueError(
    f'{type(values).__name__} values make no table: use a mapping or a list '
    'of mappings'
  )


def at_path(values: Value, path: str) -> Value:
  """Follows a dotted path of keys into nested mappings; '' is the whole."""
  for key in path.split('.') if path else ():
    if not isinstance(values, Mapping) or key not in values:
      raise ValueError(f'{path!r} leads nowhere: there is no {key!r}')
    values = values[key]
  return values


def _is_row(value: Value) -> TypeGuard[Mapping[str, Value]]:
  """Whether a value is a mapping of nothing but plain values."""
  return isinstance(value, Mapping) and not any(
    isinstance(cell, Mapping) or _is_rows(cell) for cell in value.values()
  )


def _is_rows(value: Value) -> bool:
  return (
    isinstance(value, Sequence)
    and not isinstance(value, str)
    and any(isinstance(row, Mapping) for row in value)
  )


def leaves(
  values: Mapping[str, Value], prefix: str = ''
) -> list[tuple[str, Value]]:
  """The plain values of nested mappings by dotted path, no lists of rows."""
  found: list[tuple[str, Value]] = []
  for key, value in values.items():
    if isinstance(value, Mapping):
      found += leaves(value, f'{prefix}{key}.')
    elif not _is_rows(value):
      found.append((f'{prefix}{key}', value))
  return found


def _is_number(value: Value) -> TypeGuard[int | float]:
  return isinstance(value, (int, float)) and not isinstance(value, bool)


def _numbers(value: Value) -> list[int | float]:
  """The entries of a list of nothing but numbers, else none."""
  if not isinstance(value, Sequence) or isinstance(value, str):
    return []
  found = [x for x in value if _is_number(x)]
  return found if len(found) == len(value) else []


def _is_numeric(value: Value) -> bool:
  return _is_number(value) or is_interval(value)


def _cell(value: Value) -> str:
  return format_value(value).replace('|', '\\|').replace('\n', ' ')
