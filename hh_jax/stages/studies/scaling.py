"""Preference models by size and by number of comparisons.

Figure 7: learning curves of the mixture within the epoch, accuracy by size.
Figure 31: the mixture's learning curves on either side.
Figure 32: either side alone and the mixture, by size and number, and the law
of both; learning curves of comparisons of summaries, where there are any.

Reference: Bai et al. 2022, sections 3.1-3.2, appendices A.3 and B.8.
"""

from __future__ import annotations

import dataclasses
import logging
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from hh_jax.config import DataConfig, FigureConfig, ScalingConfig
from hh_jax.data import mixtures
from hh_jax.evals import data_checks
from hh_jax.stages import (
  curves,
  held_out,
  inputs,
  lineage,
  loading,
  preference,
  worlds,
)
from hh_jax.stages.held_out import Scored
from hh_jax.stages.lineage import Lineage
from hh_jax.stages.studies import pm_targets
from hh_jax.stats import scaling_law
from hh_jax.stats.seeds import Estimate

Rows = list[dict[str, Any]]

MIXTURE, HELPFUL, HARMLESS = -1.0, 0.0, 1.0  # harmless_fraction
KINDS = {'helpful': HELPFUL, 'harmless': HARMLESS, 'mixture': MIXTURE}

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Model:
  """One kind of preference model: a size, its data, and all seeds of it."""

  size: str
  num_params: int  # of the block matrices
  num_comparisons: int
  lines: tuple[Lineage, ...]
  folders: tuple[pathlib.Path, ...]

  def scored(self) -> list[Scored]:
    """The held-out comparisons, by every seed."""
    return [
      held_out.score(line, folder)
      for line, folder in zip(self.lines, self.folders, strict=True)
    ]

  def row(self) -> dict[str, Any]:
    return {
      'size': self.size,
      'params': self.num_params,
      'comparisons': self.num_comparisons,
    }


Start = Callable[[Lineage], pathlib.Path]  # what a preference model begins as


def models(
  config: FigureConfig,
  workdir: pathlib.Path,
  num_comparisons: int = 0,
  start: Start = Lineage.pmp,
  **changes: Any,
) -> list[Model]:
  """Trains, or finds, preference models of every size and seed.

  Args:
    config: Of the figure.
    workdir: Of the figures.
    num_comparisons: To train on; 0 takes all that the mixture allows.
    start: Where the weights come from.
    **changes: Other fields of their configs.

  Raises:
    ValueError: A side has too few comparisons; nothing is trained then.
  """
  changes = {**changes, 'num_comparisons': num_comparisons}
  lines = lineage.of(config, workdir)
  sizes = {
    line.seed: require_comparisons(line, changes)
    for line in lines[: len(config.seeds)]
  }
  folders = {line: line.pm(start(line), **changes) for line in lines}
  found = []
  for size in config.sizes:
    own = tuple(line for line in lines if line.size == size)
    found.append(
      Model(
        size,
        own[0].model.num_block_params,
        sizes[own[0].seed],
        own,
        tuple(folders[line] for line in own),
      )
    )
  return found


def require_comparisons(line: Lineage, changes: dict[str, Any]) -> int:
  """Returns how many comparisons a model gets.

  Raises:
    ValueError: A side has fewer than the mixture asks for.
  """
  pm = dataclasses.replace(line.config.pm, **changes)
  train, _ = held_out.parts_of(line, pm.data)
  mixed = mixtures.mix(
    train, pm.harmless_fraction, pm.num_comparisons, line.seed
  )
  return len(mixed)


def fig07(config: ScalingConfig, workdir: pathlib.Path) -> dict[str, Any]:
  """Learning curves of the mixture, and its accuracy by size."""
  found = models(config, workdir)
  truth = truth_of(found[-1])
  values = {
    'curves': learning_curves(found),
    'by_size': by_size(found),
    'bayes': held_out.accuracies(truth) if truth else {},
    'checks_of_the_comparisons': checks(found[-1]),
    'checked': {'size': found[-1].size, 'seed': config.seeds[0]},
  }
  if not truth:
    return values
  accuracy = {model.size: held_out.accuracy(model.scored()) for model in found}
  held = pm_targets.of_sizes(accuracy, held_out.accuracy(truth))
  return values | {'targets': held}


def fig31(config: ScalingConfig, workdir: pathlib.Path) -> dict[str, Any]:
  """Learning curves of the mixture on either side's test part."""
  found = models(config, workdir)
  rows = [row for row in learning_curves(found) if row['side'] != held_out.ALL]
  return {'curves': rows}


def fig32(config: ScalingConfig, workdir: pathlib.Path) -> dict[str, Any]:
  """Accuracy by size and number of comparisons, and the law (eq. A.1).

  Of either side alone, tested on it, and of both as they come. The curves are
  of the largest number of helpful comparisons; those of summaries are there
  where comparisons of them are.
  """
  for line in lineage.of(config, workdir)[: len(config.seeds)]:
    for fraction in KINDS.values():
      for count in config.counts:
        changes = {'harmless_fraction': fraction, 'num_comparisons': count}
        require_comparisons(line, changes)
  rows, laws, held = [], [], []
  most: list[Model] = []
  for kind, fraction in KINDS.items():
    found = []
    for count in config.counts:
      is_drawn = kind == 'helpful' and count == config.counts[-1]
      own = models(
        config,
        workdir,
        count,
        harmless_fraction=fraction,
        curve_points=config.pm.curve_points if is_drawn else 0,
      )
      most = own if is_drawn else most
      found += own
    side = held_out.ALL if kind == 'mixture' else kind
    estimates = [held_out.accuracy(model.scored(), side) for model in found]
    rows += [
      {**model.row(), 'model': kind, 'accuracy': estimate.interval()}
      for model, estimate in zip(found, estimates, strict=True)
    ]
    laws += law(kind, found, estimates)
    by_count = {
      model.num_comparisons: estimate
      for model, estimate in zip(found, estimates, strict=True)
      if model.size == config.sizes[-1]
    }
    held += pm_targets.steps(f'{kind} accuracy', by_count, ' comparisons')
  helpful = [row for row in learning_curves(most) if row['side'] == 'helpful']
  values = {
    'by_count': rows,
    'law': laws,
    'curves': helpful,
    'summaries': curves_of_summaries(config, workdir),
  }
  return values | ({'targets': held} if pm_targets.has_truth(config) else {})


def law(
  kind: str, found: Sequence[Model], estimates: Sequence[Estimate]
) -> Rows:
  """The law of one kind of data, beside the paper's; none of one size."""
  params = [float(model.num_params) for model in found]
  counts = [float(model.num_comparisons) for model in found]
  if len(set(params)) < 2 or len(set(counts)) < 2:
    return []
  reference = max(params), max(counts)
  fitted = scaling_law.fit(params, counts, estimates, reference)
  ours = {'params': reference[0], 'comparisons': reference[1], **fitted}
  rows = [{'model': kind, 'of': 'ours', **ours}]
  if kind == 'helpful':
    known = {
      'params': scaling_law.PARAMS,
      'comparisons': scaling_law.COMPARISONS,
      **scaling_law.PAPER,
    }
    rows.append({'model': kind, 'of': 'the paper', **known})
  return rows


def curves_of_summaries(config: FigureConfig, workdir: pathlib.Path) -> Rows:
  """Learning curves of models of summaries alone; none without such data."""
  data = dataclasses.replace(config.pm.data, summaries='alone')
  if not worlds.has_summaries(inputs.place_data(config, data)):
    log.info('no comparisons of summaries: their panel is left out')
    return []
  found = models(
    config, workdir, data=data, curve_points=config.pm.curve_points
  )
  rows = learning_curves(found, data)
  return [row for row in rows if row['side'] == held_out.ALL]


def by_size(found: Sequence[Model]) -> Rows:
  """Accuracy of each size on each side and on all."""
  rows = []
  for model in found:
    for side, accuracy in held_out.accuracies(model.scored()).items():
      rows.append({**model.row(), 'side': side, 'accuracy': accuracy})
  return rows


def truth_of(model: Model) -> list[Scored]:
  """The model's test parts scored by gold; none where there is no truth."""
  truth = [
    held_out.by_truth(line, item)
    for line, item in zip(model.lines, model.scored(), strict=True)
  ]
  return [item for item in truth if item is not None]


def checks(model: Model) -> dict[str, Any]:
  """What may be wrong with the first seed's comparisons, by check."""
  line, data = model.lines[0], model.lines[0].config.pm.data
  scored = held_out.score(line, model.folders[0])
  tokenizer = loading.load_run(model.folders[0]).tokenizer
  return data_checks.check(
    held_out.parts_of(line)[0],
    scored.comparisons,
    scored.scores,
    preference.is_cut(scored.comparisons, tokenizer, data),
  )


def learning_curves(
  found: Sequence[Model], data: DataConfig | None = None
) -> Rows:
  """Test accuracy after so many comparisons, by size and side.

  Args:
    found: Models.
    data: What they were trained on, where the figure's own is not it.

  Points of seeds are joined by their order: their numbers of comparisons
  differ by a few, because each seed's split does.
  """
  rows = []
  for model in found:
    tests = [model_test(line, data) for line in model.lines]
    points = [list(curves.read_points(f).items()) for f in model.folders]
    if len({*map(len, points)}) > 1:
      raise ValueError(
        f'learning curves of {model.size} have {[*map(len, points)]} points '
        'with its seeds and cannot be joined; set --config.pm.curve_points to '
        'fewer'
      )
    for joined in zip(*points, strict=True):
      scored = [
        Scored(test, scores)
        for test, (_, scores) in zip(tests, joined, strict=True)
      ]
      seen = float(np.mean([num_seen for num_seen, _ in joined]))
      for side, accuracy in held_out.accuracies(scored).items():
        row = {'samples': seen, 'side': side, 'accuracy': accuracy}
        rows.append({**model.row(), **row})
  return rows


def model_test(
  line: Lineage, data: DataConfig | None = None
) -> tuple[held_out.Comparison, ...]:
  """The comparisons that a model's own learning curve is measured on."""
  pm = line.config.pm
  test = held_out.parts_of(line, data)[1]
  return tuple(mixtures.subset(test, pm.eval_comparisons, line.seed))
