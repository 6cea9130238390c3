"""Preference models by cross-validation, beside a linear baseline.

1. Fold k tests the first human turns whose hash falls in the k-th part.
2. For each fold a model of the mixture, of the helpful side and of the
   harmless side is trained on the other parts (one epoch each).
3. The test parts together hold every comparison once; accuracies have
   intervals over first human turns, and every model is also asked about the
   other side.

Reference: Bai et al. 2022, sections 3.2 and 5.1.
"""

from __future__ import annotations

import dataclasses
import logging
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from hh_jax.config import FoldsConfig, PMConfig
from hh_jax.data.comparisons import Comparison
from hh_jax.evals import linear_baseline, preference_accuracy
from hh_jax.stages import inputs, loading, pm, preference, session, worlds
from hh_jax.training import workdir as workdir_lib

MIXTURES = {'mixture': -1.0, 'helpful_pm': 0.0, 'harmless_pm': 1.0}

log = logging.getLogger(__name__)


def run(config: FoldsConfig, workdir: str | pathlib.Path) -> dict[str, Any]:
  """Trains and tests every fold; returns and writes `results.json`."""
  inputs.require(config)
  workdir = pathlib.Path(workdir)
  start = loading.load_run(config.init_from)
  claimed = session.begin('folds', config, workdir, {'init_from': start})
  if claimed.result:
    return claimed.result
  everything = worlds.comparisons(config.data, config.seed).comparisons
  worlds.require_both_sides(config.data, everything)
  tested: list[Comparison] = []
  scores: dict[str, list[np.ndarray]] = {}
  for fold in range(config.num_folds):
    found = score_fold(config, workdir, everything, fold)
    tested.extend(found.test)
    for name, table in found.scores.items():
      scores.setdefault(name, []).append(table)
    log.info('folds: %d of %d done', fold + 1, config.num_folds)
  results = summarise(
    tested, {name: np.concatenate(parts) for name, parts in scores.items()}
  )
  workdir_lib.write_json(workdir / 'results.json', results)
  mid = {side: row[1] for side, row in results['accuracy']['mixture'].items()}
  claimed.close(
    f'folds: {len(tested)} comparisons tested, mixture helpful '
    f'{mid.get("helpful", float("nan")):.3f}, harmless '
    f'{mid.get("harmless", float("nan")):.3f}',
    results,
  )
  return workdir_lib.read_result(workdir)


@dataclasses.dataclass(frozen=True)
class Fold:
  """The test part of a fold and its scores of (chosen, rejected)."""

  test: list[Comparison]
  scores: dict[str, np.ndarray]  # [N, 2] each


def fold_config(config: FoldsConfig, fold: int, fraction: float) -> PMConfig:
  """Returns the preference-model config of one fold and mixture."""
  share = 1 / config.num_folds
  data = dataclasses.replace(
    config.data, test_fraction=share, split_offset=fold * share
  )
  return dataclasses.replace(
    config.pm,
    seed=config.seed,
    init_from=config.init_from,
    data=data,
    loop=config.loop,
    harmless_fraction=fraction,
  )


def score_fold(
  config: FoldsConfig,
  workdir: pathlib.Path,
  everything: Sequence[Comparison],
  fold: int,
) -> Fold:
  """Trains the models of a fold and scores its test part with each."""
  train, test = worlds.split(everything, fold_config(config, fold, -1.0).data)
  if not test:
    raise ValueError(
      f'fold {fold} of num_folds={config.num_folds} tests nothing: '
      f'{len(everything)} comparisons are too few'
    )
  scores = {}
  for name, fraction in MIXTURES.items():
    own = fold_config(config, fold, fraction)
    folder = workdir / f'fold{fold}' / name
    pm.run(own, folder)
    trained = loading.load_run(folder)
    scores[name] = preference.pair_scores(
      trained.model, trained.params, test, trained.tokenizer, own.data
    )
  sides = {
    'mixture': train,
    'helpful_pm': [item for item in train if item.side == 'helpful'],
    'harmless_pm': [item for item in train if item.side == 'harmless'],
  }
  for name, part in sides.items():
    scores[f'linear/{name}'] = linear_baseline.fit_and_score(part, test)
  return Fold(test, scores)


def summarise(
  tested: Sequence[Comparison], scores: dict[str, np.ndarray]
) -> dict[str, Any]:
  """Returns accuracy by side of each model, [low, mid, high], and baselines."""
  return {
    'num_tested': len(tested),
    'accuracy': {
      **{
        name: preference_accuracy.by_side(
          tested, preference_accuracy.is_correct(table)
        )
        for name, table in scores.items()
      },
      'longer_reply': preference_accuracy.longer_reply(tested),
    },
    'calibration': {
      name: preference_accuracy.calibrate(tested, table)['ece']
      for name, table in scores.items()
      if name == 'mixture'
    },
  }


def kept_values(results: dict[str, Any]) -> dict[str, Any]:
  """Returns what a committed result file holds."""
  return {
    name: results[name] for name in ('num_tested', 'accuracy', 'calibration')
  }
