"""How figures look, and how they become text and files.

1. Colours are those of Okabe and Ito (2008), told apart by every kind of
   colour vision; series also differ in marker and dash.
2. In the page a figure is an inline SVG whose colours are CSS variables and
   whose text is text, so that it follows the reader's theme and font.
3. Beside the page every figure is written as SVG, PNG, CSV and JSON.
"""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import io
import json
import pathlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence

import matplotlib as mpl
from matplotlib import style as mpl_style
from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from hh_jax.report import run as run_lib
from hh_jax.report import table

INK, FAINT, GRID, PAPER = '#1f2328', '#667080', '#d8dce2', '#ffffff'
SERIES = ('#0072b2', '#d55e00', '#009e73', '#cc79a7', '#e69f00', '#56b4e9')
MARKERS = ('o', 's', 'D', '^', 'v', 'P')
DASHES = ('-', '--', '-.', ':', '-', '--')
_VARIABLES = {
  INK: 'var(--ink)',
  FAINT: 'var(--faint)',
  GRID: 'var(--grid)',
  PAPER: 'var(--card)',
  **{colour: f'var(--series-{i})' for i, colour in enumerate(SERIES)},
}
SMALL = (3.1, 2.4)  # inches of a panel of which three share a line
_TICKS, _NAMES = 0.64, 1.15  # inches left of a panel for numbers, for names
_LEGEND_LINE = 0.22  # inches of a line of a legend
_SHORT_NAME = 13  # letters of which three stand side by side
_SETTINGS: dict[str, str | float | bool | list[str]] = {
  'axes.axisbelow': True,
  'axes.edgecolor': GRID,
  'axes.grid': True,
  'axes.labelcolor': FAINT,
  'axes.labelsize': 9.5,
  'axes.spines.right': False,
  'axes.spines.top': False,
  'font.family': 'sans-serif',
  'font.sans-serif': ['DejaVu Sans'],
  'font.size': 9.5,
  'grid.color': GRID,
  'grid.linewidth': 0.7,
  'legend.frameon': False,
  'legend.fontsize': 9,
  'legend.handlelength': 2.2,
  'lines.linewidth': 1.8,
  'lines.markersize': 4.5,
  'savefig.transparent': True,
  'svg.fonttype': 'none',
  'text.color': INK,
  'text.parse_math': False,
  'xtick.color': GRID,
  'xtick.labelcolor': FAINT,
  'ytick.color': GRID,
  'ytick.labelcolor': FAINT,
}


@dataclasses.dataclass(frozen=True)
class Picture:
  """One panel: how to draw it, and the words and numbers that go with it."""

  name: str  # file name without its ending
  title: str
  alt: str  # what is to be seen, for readers who cannot see it
  draw: Callable[[Axes], None]
  rows: Sequence[Mapping[str, table.Value]]  # the numbers drawn
  x_label: str  # with its unit
  y_label: str = ''
  has_names: bool = False  # the vertical scale is a list of names
  size: tuple[float, float] = (4.3, 3.0)  # inches; 413 px wide in the page


def figure_of(pictures: Sequence[Picture], columns: int = 2) -> Figure:
  """Draws panels on one sheet; a sheet of several has titles.

  Args:
    pictures: At least one.
    columns: Panels side by side.

  Returns:
    The figure.
  """
  columns = min(columns, len(pictures))
  lines = -(-len(pictures) // columns)
  width, height = pictures[0].size
  figure = Figure(figsize=(width * columns, height * lines))
  sheet = figure.subplots(lines, columns, squeeze=False).ravel()
  for axes in sheet[len(pictures) :]:
    axes.set_axis_off()
  for axes, picture in zip(sheet, pictures):
    axes.set_xlabel(picture.x_label)
    axes.set_ylabel(picture.y_label)
    axes.tick_params(length=0)
    picture.draw(axes)
    _legend_above(axes, picture.has_names)
    if len(pictures) > 1:
      axes.set_title(picture.title, loc='left', pad=26, fontweight='bold')
  if len(pictures) > 1:
    engine = ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.12)
    figure.set_layout_engine(engine)
  else:
    # Equal margins: panels side by side line up, and no layout is solved for.
    figure.subplots_adjust(
      left=(_NAMES if pictures[0].has_names else _TICKS) / width,
      right=1 - 0.12 / width,
      bottom=0.46 / height,
      top=1 - (0.08 + _LEGEND_LINE * _legend_lines(sheet[0])) / height,
    )
  return figure


def draw_series(
  axes: Axes,
  index: int,
  name: str,
  xs: Sequence[float],
  values: Sequence[run_lib.Band],
) -> None:
  """A line with its band of uncertainty.

  Args:
    axes: Where to.
    index: Which colour, marker and dash.
    name: For the legend.
    xs: Places.
    values: `(low, mid, high)` at each place.
  """
  colour = SERIES[index % len(SERIES)]
  low, mid, high = zip(*values)
  if len(xs) == 1:  # a band of one place cannot be seen
    axes.vlines(xs, low, high, color=colour, linewidth=1.8)
  axes.fill_between(xs, low, high, color=colour, alpha=0.16, linewidth=0)
  axes.plot(
    xs,
    mid,
    color=colour,
    marker=MARKERS[index % len(MARKERS)],
    linestyle=DASHES[index % len(DASHES)],
    label=name,
  )


def draw_interval(
  axes: Axes, index: int, name: str | None, place: float, value: run_lib.Band
) -> None:
  """A dot with its interval on a horizontal scale.

  Args:
    axes: Where to.
    index: Which colour and marker.
    name: For the legend, or None if it is there already.
    place: Height.
    value: `(low, mid, high)`.
  """
  axes.errorbar(
    value[1],
    place,
    xerr=reach(value),
    fmt=MARKERS[index % len(MARKERS)],
    color=SERIES[index % len(SERIES)],
    elinewidth=1.8,
    markersize=6,
    label=name,
  )


def reach(value: run_lib.Band) -> list[list[float]]:
  """How far an interval goes below and above its middle."""
  low, mid, high = value
  return [[max(0.0, mid - low)], [max(0.0, high - mid)]]


def name_lines(axes: Axes, names: Sequence[str]) -> None:
  """Turns the vertical scale into one line a name, the first on top."""
  axes.set_yticks(range(len(names)), names)
  axes.tick_params(axis='y', labelcolor=INK)
  axes.set_ylim(len(names) - 0.4, -0.6)
  axes.grid(axis='y', visible=False)


def svg(name: str, pictures: Sequence[Picture]) -> str:
  """Draws panels as an SVG document; equal panels give equal text.

  Args:
    name: Of the sheet; seeds the ids inside.
    pictures: One panel or more.

  Returns:
    The document.
  """
  buffer = io.StringIO()
  with _styled(), mpl.rc_context({'svg.hashsalt': name}):
    figure_of(pictures).savefig(buffer, format='svg', metadata={'Date': None})
  return buffer.getvalue()


def inline(name: str, text: str) -> str:
  """Makes an SVG document an element of the page, themed by CSS variables.

  Args:
    name: Unique in the page: the ids of figures must not meet.
    text: What `svg` returned.

  Returns:
    The element.
  """
  text = text[text.index('<svg') :]
  text = re.sub(r'<metadata>.*?</metadata>', '', text, flags=re.DOTALL)
  text = re.sub(r' (width|height)="[\d.]+pt"', '', text, count=2)
  for colour, variable in _VARIABLES.items():
    text = re.sub(colour, variable, text, flags=re.IGNORECASE)
  text = re.sub(r'\bid="', f'id="{name}-', text)
  text = re.sub(r'(href="#|url\(#)', rf'\g<1>{name}-', text)
  # The page's own font, at the size that was laid out.
  text = re.sub(r'font: ([\d.]+px) [^;"]+', r'font-size: \1', text)
  return text.replace('<svg ', '<svg aria-hidden="true" focusable="false" ', 1)


def write_png(pictures: Sequence[Picture], path: pathlib.Path) -> None:
  """Writes panels as one picture on white."""
  with _styled():
    figure_of(pictures).savefig(
      path, dpi=160, facecolor=PAPER, transparent=False
    )


def write_numbers(pictures: Sequence[Picture], stem: pathlib.Path) -> None:
  """Writes what is drawn as CSV and JSON, an interval as three columns."""
  rows = [flat({'figure': p.name, **row}) for p in pictures for row in p.rows]
  stem.with_suffix('.csv').write_text(_csv(rows), encoding='utf-8')
  content = {'titles': {p.name: p.title for p in pictures}, 'rows': rows}
  stem.with_suffix('.json').write_text(
    json.dumps(content, indent=1, ensure_ascii=False) + '\n', encoding='utf-8'
  )


def flat(row: Mapping[str, table.Value]) -> dict[str, table.Value]:
  """Spreads intervals over three columns, for files of numbers."""
  spread: dict[str, table.Value] = {}
  for key, value in row.items():
    found = run_lib.band(value)
    if found is None or run_lib.number(value) is not None:
      spread[key] = value
    else:
      ends = zip((f'{key}_low', key, f'{key}_high'), found)
      spread.update(dict(ends))
  return spread


@contextlib.contextmanager
def _styled() -> Iterator[None]:
  """Draws with the settings above and leaves the global ones alone."""
  with mpl_style.context(_SETTINGS):
    yield


def _legend_columns(names: Sequence[str]) -> int:
  """Names that fit side by side above a panel."""
  longest = max(map(len, names), default=1)
  return min(len(names), 3 if longest <= _SHORT_NAME else 2)


def _legend_lines(axes: Axes) -> int:
  names = axes.get_legend_handles_labels()[1]
  return -(-len(names) // max(_legend_columns(names), 1))


def spread_logarithmically(axes: Axes, xs: Sequence[float]) -> None:
  """Makes the horizontal scale logarithmic, its ticks plain numbers.

  Decades are marked, or the places themselves where they span less than two.
  """
  axes.set_xscale('log')
  axes.xaxis.set_minor_formatter(ticker.NullFormatter())
  axes.xaxis.set_major_formatter(ticker.FuncFormatter(_short_number))
  places = sorted(set(map(float, xs)))
  if places and places[-1] < 100 * places[0]:
    axes.xaxis.set_major_locator(ticker.FixedLocator(places))
    axes.xaxis.set_minor_locator(ticker.NullLocator())


def _short_number(value: float, _: object = None) -> str:
  for size, letter in ((1e9, 'B'), (1e6, 'M'), (1e3, 'k')):
    if value >= size:
      return f'{value / size:.3g}{letter}'
  return f'{value:.3g}'


def _legend_above(axes: Axes, has_names: bool) -> None:
  handles, names = axes.get_legend_handles_labels()
  if handles:
    legend = axes.legend(
      loc='lower left',
      bbox_to_anchor=(-0.34 if has_names else 0, 1.0),
      ncols=_legend_columns(names),
      borderaxespad=0.2,
      borderpad=0.2,
      columnspacing=1.3,
    )
    legend.set_in_layout(False)


def _csv(rows: Sequence[Mapping[str, table.Value]]) -> str:
  buffer = io.StringIO()
  columns = list(dict.fromkeys(key for row in rows for key in row))
  writer = csv.DictWriter(buffer, columns, lineterminator='\n')
  writer.writeheader()
  writer.writerows(rows)
  return buffer.getvalue()
