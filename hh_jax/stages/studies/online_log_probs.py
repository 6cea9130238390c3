"""Figure 34: what an online policy finds likely, along its training.

A policy is right where the mean log-probability of a token is higher on the
better reply: of held-out helpful and harmless comparisons, and of the HHH
evaluation. The accuracy of its preference model on the same pairs is the
ceiling.

Reference: Bai et al. 2022, appendix B.3, figure 34.
"""

from __future__ import annotations

import logging
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from hh_jax.config import OnlineConfig
from hh_jax.data import mixtures
from hh_jax.data.comparisons import SIDES, Comparison
from hh_jax.data.dialogue import conversation_keys
from hh_jax.data.hhh import Item
from hh_jax.evals import preference_accuracy
from hh_jax.stages import (
  held_out,
  inputs,
  loading,
  online_models,
  policy_lineage,
  probes,
)
from hh_jax.stages.policy_lineage import PolicyLineage
from hh_jax.stages.studies import hhh, online_sources
from hh_jax.stages.studies.online_sources import Last
from hh_jax.stages.studies.scaling import Rows
from hh_jax.stats import seeds

HHH = 'HHH'
# With the key of each one's conversation, whichever seed met it.
Pairs = dict[str, tuple[list[Item], np.ndarray]]

log = logging.getLogger(__name__)


def fig34(config: OnlineConfig, workdir: pathlib.Path) -> dict[str, Any]:
  """Accuracy by mean log-probability of π0 and snapshots, and the ceilings."""
  lines = policy_lineage.largest(config, workdir)
  pairs = [pairs_of(line) for line in lines]
  found = [online_sources.last(line, online_sources.BOTH) for line in lines]
  course: Rows = []
  for step in (0, *config.snapshot_steps):
    runs = [snapshot(one, step) for one in found]
    place = {
      'samples': step * config.rlhf.data.batch_size,
      'share': step / config.rlhf.num_iterations,
    }
    course += [
      {'pairs': name, **place, 'accuracy': accuracy}
      for name, accuracy in accuracies(lines, runs, pairs).items()
    ]
  judges = [loading.load_run(one.pm) for one in found]
  ceilings = accuracies(lines, judges, pairs)
  return {
    'course': course,
    'ceilings': [
      {'pairs': name, 'accuracy': own} for name, own in ceilings.items()
    ],
  }


def snapshot(last: Last, step: int) -> loading.Run:
  """The policy after some iterations; π0 before the first."""
  if step == 0:
    return loading.load_run(last.line.distilled())
  return loading.load_run(last.policy, step)


def pairs_of(line: PolicyLineage) -> Pairs:
  """Held-out comparisons of either side, and the HHH evaluation.

  Of the comparisons there are from the start, which are of both sides.
  """
  config = online_models.config_of(line)
  test = mixtures.subset(held_out.parts_of(line)[1], config.num_test, line.seed)
  found: Pairs = {}
  for side in SIDES:
    own = [item for item in test if item.side == side]
    if own:
      found[side] = _keyed([as_item(item) for item in own])
  if config.world == 'lab' or config.hhh_file:
    data = inputs.place_data(config, config.pm.data)
    items = probes.hhh_items(data, line.seed, config.hhh_file, config.num_items)
    found[HHH] = _keyed(items)
  else:
    log.warning('no HHH evaluation: give --config.hhh_file for that line')
  return found


def _keyed(items: list[Item]) -> tuple[list[Item], np.ndarray]:
  return items, conversation_keys([item.prompt for item in items])


def as_item(pair: Comparison) -> Item:
  """A comparison as a pair of a better and a worse reply."""
  return Item(pair.side, pair.prompt, pair.chosen, pair.rejected)


def accuracies(
  lines: Sequence[PolicyLineage],
  runs: Sequence[loading.Run],
  pairs: Sequence[Pairs],
) -> dict[str, list[float]]:
  """[low, mid, high] of each kind of pair, over seeds and conversations."""
  found = {}
  for name in pairs[0]:
    correct = [
      preference_accuracy.is_correct(
        hhh.scores_by(run, own[name][0], line.config.pm.data.longest_path)[0]
      )
      for line, run, own in zip(lines, runs, pairs, strict=True)
    ]
    clusters = [own[name][1] for own in pairs]
    found[name] = seeds.mean(correct, clusters).interval()
  return found
