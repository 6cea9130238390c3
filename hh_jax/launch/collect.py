"""The results of a sweep: one row a number, seeds aggregated.

1. A finished trial gives the numbers of its `DONE`, and intervals as their
   middles, by the path to each.
2. Trials that differ in the seed alone are one row: the mean over seeds with
   the 95 % t interval of `stats.seeds`. One seed says nothing of others: its
   number has the interval that its own stage measured, over items, or none.
3. The values of all seeds stand in the row, too, so that nothing is lost.
"""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeGuard

import numpy as np

from hh_jax.launch import states, sweep
from hh_jax.launch.sweep import Trial, Values
from hh_jax.stats import seeds as seeds_lib
from hh_jax.training import workdir as workdir_lib

NOT_RESULTS = ('line', 'state_sha256')
Interval = tuple[float, float, float]  # low, mid, high


@dataclasses.dataclass(frozen=True)
class Result:
  """One number of one point of a sweep."""

  stage: str
  axes: Values  # without the seed
  name: str
  seeds: tuple[int, ...]
  values: tuple[float, ...]  # one a seed; whole ones stay whole
  interval: Interval | None  # over seeds; of the one seed, over its items

  @property
  def mid(self) -> float:
    return float(np.mean(self.values))

  @property
  def is_count(self) -> bool:
    """Whether it counts what was read or done, and measures nothing."""
    return all(isinstance(value, int) for value in self.values)


def collect(trials: Sequence[Trial]) -> list[Result]:
  """Returns the numbers of the finished trials, in the order of the sweep."""
  points: dict[tuple[str, str], list[Trial]] = {}
  for trial in trials:
    if states.is_done(trial):
      axes = str({k: v for k, v in trial.axes.items() if k != sweep.SEED})
      points.setdefault((trial.stage, axes), []).append(trial)
  return [result for point in points.values() for result in _results(point)]


def _results(point: Sequence[Trial]) -> Iterator[Result]:
  """Yields the numbers of the trials of one point, seed beside seed."""
  found = [
    dict(numbers(workdir_lib.read_result(trial.workdir))) for trial in point
  ]
  names = dict.fromkeys(name for values in found for name in values)
  axes = {k: v for k, v in point[0].axes.items() if k != sweep.SEED}
  for name in names:
    held = [
      (int(trial.axes[sweep.SEED]), values[name])
      for trial, values in zip(point, found, strict=True)
      if name in values
    ]
    mids = tuple(mid for _, (_, mid, _) in held)
    yield Result(
      stage=point[0].stage,
      axes=axes,
      name=name,
      seeds=tuple(seed for seed, _ in held),
      values=mids,
      interval=_interval([interval for _, interval in held]),
    )


def _interval(intervals: Sequence[Interval]) -> Interval | None:
  if len(intervals) == 1:
    low, mid, high = intervals[0]
    return intervals[0] if low < high else None
  mids = np.array([mid for _, mid, _ in intervals], np.float64)
  if not np.isfinite(mids).all():
    return None
  low, mid, high = seeds_lib.over_seeds(mids.tolist(), mids[:, None]).interval()
  return low, mid, high


def numbers(
  values: Mapping[str, object], prefix: str = ''
) -> Iterator[tuple[str, Interval]]:
  """Yields the numbers of a result by path, a plain one as (x, x, x)."""
  for name, value in values.items():
    if name in NOT_RESULTS or isinstance(value, bool):
      continue
    if isinstance(value, Mapping):
      yield from numbers(value, f'{prefix}{name}.')
    elif isinstance(value, int | float):
      yield f'{prefix}{name}', (value, value, value)
    elif _is_interval(value):
      low, mid, high = map(float, value)
      yield f'{prefix}{name}', (low, mid, high)


def _is_interval(value: object) -> TypeGuard[list[float]]:
  return (
    isinstance(value, list)
    and len(value) == 3
    and all(isinstance(x, int | float) for x in value)
    and value == sorted(value)
  )


def to_csv(results: Sequence[Result]) -> str:
  """Returns one line a number, with a header."""
  axes = list(dict.fromkeys(key for result in results for key in result.axes))
  columns = ['stage', *axes, 'name', 'num_seeds', 'mid', 'low', 'high']
  text = io.StringIO()
  writer = csv.writer(text, lineterminator='\n')
  writer.writerow([*columns, 'seeds', 'values'])
  for result in results:
    low, _, high = result.interval or ('', '', '')
    writer.writerow(
      [
        result.stage,
        *(result.axes.get(axis, '') for axis in axes),
        result.name,
        len(result.seeds),
        result.mid,
        low,
        high,
        ' '.join(map(str, result.seeds)),
        ' '.join(map(str, result.values)),
      ]
    )
  return text.getvalue()


def rows(results: Sequence[Result]) -> dict[str, list[dict[str, object]]]:
  """Returns the numbers of each stage as rows for a page."""
  tables: dict[str, list[dict[str, object]]] = {}
  for result in results:
    value = list(result.interval) if result.interval else result.mid
    row: dict[str, object] = {
      **result.axes,
      'number': result.name,
      'value': value,
    }
    row['seeds'] = len(result.seeds)
    tables.setdefault(result.stage, []).append(row)
  return tables
