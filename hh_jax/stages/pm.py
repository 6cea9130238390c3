"""Preference model: finetuning on human comparisons, one epoch.

1. Read the comparisons, split them by first human turn, draw the mixture.
2. Start from preference-model pretraining (or from a language model, with a
   new score head).
3. One pass of softplus(r_rejected - r_chosen) at the end-of-context token.
4. Score the test part and report the accuracy of each side.

Reference: Bai et al. 2022, sections 3.1, 5.1 and A.2.
"""

from __future__ import annotations

import pathlib

from hh_jax.config import PMConfig
from hh_jax.data import mixtures
from hh_jax.stages import (
  curves,
  inputs,
  loading,
  preference,
  session,
  worlds,
)
from hh_jax.training import distributed
from hh_jax.types import Params


def run(config: PMConfig, workdir: str | pathlib.Path) -> str:
  """Trains a preference model in `workdir`; returns its one-line result."""
  inputs.require(config)
  start = loading.load_run(config.init_from)
  claimed = session.begin('pm', config, workdir, {'init_from': start})
  if claimed.result:
    return claimed.result['line']
  found = worlds.comparisons(config.data, config.seed)
  train, test = worlds.split(found.comparisons, config.data)
  mixtures.require_parts(train, test, config.data.test_fraction)
  train = mixtures.mix(
    train, config.harmless_fraction, config.num_comparisons, config.seed
  )
  train = mixtures.set_weights(train, config.harmless_weight)
  test = mixtures.subset(test, config.eval_comparisons, config.seed)

  def measure(params: Params, seen: int) -> None:
    scores = preference.pair_scores(
      start.model, params, test, start.tokenizer, config.data
    )
    if distributed.is_first():
      curves.write_point(claimed.workdir, seen, scores)

  state, batches = preference.train(
    config, start, claimed, train, measure, config.curve_points
  )
  accuracy = preference.test_accuracy(start, state.params, test, config.data)
  shown = [f'{side} {value:.3f}' for side, value in accuracy.items()]
  line = ', '.join(shown) or 'not measured'
  return claimed.finish(
    f'pm: {batches.num_comparisons} comparisons, test accuracy {line}',
    {
      'accuracy': accuracy,
      'num_comparisons': batches.num_comparisons,
      'data_card': found.counts(),
      'left_out': batches.counts,
    },
    state,
    start.model,
    start.tokenizer,
  )
