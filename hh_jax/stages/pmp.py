"""Preference-model pretraining on ranked answers from the web.

1. Pairs of answers to one question, ordered by votes.
2. Binarised: a ranked pair A > B becomes `GOOD: A` > `BAD: A` and
   `BAD: B` > `GOOD: B`, so that nothing need be unlearnt later.
3. One pass of the preference loss from the language model, with a new head.

Reference: Bai et al. 2022, section A.2; Askell et al. 2021, section 4.
"""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Sequence

import jax

from hh_jax.config import PMPConfig
from hh_jax.data.comparisons import Comparison
from hh_jax.stages import loading, pm, preference, session, worlds
from hh_jax.training import optimizer
from hh_jax.training import state as state_lib


def run(config: PMPConfig, workdir: str | pathlib.Path) -> str:
  """Pretrains a preference model; returns its one-line result."""
  worlds.require_data(config.data)
  start = loading.load_as(config.init_from, 'init_from', ('pretrain',))
  claimed = session.begin('pmp', config, workdir, {'init_from': start})
  if claimed.result:
    return claimed.result['line']
  ranked = worlds.ranked_pairs(
    config.data, config.seed, config.num_posts, config.pairs_per_post
  )
  train, test = worlds.split(ranked.pairs, config.data)
  preference.require_parts(train, test, config.data.test_fraction)
  if config.binary:
    train, test = binarise(train), binarise(test)
  batches = preference.pair_batches(
    train, start.tokenizer, config.data, config.seed, 'pmp'
  )
  tx = optimizer.make_optimizer(
    config.optimizer, start.model.config, batches.num_batches
  )
  step = jax.jit(
    preference.make_pm_step(start.model, tx, config.lm_coef),
    donate_argnums=0,
  )
  state = claimed.train(
    init=lambda: state_lib.init_state(
      pm.with_score_head(start, config.seed), tx
    ),
    advance=lambda state, t: step(state, batches(t)),
    total_steps=batches.num_batches,
  )
  accuracy = pm.test_accuracy(start, state.params, test, config.data)
  return claimed.finish(
    f'pmp: {batches.num_comparisons} pairs, test accuracy '
    f'{accuracy.get("helpful", float("nan")):.3f}',
    {
      'accuracy': accuracy,
      'num_comparisons': batches.num_comparisons,
      'left_out': batches.counts,
    },
    state,
    start.model,
    start.tokenizer,
  )


def binarise(ranked: Sequence[Comparison]) -> list[Comparison]:
  """Returns two independent pairs that judge labels, for each ranked pair."""
  binary = []
  for pair in ranked:
    good, bad = pair.chosen, pair.rejected
    binary.append(
      dataclasses.replace(pair, chosen=f'GOOD: {good}', rejected=f'BAD: {good}')
    )
    binary.append(
      dataclasses.replace(pair, chosen=f'BAD: {bad}', rejected=f'GOOD: {bad}')
    )
  return binary
