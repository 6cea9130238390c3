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
from collections.abc import Sequence

import jax
import numpy as np

from hh_jax.config import DataConfig, PMConfig
from hh_jax.data.comparisons import Comparison
from hh_jax.evals import preference_accuracy
from hh_jax.models import heads
from hh_jax.stages import loading, preference, session, worlds
from hh_jax.training import keys, optimizer
from hh_jax.training import state as state_lib
from hh_jax.types import Params


def run(config: PMConfig, workdir: str | pathlib.Path) -> str:
  """Trains a preference model in `workdir`; returns its one-line result."""
  worlds.require_data(config.data)
  start = loading.load_as(config.init_from, 'init_from', ('pmp', 'pretrain'))
  claimed = session.begin('pm', config, workdir, {'init_from': start})
  if claimed.result:
    return claimed.result['line']
  found = worlds.comparisons(config.data, config.seed)
  train, test = worlds.split(found.comparisons, config.data)
  preference.require_parts(train, test, config.data.test_fraction)
  train = preference.mix(
    train, config.harmless_fraction, config.num_comparisons, config.seed
  )
  batches = preference.pair_batches(
    preference.set_weights(train, config.harmless_weight),
    start.tokenizer,
    config.data,
    config.seed,
    'pm',
  )
  tx = optimizer.make_optimizer(
    config.optimizer, start.model.config, batches.num_batches
  )
  step = jax.jit(
    preference.make_pm_step(start.model, tx, config.lm_coef),
    donate_argnums=0,
  )
  state = claimed.train(
    init=lambda: state_lib.init_state(with_score_head(start, config.seed), tx),
    advance=lambda state, t: step(state, batches(t)),
    total_steps=batches.num_batches,
  )
  test = preference.subset(test, config.eval_comparisons, config.seed)
  accuracy = test_accuracy(start, state.params, test, config.data)
  shown = [f'{side} {value:.3f}' for side, value in accuracy.items()]
  line = ', '.join(shown) or 'not measured'
  return claimed.finish(
    f'pm: {batches.num_comparisons} comparisons, test accuracy {line}',
    {
      'accuracy': accuracy,
      'num_comparisons': batches.num_comparisons,
      'data_card': worlds.describe(found),
      'left_out': batches.counts,
    },
    state,
    start.model,
    start.tokenizer,
  )


def with_score_head(start: loading.Run, seed: int) -> Params:
  """Returns the run's parameters, with a new score head where it has none."""
  if start.has_scores:
    return start.params
  head = heads.init_score_head(
    keys.fold(seed, 'pm', 'score_head'), start.model.config
  )
  return {**start.params, 'score_head': head}


def test_accuracy(
  start: loading.Run,
  params: Params,
  test: Sequence[Comparison],
  data: DataConfig,
) -> dict[str, float]:
  """Returns the accuracy of each side that the test part holds."""
  scores = preference.pair_scores(
    start.model, params, test, start.tokenizer, data
  )
  correct = preference_accuracy.is_correct(scores)
  sides = np.array([item.side for item in test])
  return {
    side: float(correct[sides == side].mean())
    for side in worlds.SIDES
    if (sides == side).any()
  }
