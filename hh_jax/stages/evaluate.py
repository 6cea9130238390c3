"""Asks the finished models everything the report shows.

1. Preference models on test comparisons: accuracy by side, turn and tranche,
   calibration, and each one-sided model on the other side.
2. π0, best-of-k and the RLHF policy answer the same held-out prompts.
3. Their answers are scored by the preference models and, where the truth is
   known, by the gold judge; they play games judged by the crowd (or by a
   preference model), from which Elo scores follow.

Reference: Bai et al. 2022, sections 2.4, 3.2-3.3, 4.6, 5 and B.5.
"""

from __future__ import annotations

import pathlib
from collections.abc import Mapping
from typing import Any

from hh_jax.config import EvaluateConfig
from hh_jax.data import mixtures
from hh_jax.evals import data_checks, preference_accuracy
from hh_jax.stages import (
  inputs,
  loading,
  policy_comparison,
  preference,
  session,
  worlds,
)
from hh_jax.training import workdir as workdir_lib

RUN_FIELDS = {
  'mixture': 'pm_from',
  'held_out': 'held_out_pm_from',
  'helpful_pm': 'helpful_pm_from',
  'harmless_pm': 'harmless_pm_from',
}


def run(config: EvaluateConfig, workdir: str | pathlib.Path) -> str:
  """Evaluates finished runs into `workdir/evaluation.json`."""
  inputs.require(config)
  pms = open_pms(config)
  reference = loading.load_run(config.reference_from)
  rlhf = loading.load_run(config.rlhf_from)
  claimed = session.begin(
    'evaluate', config, workdir, {'reference': reference, 'rlhf': rlhf, **pms}
  )
  if claimed.result:
    return claimed.result['line']
  found = judge_preferences(config, pms)
  found |= policy_comparison.compare(config, reference, rlhf, pms)
  workdir_lib.write_json(claimed.workdir / 'evaluation.json', found)
  accuracy = found['pm_accuracy']['all'][1]
  rating = found['elo']['overall']['rlhf'][1]
  return claimed.close(
    f'evaluate: PM accuracy {accuracy:.3f}, Elo of RLHF over π0 {rating:+.0f}',
    {'pm_accuracy': found['pm_accuracy'], 'elo': found['elo']},
  )


def open_pms(config: EvaluateConfig) -> dict[str, loading.Run]:
  """Opens the preference models that the config names."""
  named = {name: getattr(config, field) for name, field in RUN_FIELDS.items()}
  return {name: loading.load_run(path) for name, path in named.items() if path}


def judge_preferences(
  config: EvaluateConfig, pms: Mapping[str, loading.Run]
) -> dict[str, Any]:
  """Returns accuracy, calibration and baselines on the test comparisons."""
  everything = worlds.comparisons(config.data, config.seed)
  train, test = worlds.split(everything.comparisons, config.data)
  test = mixtures.subset(test, config.num_comparisons, config.seed)
  if not test:
    raise ValueError(
      f'no test comparison: test_fraction={config.data.test_fraction} of '
      f'{len(everything.comparisons)} comparisons'
    )
  scores = {
    name: preference.pair_scores(
      pm.model, pm.params, test, pm.tokenizer, config.data
    )
    for name, pm in pms.items()
  }
  correct = {
    name: preference_accuracy.is_correct(table)
    for name, table in scores.items()
  }
  found: dict[str, Any] = {
    'data_card': everything.counts(),
    'num_test': len(test),
    'pm_accuracy': preference_accuracy.by_side(test, correct['mixture']),
    'pm_accuracy_by_turn': preference_accuracy.by_turn(
      test, correct['mixture']
    ),
    'pm_accuracy_by_tranche': preference_accuracy.by_tranche(
      test, correct['mixture']
    ),
    'cross_accuracy': {
      name: preference_accuracy.by_side(test, values)
      for name, values in correct.items()
    },
    'calibration': {
      name: preference_accuracy.calibrate(test, table)
      for name, table in scores.items()
    },
    'baselines': {'longer_reply': preference_accuracy.longer_reply(test)},
    'data_checks': data_checks.check(
      train,
      test,
      scores['mixture'],
      preference.is_cut(test, pms['mixture'].tokenizer, config.data),
    ),
  }
  if worlds.has_gold(config.data):
    found['bayes_accuracy'] = preference_accuracy.by_side(
      test, preference_accuracy.is_correct(worlds.gold_of_pairs(test))
    )
  return found
