"""Panels of lines with bands, from rows of numbers.

A row belongs to the line that a column names; its place and its interval are
two other columns. What the paper shows stands beside it as hollow marks.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence

from matplotlib import ticker
from matplotlib.axes import Axes

from hh_jax.report import paper_values, style, table
from hh_jax.report import run as run_lib
from hh_jax.report.style import Picture

Values = Mapping[str, table.Value]
Group = Callable[[run_lib.Row], str]

ACCURACY = 'held-out accuracy (0.5 is chance)'
PARAMS = 'parameters, without embeddings'


@dataclasses.dataclass(frozen=True)
class Lines:
  """One panel of lines with bands."""

  name: str
  title: str
  rows: Sequence[run_lib.Row]
  x: str  # column of the horizontal axis
  group: Group  # line that a row belongs to
  x_label: str
  y: str = 'accuracy'
  y_label: str = ACCURACY
  is_log: bool = False
  level: float | None = 0.5  # a faint horizontal line
  paper: Mapping[str, paper_values.Points] = dataclasses.field(
    default_factory=dict
  )
  # What knowing the truth reaches, by line: dashed in the line's colour.
  bayes: Mapping[str, float] = dataclasses.field(default_factory=dict)

  def picture(self) -> Picture:
    names = list(dict.fromkeys(map(self.group, self.rows)))
    return Picture(
      self.name,
      self.title,
      f'{self.title}: {", ".join(names)} against {self.x_label}.',
      self.draw,
      self.rows,
      self.x_label,
      self.y_label,
    )

  def draw(self, axes: Axes) -> None:
    if self.level is not None:
      axes.axhline(self.level, color=style.FAINT, linewidth=1, linestyle=':')
    names = list(dict.fromkeys(map(self.group, self.rows)))
    for index, name in enumerate(names):
      points = sorted(
        (x, value)
        for row in self.rows
        if self.group(row) == name
        and (x := middle(row.get(self.x))) is not None
        and (value := run_lib.band(row.get(self.y))) is not None
      )
      if points:
        style.draw_series(axes, index, name, *zip(*points))
      if name in self.bayes:
        color = style.SERIES[index % len(style.SERIES)]
        axes.axhline(self.bayes[name], color=color, linewidth=1, linestyle='--')
    for index, (name, known) in enumerate(self.paper.items()):
      axes.plot(
        *zip(*known),
        linestyle='none',
        marker=style.MARKERS[index % len(style.MARKERS)],
        markerfacecolor='none',
        color=style.FAINT,
        label=f'paper, {name}',
      )
    if self.is_log:
      style.spread_logarithmically(axes, self.places())
    elif all(float(place).is_integer() for place in self.places()):
      axes.xaxis.set_major_locator(ticker.MaxNLocator(integer=True))

  def places(self) -> list[float]:
    """Where anything is drawn, ours and the paper's."""
    own = (middle(row.get(self.x)) for row in self.rows)
    known = (x for points in self.paper.values() for x, _ in points)
    return [*(x for x in own if x is not None), *known]


def middle(value: table.Value) -> float | None:
  """A number, or the middle of an interval; None if it is neither."""
  found = run_lib.band(value)
  return None if found is None else found[1]


def marked(picture: Picture, marks: Mapping[str, float]) -> Picture:
  """Adds vertical lines with a word at their top.

  Args:
    picture: What they are drawn over.
    marks: Place of each on the horizontal axis, by what it says.
  """
  if not marks:
    return picture

  def draw(axes: Axes) -> None:
    picture.draw(axes)
    middle_of_axis = sum(axes.get_xlim()) / 2
    for index, (text, place) in enumerate(marks.items()):
      is_right = place > middle_of_axis
      axes.axvline(place, color=style.FAINT, linewidth=1.2, linestyle='--')
      axes.annotate(
        text,
        (place, 0.93 - 0.08 * index),
        xycoords=('data', 'axes fraction'),
        xytext=(-4 if is_right else 4, 0),
        textcoords='offset points',
        ha='right' if is_right else 'left',
        color=style.FAINT,
      )

  words = ', '.join(
    f'{text} at {table.format_number(place)}' for text, place in marks.items()
  )
  alt = f'{picture.alt} Marked: {words}.'
  return dataclasses.replace(picture, draw=draw, alt=alt)


def by(column: str) -> Group:
  """Groups rows by what a column says, in words."""
  return lambda row: run_lib.label(str(row.get(column)))


def of(rows: Sequence[run_lib.Row], **wanted: str) -> list[run_lib.Row]:
  """The rows whose columns hold the wanted values."""
  return [
    row for row in rows if all(row.get(k) == v for k, v in wanted.items())
  ]
