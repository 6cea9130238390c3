"""Pictures of what RLHF did to the policy.

Every function makes a picture from result values, or returns None where they
are missing.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from hh_jax.report import run as run_lib
from hh_jax.report import style, table
from hh_jax.report.style import Picture
from hh_jax.stats import frontier as frontier_lib

_PM_SERIES = {'train_pm': 'train PM', 'held_out_pm': 'held-out PM'}
_GOLD_SERIES = {
  'gold_helpfulness': 'gold helpfulness',
  'gold_harmlessness': 'gold harmlessness',
}


@dataclasses.dataclass(frozen=True)
class Frontier:
  """Scores of the snapshots of a policy, by divergence from its start."""

  roots: list[float]  # √KL, ascending in training
  # Those known at every snapshot: scores, and gains since the first one.
  series: dict[str, list[run_lib.Band]]
  gains: dict[str, list[run_lib.Band]]
  parting: int | None  # snapshot at which train and held-out PM part


def read_frontier(run: run_lib.Run) -> Frontier | None:
  """The snapshots whose KL is known, or None if there are fewer than two."""
  rows = [
    (max(0.0, kl), row)
    for row in run.rows('frontier')
    if (kl := run_lib.number(row.get('kl'))) is not None
  ]
  if len(rows) < 2:
    return None
  series = _series([row for _, row in rows])
  gains = _series([run_lib.as_mapping(row.get('gain')) for _, row in rows])
  gains = {key: values for key, values in gains.items() if key in series}
  parting = None
  if set(_PM_SERIES) <= set(gains):
    parting = frontier_lib.parting_point(
      np.array(gains['train_pm']), np.array(gains['held_out_pm'])
    )
    # Scores without intervals cannot be told apart.
    if not any(run_lib.has_width(value) for value in gains['held_out_pm']):
      parting = None
  return Frontier(
    roots=[math.sqrt(kl) for kl, _ in rows],
    series=series,
    gains=gains,
    parting=parting,
  )


def _series(rows: Sequence[run_lib.Row]) -> dict[str, list[run_lib.Band]]:
  """The scores that every row has."""
  found = {}
  for key in (*_PM_SERIES, *_GOLD_SERIES):
    values = [run_lib.band(row.get(key)) for row in rows]
    known = [value for value in values if value is not None]
    if len(known) == len(values):
      found[key] = known
  return found


def pm_frontier(frontier: Frontier | None) -> Picture | None:
  """Gain of the PM scores against √KL."""
  picture = _frontier('frontier_pm', 'PM score gained', _PM_SERIES, frontier)
  if picture is None or frontier is None or frontier.parting is None:
    return picture
  place = frontier.roots[frontier.parting]
  plain = picture.draw

  def draw(axes: Axes) -> None:
    plain(axes)
    axes.axvline(place, color=style.FAINT, linewidth=1.2, linestyle='--')
    axes.annotate(
      'the two part',
      (place, 0.93),
      xycoords=('data', 'axes fraction'),
      xytext=(-4, 0),
      textcoords='offset points',
      ha='right',
      color=style.FAINT,
    )

  alt = f'{picture.alt} The two part at √KL {table.format_number(place)}.'
  return dataclasses.replace(picture, draw=draw, alt=alt)


def gold_frontier(frontier: Frontier | None) -> Picture | None:
  """Change of the true scores against √KL."""
  return _frontier('frontier_gold', 'Gold score gained', _GOLD_SERIES, frontier)


def elo(run: run_lib.Run) -> Picture | None:
  """Ratings of the policies, by side."""
  points = [
    (side, policy, value)
    for side, values in run.mapping('elo').items()
    for policy, value in run_lib.bands(run_lib.as_mapping(values)).items()
  ]
  if not points:
    return None
  sides = list(dict.fromkeys(side for side, _, _ in points))
  policies = list(dict.fromkeys(policy for _, policy, _ in points))

  def draw(axes: Axes) -> None:
    axes.axvline(0, color=style.FAINT, linewidth=1, linestyle=':')
    named: set[str] = set()
    for side, policy, value in points:
      index = sides.index(side)
      offset = 0.2 * (index - (len(sides) - 1) / 2)
      name = None if side in named else run_lib.label(side)
      named.add(side)
      place = policies.index(policy) + offset
      style.draw_interval(axes, index, name, place, value)
    style.name_lines(axes, [run_lib.label(policy) for policy in policies])

  words = '; '.join(
    f'{side}, {run_lib.label(policy)}: {table.format_value(value)}'
    for side, policy, value in points
  )
  rows: list[run_lib.Row] = [
    {'side': side, 'policy': policy, 'elo': value}
    for side, policy, value in points
  ]
  return Picture(
    'elo',
    'Elo',
    f'Elo against π0. {words}.',
    draw,
    rows,
    'Elo above π0',
    has_names=True,
  )


def tension(run: run_lib.Run) -> Picture | None:
  """Every policy's helpfulness against its harmlessness."""
  unit, points = _helpful_and_harmless(run)
  if not points:
    return None

  places = [x[1] for _, x, _ in points]
  middle = (min(places) + max(places)) / 2

  def draw(axes: Axes) -> None:
    for i, (policy, x, y) in enumerate(points):
      is_right = x[1] > middle
      axes.errorbar(
        x[1],
        y[1],
        xerr=style.reach(x),
        yerr=style.reach(y),
        fmt=style.MARKERS[i % len(style.MARKERS)],
        color=style.SERIES[i % len(style.SERIES)],
        markersize=7,
      )
      axes.annotate(
        run_lib.label(policy),
        (x[1], y[1]),
        xytext=(-7 if is_right else 7, 7),
        textcoords='offset points',
        ha='right' if is_right else 'left',
      )
    axes.margins(0.18)

  words = '; '.join(
    f'{run_lib.label(policy)}: helpfulness {table.format_value(x)}, '
    f'harmlessness {table.format_value(y)}'
    for policy, x, y in points
  )
  rows: list[run_lib.Row] = [
    {'policy': policy, 'helpfulness': x, 'harmlessness': y}
    for policy, x, y in points
  ]
  return Picture(
    'tension',
    'Helpful and harmless',
    f'Scores by the {unit}. {words}.',
    draw,
    rows,
    f'helpfulness, {unit}',
    f'harmlessness, {unit}',
  )


def pm_gain_rows(run: run_lib.Run) -> list[run_lib.Row]:
  """Scores of the policies by each PM, one row a PM and policy.

  They are kept as `{PM: {policy: {side: score}}}`, or `{side: {policy:
  score}}` where there is one PM.
  """
  scores = run.mapping('pm_gain')
  if set(scores) <= {'helpful', 'harmless'}:
    policies = dict.fromkeys(
      p for values in scores.values() for p in run_lib.as_mapping(values)
    )
    scores = {
      '': {
        p: {side: run_lib.as_mapping(v).get(p) for side, v in scores.items()}
        for p in policies
      }
    }
  return [
    {'model': model or None, 'policy': policy, **run_lib.as_mapping(values)}
    for model, table_of in scores.items()
    for policy, values in run_lib.as_mapping(table_of).items()
  ]


def _helpful_and_harmless(
  run: run_lib.Run,
) -> tuple[str, list[tuple[str, run_lib.Band, run_lib.Band]]]:
  """Scores of policies known on both sides; the truth's before a model's."""
  gold = run.mapping('gold')
  helpful, harmless = (
    run_lib.bands(run_lib.as_mapping(gold.get(side)))
    for side in ('helpfulness', 'harmlessness')
  )
  points = [(p, helpful[p], harmless[p]) for p in helpful if p in harmless]
  if points:
    return 'gold judge', points
  rows = pm_gain_rows(run)
  judges = [row['model'] for row in rows]
  # A PM that the policy was not trained against is the better judge.
  judge = 'held_out' if 'held_out' in judges else (judges or [None])[0]
  for row in rows:
    x, y = run_lib.band(row.get('helpful')), run_lib.band(row.get('harmless'))
    if row['model'] == judge and x is not None and y is not None:
      points.append((str(row['policy']), x, y))
  unit = 'held-out PM' if judge == 'held_out' else 'preference model'
  unit = f'{unit} (gain over π0)'
  return unit, points


def _frontier(
  name: str, title: str, names: dict[str, str], frontier: Frontier | None
) -> Picture | None:
  """Scores above their own start; a PM's zero means nothing."""
  if frontier is None:
    return None
  gains = {key: frontier.gains[key] for key in names if key in frontier.gains}
  if not gains:
    return None

  def draw(axes: Axes) -> None:
    axes.axhline(0, color=style.FAINT, linewidth=1, linestyle=':')
    for i, (key, values) in enumerate(gains.items()):
      index = i + (2 if names is _GOLD_SERIES else 0)
      style.draw_series(axes, index, names[key], frontier.roots, values)

  rows: list[run_lib.Row] = [
    {'sqrt_kl': root, **{key: values[i] for key, values in gains.items()}}
    for i, root in enumerate(frontier.roots)
  ]
  words = '; '.join(
    f'{names[key]} {table.format_value(values[-1])}'
    for key, values in gains.items()
  )
  end = table.format_number(frontier.roots[-1])
  return Picture(
    name,
    title,
    f'{title} at √KL {end}: {words}.',
    draw,
    rows,
    '√KL(π ‖ π0), √nats',
    'score above π0',
  )
