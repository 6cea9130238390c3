"""Pictures of the preference model and of training.

Every function makes a picture from result values, or returns None where they
are missing. Those of the policies are in `policy_figures`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from hh_jax.report import run as run_lib
from hh_jax.report import style, table
from hh_jax.report.style import Picture

_MAX_POINTS = 400  # of a learning curve; more only makes the page heavy
# Metrics worth a panel, by the last part of their name, best first.
_CURVES = ('loss', 'accuracy', 'score', 'kl', 'kl_k1', 'policy_loss')
# Group, place on the horizontal axis, value, number of comparisons.
_Point = tuple[str, float, run_lib.Band, table.Value]
_SIDES = ('helpful', 'harmless', 'all')


def learning_curves(run: run_lib.Run) -> list[Picture]:
  """Up to two metrics of every stage against its steps."""
  pictures = []
  order = list(run.mapping('stages'))
  stages = sorted(run.curves, key=lambda s: (*order, s).index(s))
  for stage, lines in ((stage, run.curves[stage]) for stage in stages):
    found = {
      ending: name
      for line in lines
      for name in line
      for ending in [name.rpartition('/')[2]]
    }
    metrics = [found[ending] for ending in _CURVES if ending in found]
    for metric in metrics[:2]:
      points = [
        (step, value)
        for line in lines
        if (step := run_lib.number(line.get('step'))) is not None
        and (value := run_lib.number(line.get(metric))) is not None
      ]
      if len(points) >= 2:
        pictures.append(_learning_curve(stage, metric, points))
  return pictures


def pm_accuracy(run: run_lib.Run) -> Picture | None:
  """Accuracy on each side, beside chance, Bayes rate and a naive baseline."""
  measured = run_lib.bands(run.mapping('pm_accuracy'))
  if not measured:
    return None
  sides = sorted(measured, key=lambda s: (_SIDES + (s,)).index(s))
  bayes = run_lib.bands(run.mapping('bayes_accuracy'))
  naive = run_lib.bands(
    run_lib.as_mapping(run.mapping('baselines').get('longer_reply'))
  )

  def draw(axes: Axes) -> None:
    axes.axvline(0.5, color=style.FAINT, linewidth=1, linestyle=':')
    for i, side in enumerate(sides):
      name = 'PM' if i == 0 else None
      style.draw_interval(axes, 0, name, i, measured[side])
    for values, mark, colour, name in (
      (bayes, '|', style.INK, 'Bayes rate'),
      (naive, 'x', style.FAINT, 'longer reply'),
    ):
      known = [(values[s][1], i) for i, s in enumerate(sides) if s in values]
      if known:
        axes.plot(
          *zip(*known),
          mark,
          color=colour,
          markersize=13 if mark == '|' else 7,
          markeredgewidth=2,
          label=name,
        )
    style.name_lines(axes, [run_lib.label(side) for side in sides])

  rows: list[run_lib.Row] = [
    {
      'side': side,
      'accuracy': measured[side],
      'bayes': bayes[side][1] if side in bayes else None,
      'longer_reply': naive.get(side),
    }
    for side in sides
  ]
  return Picture(
    'pm_accuracy',
    'Accuracy by side',
    _in_words('Accuracy on held-out comparisons', rows),
    draw,
    rows,
    'held-out accuracy (0.5 is chance)',
    has_names=True,
  )


def pm_accuracy_by_turn(run: run_lib.Run) -> Picture | None:
  """Accuracy against the turn that is judged."""
  points = [
    (str(row.get('side', 'all')), turn, accuracy, row.get('count'))
    for row in run.rows('pm_accuracy_by_turn')
    if (turn := run_lib.number(row.get('turn'))) is not None
    and (accuracy := run_lib.band(row.get('accuracy'))) is not None
  ]
  if not points:
    return None

  def draw(axes: Axes) -> None:
    axes.axhline(0.5, color=style.FAINT, linewidth=1, linestyle=':')
    _draw_groups(axes, points)
    axes.set_xticks(sorted({turn for _, turn, _, _ in points}))

  rows: list[run_lib.Row] = [
    {'side': side, 'turn': int(turn), 'count': count, 'accuracy': accuracy}
    for side, turn, accuracy, count in points
  ]
  return Picture(
    'pm_accuracy_by_turn',
    'Accuracy by turn',
    _in_words('Accuracy by turn of the dialogue', rows),
    draw,
    rows,
    'turn of the dialogue (1 is the first)',
    'held-out accuracy',
  )


def calibration(run: run_lib.Run) -> list[Picture]:
  """Accuracy against score gap, beside the logistic line, for every PM."""
  pictures = []
  for name, curve in run.mapping('calibration').items():
    points = _curve_points(name, run_lib.as_mapping(curve))
    if points:
      pictures.append(_calibration(name, points))
  return pictures


def _calibration(name: str, points: Sequence[_Point]) -> Picture:
  def draw(axes: Axes) -> None:
    grid = np.linspace(0, 1.05 * max(point[1] for point in points), 100)
    ideal = 1 / (1 + np.exp(-grid))
    axes.plot(grid, ideal, ':', color=style.INK, label='1 / (1 + exp(−Δ))')
    _draw_groups(axes, points)

  rows: list[run_lib.Row] = [
    {'gap': gap, 'accuracy': accuracy, 'count': count}
    for _, gap, accuracy, count in points
  ]
  return Picture(
    f'calibration_{name}',
    f'Calibration: {run_lib.label(name)}',
    _in_words('Accuracy by score gap', rows),
    draw,
    rows,
    'score gap |Δ|, nats',
    'accuracy',
  )


def _draw_groups(axes: Axes, points: Sequence[_Point]) -> None:
  for i, group in enumerate(dict.fromkeys(point[0] for point in points)):
    here = [point for point in points if point[0] == group]
    xs, values = [point[1] for point in here], [point[2] for point in here]
    style.draw_series(axes, i, run_lib.label(group), xs, values)


def _curve_points(name: str, curve: run_lib.Row) -> list[_Point]:
  gaps, accuracies = curve.get('gap'), curve.get('accuracy')
  if not isinstance(gaps, Sequence) or not isinstance(accuracies, Sequence):
    return []
  counts = curve.get('count')
  if not isinstance(counts, Sequence):
    counts = [None] * len(gaps)
  return [
    (name, gap, accuracy, count)
    for x, y, count in zip(gaps, accuracies, counts)
    if (gap := run_lib.number(x)) is not None
    and (accuracy := run_lib.band(y)) is not None
  ]


def _learning_curve(
  stage: str, metric: str, points: list[tuple[float, float]]
) -> Picture:
  steps, values = np.array(points).T
  window = max(1, len(steps) // 25)
  smooth = np.convolve(values, np.ones(window) / window, mode='valid')
  centre = steps[(window - 1) // 2 :][: len(smooth)]

  def draw(axes: Axes) -> None:
    stride = -(-len(steps) // _MAX_POINTS)
    axes.plot(
      steps[::stride],
      values[::stride],
      color=style.SERIES[0],
      alpha=0.3,
      linewidth=0.9,
    )
    stride = -(-len(smooth) // _MAX_POINTS)
    axes.plot(centre[::stride], smooth[::stride], color=style.SERIES[0])

  ending = metric.rpartition('/')[2]
  first, last = table.format_number(smooth[0]), table.format_number(smooth[-1])
  return Picture(
    f'curve_{stage}_{metric}'.replace('/', '_'),
    f'{stage}: {run_lib.label(ending)}',
    f'{metric} of stage {stage} goes from {first} to {last} in '
    f'{table.format_number(int(steps[-1]))} steps.',
    draw,
    [{'step': x, metric: y} for x, y in points],
    f'step (thick: mean of {window})' if window > 1 else 'step',
    run_lib.label(ending),
    size=style.SMALL,
  )


def _in_words(what: str, rows: Sequence[run_lib.Row]) -> str:
  """Alternative text: every number of the picture."""
  parts = (
    ', '.join(
      f'{run_lib.label(key)} {table.format_value(value)}'
      for key, value in row.items()
      if value is not None
    )
    for row in rows
  )
  return f'{what}. ' + '; '.join(parts) + '.'
