"""Pictures of how RLHF went: what training did, and what replies became.

Measurements of training are one a step, of the policy one a point; the page
shows all of them, whatever they say.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes

from hh_jax.report import run as run_lib
from hh_jax.report import style, table
from hh_jax.report.lines import middle
from hh_jax.report.style import Picture

STAGE = 'rlhf'
STEP = 'step'
_MAX_POINTS = 400  # of a line; more only makes the page heavy


@dataclasses.dataclass(frozen=True)
class Panel:
  """Some measurements that share an axis."""

  name: str
  title: str
  unit: str
  series: Mapping[str, str]  # what a row calls it -> what the legend does


OF_POINTS = (
  Panel('entropy', 'Entropy', 'nats a token', {'entropy': 'entropy'}),
  Panel('length', 'Length of replies', 'tokens', {'response_length': 'tokens'}),
  Panel(
    'replies',
    'What replies are',
    'share of replies',
    {
      'eot_rate': 'end (EOS rate)',
      'repetition': 'repeated 4-grams',
      'refusal_rate_helpful': 'refuse, helpful',
      'refusal_rate_harmless': 'refuse, harmless',
    },
  ),
)
OF_TRAINING = (
  Panel(
    'kl',
    'KL in training',
    'nats a reply',
    {'rollout/kl_k1': 'as trained (k1)', 'rollout/kl_k3': 'k3'},
  ),
  Panel(
    'clip_fraction',
    'Clip fraction',
    'share of ratios clipped',
    {'ppo/clip_fraction': 'clip fraction'},
  ),
  Panel(
    'first_ratio',
    'First-minibatch ratio',
    'mean of π / π_old (1: they agree)',
    {'ppo/first_ratio': 'ratio'},
  ),
  Panel(
    'value_explained',
    'Explained variance of values',
    'share (1: all of it)',
    {'rollout/value_explained': 'explained'},
  ),
)


def course(run: run_lib.Run) -> list[Picture]:
  """All panels that something was measured for."""
  points, steps = run.rows('frontier'), run.curves.get(STAGE, ())
  found = [
    *(picture(panel, points, True) for panel in OF_POINTS),
    *(picture(panel, steps, False) for panel in OF_TRAINING),
  ]
  return [one for one in found if one is not None]


def picture(
  panel: Panel, rows: Sequence[run_lib.Row], has_marks: bool
) -> Picture | None:
  """Lines of the panel's series against the step; None without any."""
  series = {
    name: points
    for name in panel.series
    if len(points := _points(rows, name)) > 1
  }
  if not series:
    return None

  def draw(axes: Axes) -> None:
    for index, (name, points) in enumerate(series.items()):
      xs, values = zip(*points)
      if has_marks:
        style.draw_series(axes, index, panel.series[name], xs, values)
        continue
      stride = -(-len(xs) // _MAX_POINTS)
      axes.plot(
        xs[::stride],
        [mid for _, mid, _ in values[::stride]],
        color=style.SERIES[index],
        linestyle=style.DASHES[index],
        linewidth=1.2,
        label=panel.series[name],
      )

  ends = '; '.join(
    f'{panel.series[name]} from {table.format_number(points[0][1][1])} to '
    f'{table.format_number(points[-1][1][1])}'
    for name, points in series.items()
  )
  drawn = [
    {STEP: row.get(STEP), **{name: row.get(name) for name in series}}
    for row in rows
  ]
  return Picture(
    f'rlhf_{panel.name}',
    panel.title,
    f'{panel.title} against the iteration: {ends}.',
    draw,
    drawn,
    'iteration',
    panel.unit,
    size=style.SMALL,
  )


def _points(
  rows: Sequence[run_lib.Row], name: str
) -> list[tuple[float, run_lib.Band]]:
  return [
    (step, value)
    for row in rows
    if (step := middle(row.get(STEP))) is not None
    and (value := run_lib.band(row.get(name))) is not None
  ]


def shown_scores(run: run_lib.Run) -> Picture | None:
  """PM score of the median reply to each of the same prompts, over time."""
  lines = [
    [
      (step, score)
      for reply in run_lib.as_rows(row.get('replies'))
      if (step := run_lib.number(reply.get(STEP))) is not None
      and (score := run_lib.number(reply.get('score'))) is not None
    ]
    for row in run.rows('shown')
  ]
  lines = [line for line in lines if len(line) > 1]
  if not lines:
    return None
  columns = list(zip(*lines))
  means = [
    (column[0][0], sum(score for _, score in column) / len(column))
    for column in columns
  ]

  def draw(axes: Axes) -> None:
    for line in lines:
      axes.plot(*zip(*line), color=style.FAINT, alpha=0.45, linewidth=0.9)
    axes.plot(
      *zip(*means), color=style.SERIES[0], marker=style.MARKERS[0], label='mean'
    )

  first, last = (
    table.format_number(score) for _, score in means[:: len(means) - 1]
  )
  rows: list[run_lib.Row] = [
    {STEP: step, 'prompt': number, 'score': score}
    for number, line in enumerate(lines, start=1)
    for step, score in line
  ]
  return Picture(
    'rlhf_shown',
    'PM score of the same prompts',
    f'Median of 17 replies to each of {len(lines)} prompts; the mean goes from '
    f'{first} to {last}.',
    draw,
    rows,
    'iteration',
    'PM score, nats',
  )
