"""The page of a sweep: numbers against what was varied, and its trials.

1. A stage is a section: its main numbers by point, drawn over the axis with the
   most values, and all of its numbers in a table below.
2. Numbers that only count what was read or how long it took are not drawn.
3. The last section says where every trial stands, done or not.
"""

from __future__ import annotations

import pathlib
from collections.abc import Collection, Mapping, Sequence

from hh_jax.models import sizes
from hh_jax.report import layout, lines, page
from hh_jax.report import run as run_lib
from hh_jax.report.style import Picture
from hh_jax.training import files

# Columns of a row that are no axes.
NUMBER, VALUE, SEEDS = 'number', 'value', 'seeds'
FIGURES = 'figures'

_SECONDS = 'seconds'
_MOST_DRAWN = 6  # numbers of a stage
_SIZE = 'size'


def write(
  workdir: str | pathlib.Path,
  command: str,
  tables: Mapping[str, Sequence[run_lib.Row]],
  trials: Sequence[run_lib.Row],
  counts: Collection[str] = (),
) -> pathlib.Path:
  """Writes `report.html` of a sweep; returns its path.

  Args:
    workdir: Of the sweep.
    command: Shell command that was run.
    tables: Stage -> rows of its axes, `number`, `value` and `seeds`; a value
      is a number or `[low, mid, high]`.
    trials: One row a trial, as it is to be shown.
    counts: Numbers that measure nothing.
  """
  folder = pathlib.Path(workdir)
  sections = [_section(stage, rows, counts) for stage, rows in tables.items()]
  pictures = [picture for section in sections for picture in section.pictures]
  sections.append(
    layout.Section(
      'trials',
      'Trials',
      'Every trial of the sweep and where it stands.',
      tables=layout.make_table('Trials', trials, is_verbatim=True),
    )
  )
  path = folder / page.FILE
  text = page.template().render(
    title=f'Sweep {folder.name}',
    facts=[('command', command)],
    tiles=[],
    findings=[],
    drawings=page.save_figures(folder / FIGURES, pictures),
    sections=sections,
    missing=[],
  )
  files.write_atomic(path, text)
  return path


def _section(
  stage: str, rows: Sequence[run_lib.Row], counts: Collection[str]
) -> layout.Section:
  """One stage: its main numbers, wide and drawn, and all of them."""
  points = by_point(rows)
  names = [name for name in _names(rows) if name not in (*counts, _SECONDS)]
  main = names[:_MOST_DRAWN]
  columns = [*_axes(rows), SEEDS, *main]
  return layout.Section(
    stage,
    run_lib.label(stage),
    'Means over seeds. An interval is over seeds, or, of one seed, over the '
    'items it was measured on.',
    pictures=_pictures(stage, points, _axes(rows), main),
    tables=[
      *layout.make_table(f'{stage} by point', points, columns),
      *layout.make_table(f'All numbers of {stage}', rows),
    ],
  )


def by_point(rows: Sequence[run_lib.Row]) -> list[dict[str, object]]:
  """Joins the rows that have the same axes: a column a number."""
  axes = _axes(rows)
  points: dict[str, dict[str, object]] = {}
  for row in rows:
    place = {axis: row.get(axis) for axis in axes}
    point = points.setdefault(str(place), {**place, SEEDS: row[SEEDS]})
    point[str(row[NUMBER])] = row[VALUE]
  return list(points.values())


def _pictures(
  stage: str,
  points: Sequence[run_lib.Row],
  axes: Sequence[str],
  names: Sequence[str],
) -> list[Picture]:
  """Lines over the numeric axis with the most values, if it has several."""
  placed = [{**point, **_sizes(point)} for point in points]
  counts = {
    axis: len({run_lib.number(point.get(axis)) for point in placed} - {None})
    for axis in axes
  }
  x = max(counts, key=lambda axis: counts[axis], default='')
  if counts.get(x, 0) < 2:
    return []
  others = [axis for axis in axes if axis != x]
  return [
    lines.Lines(
      name=f'{stage}_{name}'.replace('.', '_').replace('/', '_'),
      title=f'{run_lib.label(stage)}: {run_lib.label(name)}',
      rows=placed,
      x=x,
      group=_group_by(others, stage),
      x_label=lines.PARAMS if x == _SIZE else run_lib.label(x),
      y=name,
      y_label=run_lib.label(name),
      is_log=x == _SIZE,
      level=None,
    ).picture()
    for name in names
  ]


def _group_by(axes: Sequence[str], alone: str) -> lines.Group:
  """Names a line by the values of some axes; the only line by `alone`."""
  return lambda row: ', '.join(f'{axis} {row[axis]}' for axis in axes) or alone


def _sizes(point: run_lib.Row) -> dict[str, object]:
  """The size as the number of block weights, which is what its name counts."""
  if _SIZE not in point:
    return {}
  model = sizes.model_config(str(point[_SIZE]))
  return {_SIZE: 12 * model.num_layers * model.model_dim**2}


def _axes(rows: Sequence[run_lib.Row]) -> list[str]:
  keys = dict.fromkeys(key for row in rows for key in row)
  return [key for key in keys if key not in (NUMBER, VALUE, SEEDS)]


def _names(rows: Sequence[run_lib.Row]) -> list[str]:
  return list(dict.fromkeys(str(row[NUMBER]) for row in rows))
