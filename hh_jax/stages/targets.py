"""Results held against what the paper's findings ask for."""

from __future__ import annotations

from typing import Any


def at_most(name: str, value: float, limit: float) -> dict[str, Any]:
  """A row of a target that is met up to a limit."""
  return _row(name, value, f'<= {limit}', bool(value <= limit))


def below(name: str, value: float, limit: float) -> dict[str, Any]:
  """A row of a target that is met below a limit."""
  return _row(name, value, f'< {limit}', bool(value < limit))


def at_least(name: str, value: float, limit: float) -> dict[str, Any]:
  """A row of a target that is met from a limit on."""
  return _row(name, value, f'>= {limit}', bool(value >= limit))


def above(name: str, value: float, limit: float) -> dict[str, Any]:
  """A row of a target that is met above a limit."""
  return _row(name, value, f'> {limit}', bool(value > limit))


def _row(name: str, value: float, target: str, met: bool) -> dict[str, Any]:
  return {
    'name': name,
    'value': round(float(value), 4),
    'target': target,
    'met': met,
  }
