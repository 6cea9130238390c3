"""Preference-model pretraining on ranked answers from the web.

1. Pairs of answers to one question, ordered by votes.
2. With `binary`, a ranked pair A > B becomes `GOOD: A` > `BAD: A` and
   `BAD: B` > `GOOD: B`, so that nothing need be unlearnt later.
3. One pass of the preference loss from the language model, with a new head.

Reference: Bai et al. 2022, section A.2; Askell et al. 2021, section 4.
"""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Sequence

from hh_jax.config import PMPConfig
from hh_jax.data import mixtures
from hh_jax.data.comparisons import Comparison
from hh_jax.stages import inputs, loading, preference, session, worlds


def run(config: PMPConfig, workdir: str | pathlib.Path) -> str:
  """Pretrains a preference model; returns its one-line result."""
  inputs.require(config)
  start = loading.load_run(config.init_from)
  claimed = session.begin('pmp', config, workdir, {'init_from': start})
  if claimed.result:
    return claimed.result['line']
  ranked = worlds.ranked_pairs(config)
  train, test = worlds.split(ranked.pairs, config.data)
  mixtures.require_parts(train, test, config.data.test_fraction)
  if config.binary:
    train, test = binarise(train), binarise(test)
  state, batches = preference.train(config, start, claimed, train)
  accuracy = preference.test_accuracy(start, state.params, test, config.data)
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
