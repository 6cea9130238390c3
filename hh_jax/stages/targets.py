"""Results held against what the paper's findings ask for.

What is known with an interval is met where all of it is on the right side of
the limit, missed where none is, and otherwise not shown. What could not be
measured is missed: it stays in the table, without a value.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from hh_jax.stats.seeds import Estimate

NOT_SHOWN = 'not shown'

# A number without an interval, [low, mid, high], or None: not measured.
Measured = Estimate | Sequence[float] | float | None


def at_most(name: str, value: Measured, limit: float) -> dict[str, Any]:
  """A row of a target that is met up to a limit."""
  return _row(name, value, f'<= {limit}', lambda x: x <= limit)


def below(name: str, value: Measured, limit: float) -> dict[str, Any]:
  """A row of a target that is met below a limit."""
  return _row(name, value, f'< {limit}', lambda x: x < limit)


def at_least(name: str, value: Measured, limit: float) -> dict[str, Any]:
  """A row of a target that is met from a limit on."""
  return _row(name, value, f'>= {limit}', lambda x: x >= limit)


def above(name: str, value: Measured, limit: float) -> dict[str, Any]:
  """A row of a target that is met above a limit."""
  return _row(name, value, f'> {limit}', lambda x: x > limit)


def not_below(name: str, value: Measured, limit: float) -> dict[str, Any]:
  """A row of a target that is missed where all of an interval is below it."""
  row = at_least(name, value, limit)
  return row | {
    'target': f'not shown < {limit}',
    'met': row['value'] is not None and row['met'] is not False,
  }


def _row(
  name: str,
  value: Measured,
  target: str,
  is_right: Callable[[float], bool],
) -> dict[str, Any]:
  found = _numbers(value)
  sides = {bool(is_right(x)) for x in found}
  return {
    'name': name,
    'value': _shown(found),
    'target': target,
    'met': sides == {True} if len(sides) < 2 else NOT_SHOWN,
  }


def _numbers(value: Measured) -> list[float]:
  if value is None:
    return []
  if isinstance(value, Estimate):
    return value.interval()
  return [*value] if isinstance(value, Sequence) else [value]


def _shown(found: Sequence[float]) -> float | list[float] | None:
  rounded = [round(float(x), 4) for x in found]
  if len(rounded) > 1:
    return rounded
  return rounded[0] if rounded else None
