"""Pictures of the paper's figures, in the paper's axes, from a study's numbers.

Each function takes what the study of its figure returned. Where the paper's
own values could be read off they stand beside ours, in grey.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
from matplotlib.axes import Axes

from hh_jax.report import paper_values, style
from hh_jax.report import run as run_lib
from hh_jax.report.lines import (
  ACCURACY,
  PARAMS,
  Lines,
  Values,
  by,
  middle,
  of,
)
from hh_jax.report.style import Picture

_SIDES = ('helpful', 'harmless', 'all', 'mean')


def _sides(rows: Sequence[run_lib.Row]) -> list[str]:
  held = {str(row.get('side')) for row in rows}
  return [side for side in _SIDES if side in held]


def fig07(values: Values) -> list[Picture]:
  """Learning curves by size, and accuracy by size and side."""
  curves = run_lib.as_rows(values.get('curves'))
  sizes = run_lib.as_rows(values.get('by_size'))
  bayes = run_lib.as_mapping(values.get('bayes'))
  return [
    _curve(
      'fig07_curves', 'PM accuracy within the epoch', of(curves, side='all')
    ),
    Lines(
      'fig07_sizes',
      'PM accuracy by size',
      sizes,
      'params',
      by('side'),
      PARAMS,
      is_log=True,
      paper=paper_values.BY_SIZE,
      bayes={
        run_lib.label(side): known
        for side, value in bayes.items()
        if (known := middle(value)) is not None
      },
    ).picture(),
  ]


def _curve(name: str, title: str, rows: Sequence[run_lib.Row]) -> Picture:
  label = 'comparisons seen'
  return Lines(
    name, title, rows, 'samples', by('size'), label, is_log=True
  ).picture()


def fig08(values: Values) -> list[Picture]:
  """How many comparisons there are of each turn, and accuracy by turn."""
  rows = run_lib.as_rows(values.get('by_turn'))
  counts = run_lib.as_rows(values.get('turns'))

  def draw(axes: Axes) -> None:
    turns = [run_lib.number(row.get('turn')) or 0.0 for row in counts]
    heights = [run_lib.number(row.get('count')) or 0.0 for row in counts]
    axes.bar(turns, heights, color=style.SERIES[0], alpha=0.7)

  return [
    Picture(
      'fig08_turns',
      'Held-out comparisons by turn',
      'A bar for each turn.',
      draw,
      [{k: row.get(k) for k in ('turn', 'count')} for row in counts],
      'turn of the dialogue',
      'comparisons',
    ),
    Lines(
      'fig08_accuracy',
      'PM accuracy by turn',
      rows,
      'turn',
      by('size'),
      'turn of the dialogue',
      paper=paper_values.BY_TURN,
    ).picture(),
  ]


def fig09(values: Values) -> list[Picture]:
  """Accuracy against score gap of every model, beside the ideal."""
  rows = run_lib.as_rows(values.get('curves'))
  kinds = list(dict.fromkeys(str(row.get('model')) for row in rows))
  pictures = []
  for kind in kinds:
    panel = Lines(
      f'fig09_{kind}',
      f'Calibration: {run_lib.label(kind)}',
      of(rows, model=kind),
      'gap',
      by('size'),
      'score gap |Δ|, nats',
      y_label='accuracy',
      level=None,
    )
    picture = panel.picture()
    draw = _with_ideal(panel)
    pictures.append(dataclasses.replace(picture, draw=draw))
  return pictures


def _with_ideal(panel: Lines) -> Callable[[Axes], None]:
  def draw(axes: Axes) -> None:
    gaps = [run_lib.number(row.get('gap')) or 0.0 for row in panel.rows]
    grid = np.linspace(0, 1.05 * max(gaps, default=1.0), 100)
    ideal = 1 / (1 + np.exp(-grid))
    axes.plot(grid, ideal, ':', color=style.INK, label='1 / (1 + exp(−Δ))')
    panel.draw(axes)

  return draw


def fig19(values: Values) -> list[Picture]:
  """Accuracy on either side against the share of harmless comparisons."""
  rows = run_lib.as_rows(values.get('by_fraction'))
  return [
    *_by_side('fig19', rows, 'accuracy', ACCURACY, 0.5),
    *_by_side('fig19', rows, 'normalised', 'accuracy / best of its size', 1.0),
  ]


def _by_side(
  name: str, rows: Sequence[run_lib.Row], y: str, label: str, level: float
) -> list[Picture]:
  return [
    Lines(
      f'{name}_{side}_{y}',
      f'{side.capitalize()} test part, {y}',
      of(rows, side=side),
      'fraction',
      by('size'),
      'share of harmless comparisons',
      y,
      label,
      level=level,
      paper=_paper_ends(side) if y == 'accuracy' else {},
    ).picture()
    for side in _sides(rows)
    if side != 'mean'
  ]


def _paper_ends(side: str) -> dict[str, paper_values.Points]:
  return {'10B': paper_values.OTHER_SIDE[side]}


def fig20(values: Values) -> list[Picture]:
  """Accuracy on dialogues and on summaries by size and kind of model."""
  rows = run_lib.as_rows(values.get('by_size'))
  return [
    Lines(
      f'fig20_{tested}',
      f'Tested on {tested}',
      of(rows, tested=tested),
      'params',
      by('model'),
      PARAMS,
      is_log=True,
      paper=paper_values.SUMMARIES[tested],
    ).picture()
    for tested in ('dialogues', 'summaries')
  ]


def fig25(values: Values) -> list[Picture]:
  """Accuracy where both replies score above a threshold."""
  rows = run_lib.as_rows(values.get('by_threshold'))
  return [
    Lines(
      f'fig25_{side}',
      f'Both replies score high: {side}',
      of(rows, side=side),
      'threshold',
      by('size'),
      'least score of both, less the mean, nats',
    ).picture()
    for side in _sides(rows)
  ]


def fig26(values: Values) -> list[Picture]:
  """The mean of both accuracies against the mixture."""
  rows = run_lib.as_rows(values.get('by_fraction'))
  return [
    Lines(
      f'fig26_{y}',
      title,
      rows,
      'fraction',
      by('size'),
      'share of harmless comparisons',
      y,
      label,
      level=level,
      paper=paper_values.BEST_MEAN if y == 'accuracy' else {},
    ).picture()
    for y, title, label, level in (
      ('accuracy', 'Mean accuracy', 'mean of both accuracies', 0.5),
      ('normalised', 'Mean accuracy, normalised', 'mean / best of its size', 1),
    )
  ]


def fig27(values: Values) -> list[Picture]:
  """Accuracies against the weight of harmless comparisons."""
  rows = run_lib.as_rows(values.get('by_weight'))
  return [
    Lines(
      f'fig27_{side}',
      f'Accuracy, {side}',
      of(rows, side=side),
      'weight',
      by('size'),
      'λ, weight of harmless comparisons',
      is_log=True,
      level=None,
    ).picture()
    for side in _sides(rows)
  ]


def fig30(values: Values) -> list[Picture]:
  """KL to the prompted teacher by student size."""
  return [
    Lines(
      'fig30',
      'Context distillation',
      run_lib.as_rows(values.get('curves')),
      'step',
      by('size'),
      'step',
      'kl',
      'KL to the prompted teacher, nats a token',
      is_log=True,
      level=None,
    ).picture()
  ]


def fig31(values: Values) -> list[Picture]:
  """Learning curves of the mixture on either side."""
  rows = run_lib.as_rows(values.get('curves'))
  return [
    _curve(
      f'fig31_{side}', f'{side.capitalize()} test part', of(rows, side=side)
    )
    for side in _sides(rows)
  ]


def fig32(values: Values) -> list[Picture]:
  """Learning curves of helpful PMs and of summaries; accuracy by number."""
  panels = (
    ('curves', 'Helpful PMs within the epoch'),
    ('summaries', 'PMs of summaries within the epoch'),
  )
  return [
    *(
      _curve(f'fig32_{key}', title, run_lib.as_rows(values[key]))
      for key, title in panels
      if values.get(key)
    ),
    *(
      Lines(
        f'fig32_{kind}',
        f'By size and number of comparisons: {kind}',
        of(run_lib.as_rows(values.get('by_count')), model=kind),
        'comparisons',
        by('size'),
        'comparisons trained on',
        is_log=True,
      ).picture()
      for kind in ('helpful', 'harmless', 'mixture')
    ),
  ]


def pmp_transfer(values: Values) -> list[Picture]:
  """Accuracy by start and number of comparisons, a panel a size."""
  rows = run_lib.as_rows(values.get('by_start'))
  sizes = dict.fromkeys(str(row.get('size')) for row in rows)
  return [
    Lines(
      f'pmp_transfer_{size}'.replace('.', '_'),
      f'Preference-model pretraining, {size}',
      of(rows, size=size),
      'comparisons',
      by('start'),
      'comparisons finetuned on',
      is_log=True,
    ).picture()
    for size in sizes
  ]
