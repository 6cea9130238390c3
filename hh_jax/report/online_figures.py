"""Pictures of online training (figures 15, 16, 34 and 35)."""

from __future__ import annotations

import dataclasses

from matplotlib.axes import Axes

from hh_jax.report import bias_figures, paper_values, style, table
from hh_jax.report import run as run_lib
from hh_jax.report.lines import Lines, Values, by, of
from hh_jax.report.style import Picture

SAMPLES = 'samples trained on'
SHARE = 'share of the samples trained on'
ELO = 'helpfulness Elo above π0'


def fig15(values: Values) -> list[Picture]:
  """Scores of held-out data by tranche; Elo and its prediction by kind."""
  return [
    bias_figures.histogram(
      'fig15_scores',
      'PM scores of held-out helpful data',
      run_lib.as_rows(values.get('scores')),
      'score',
      'PM score less the mean, nats',
    ),
    *_courses('fig15', values),
  ]


def fig35(values: Values) -> list[Picture]:
  """Four estimates of Elo along training, a panel a kind of policy."""
  return _courses('fig35', values)


def _courses(name: str, values: Values) -> list[Picture]:
  rows = run_lib.as_rows(values.get('course'))
  kinds = dict.fromkeys(str(row.get('policy')) for row in rows)
  return [
    Lines(
      f'{name}_{kind.replace(" ", "_")}',
      f'Elo along RL: {kind}',
      of(rows, policy=kind),
      'samples',
      by('estimate'),
      SAMPLES,
      'elo',
      ELO,
      level=0.0,
    ).picture()
    for kind in kinds
  ]


def fig16(values: Values) -> list[Picture]:
  """Elo of both arms along training, and their difference."""
  return [
    Lines(
      'fig16',
      'Base data against an even mix',
      run_lib.as_rows(values.get('course')),
      'share',
      by('arm'),
      SHARE,
      'elo',
      ELO,
      level=0.0,
      paper=paper_values.ONLINE_MIX,
    ).picture(),
    Lines(
      'fig16_difference',
      'What the mix has over base alone',
      run_lib.as_rows(values.get('difference')),
      'samples',
      lambda row: 'even mix less base only',
      SAMPLES,
      'elo',
      'Elo',
      level=0.0,
    ).picture(),
  ]


def say_fig16(values: Values) -> str:
  """What the mix has over base alone at the end."""
  rows = run_lib.as_rows(values.get('difference'))
  if not rows:
    return ''
  gap = table.format_value(rows[-1].get('elo'))
  return f'At the end the mix is {gap} Elo above base alone.'


def fig34(values: Values) -> list[Picture]:
  """Accuracy by log-probability along training, below the PM's."""
  panel = Lines(
    'fig34',
    'Mean log-p accuracy',
    run_lib.as_rows(values.get('course')),
    'share',
    by('pairs'),
    SHARE,
    paper=paper_values.LOG_PROBS,
  )
  ceilings = [
    (str(row.get('pairs')), value[1])
    for row in run_lib.as_rows(values.get('ceilings'))
    if (value := run_lib.band(row.get('accuracy'))) is not None
  ]

  def draw(axes: Axes) -> None:
    for index, (_, height) in enumerate(ceilings):
      axes.axhline(
        height, color=style.SERIES[index % len(style.SERIES)], linestyle='--'
      )
    panel.draw(axes)

  picture = panel.picture()
  words = ', '.join(
    f'{name} {table.format_number(height)}' for name, height in ceilings
  )
  alt = f'{picture.alt} Dashed, of the PM: {words}.'
  return [dataclasses.replace(picture, draw=draw, alt=alt)]
