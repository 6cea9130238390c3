"""Pictures of the HHH evaluation (figures 5, 10 and 11)."""

from __future__ import annotations

from collections.abc import Mapping

from matplotlib.axes import Axes

from hh_jax.report import paper_values, style
from hh_jax.report import run as run_lib
from hh_jax.report.lines import PARAMS, Lines, Values, by, of
from hh_jax.report.style import Picture


def fig05(values: Values) -> list[Picture]:
  """Accuracy of language, distilled and preference models by size."""
  rows = run_lib.as_rows(values.get('by_size'))
  categories = dict.fromkeys(str(row.get('category')) for row in rows)
  return [
    Lines(
      f'fig05_{category}',
      f'HHH evaluation, {category}',
      of(rows, category=category),
      'params',
      by('model'),
      PARAMS,
      is_log=True,
      paper=paper_values.HHH if category == 'all' else {},
    ).picture()
    for category in sorted(categories)
  ]


def fig10(values: Values) -> list[Picture]:
  """Score gaps of the largest model, and agreement of models and people."""
  rows = run_lib.as_rows(values.get('gaps'))
  return [
    Picture(
      'fig10',
      'Score of the better reply less that of the worse',
      'A histogram of score gaps; left of zero the model is wrong.',
      lambda axes: _stack(axes, rows),
      rows,
      'score gap, nats (below 0 the model is wrong)',
      'items',
    ),
    Lines(
      'fig10_agreement',
      'Agreement on held-out comparisons',
      run_lib.as_rows(values.get('agreement')),
      'params',
      by('raters'),
      PARAMS,
      'agreement',
      'share of comparisons judged alike',
      is_log=True,
      paper=paper_values.AGREEMENT,
    ).picture(),
  ]


def _stack(axes: Axes, rows: list[run_lib.Row]) -> None:
  axes.axvline(0, color=style.FAINT, linewidth=1, linestyle=':')
  bottom: dict[float, float] = {}
  categories = dict.fromkeys(str(row.get('category')) for row in rows)
  for index, category in enumerate(categories):
    own: Mapping[float, float] = {
      run_lib.number(row.get('gap')) or 0.0: run_lib.number(row.get('count'))
      or 0.0
      for row in of(rows, category=category)
    }
    gaps = sorted(own)
    width = gaps[1] - gaps[0] if len(gaps) > 1 else 1.0
    axes.bar(
      gaps,
      [own[gap] for gap in gaps],
      width,
      bottom=[bottom.get(gap, 0.0) for gap in gaps],
      color=style.SERIES[index % len(style.SERIES)],
      label=category,
    )
    bottom = {gap: bottom.get(gap, 0.0) + own[gap] for gap in gaps}


def fig11(values: Values) -> list[Picture]:
  """None: the worst failures are texts, shown as samples."""
  return []
