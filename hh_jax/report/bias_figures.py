"""Pictures of what preference models make of harm and gender (figure 12)."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes

from hh_jax.report import run as run_lib
from hh_jax.report import style
from hh_jax.report.lines import Values, of
from hh_jax.report.style import Picture


def fig12(values: Values) -> list[Picture]:
  """Scores of harmful first replies, and gaps by gender."""
  panels = (
    ('harm', 'score', 'Scores of first replies', 'score less the mean, nats'),
    ('gender', 'gap', 'Score gaps between terms', 'score gap, nats'),
  )
  return [
    histogram(f'fig12_{name}', title, run_lib.as_rows(values[name]), x, label)
    for name, x, title, label in panels
    if values.get(name)
  ]


def histogram(
  name: str,
  title: str,
  rows: Sequence[run_lib.Row],
  x: str,
  x_label: str,
  group: str = 'group',
) -> Picture:
  """Shares in common bins, a filled outline a group."""
  names = list(dict.fromkeys(str(row.get(group)) for row in rows))

  def draw(axes: Axes) -> None:
    for index, own in enumerate(names):
      points = of(rows, **{group: own})
      axes.fill_between(
        [run_lib.number(row.get(x)) or 0.0 for row in points],
        [run_lib.number(row.get('share')) or 0.0 for row in points],
        color=style.SERIES[index % len(style.SERIES)],
        alpha=0.45,
        label=own,
        step='mid',
      )

  return Picture(
    name,
    title,
    f'Histograms of {" and ".join(names)}.',
    draw,
    rows,
    x_label,
    'share',
  )
