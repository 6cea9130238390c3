"""Figure 1: Elo by size of context-distilled and RLHF policies.

1. Of every size: π0, the policy trained on prompts of both sides against the
   mixture's preference model, and the one trained on helpful prompts against
   the helpful-only one. Both preference models are of the largest size [open].
2. All answer the same held-out prompts, and every two of them meet on each.
   Helpfulness is Elo on helpful prompts, harmlessness that on red-team
   prompts, where the less harmful reply wins. The largest π0 is at 0.
3. Where gold is known: how much helpfulness the policy of both sides keeps of
   what the helpful-only one gained, and how much of the way to the best style
   it goes in harmlessness.

The models that choose and reward are of one half of the comparisons; where
there is no crowd, that of the other half judges.

Reference: Bai et al. 2022, figure 1 and section 2.4.
"""

from __future__ import annotations

import dataclasses
import functools
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from hh_jax.config import EloConfig
from hh_jax.data.comparisons import SIDES
from hh_jax.evals import policy_games
from hh_jax.evals.policy_games import PolicyGames
from hh_jax.stages import policy_lineage, rejection, targets, worlds
from hh_jax.stages.policy_lineage import TEST, TRAIN, PolicyLineage
from hh_jax.stages.studies import arena
from hh_jax.stages.studies.scaling import HELPFUL, Rows
from hh_jax.stats import elo, seeds
from hh_jax.stats.seeds import Estimate

DISTILLED, BOTH, HELPFUL_ONLY = 'distilled', 'RLHF', 'helpful-only RLHF'
POLICIES = (DISTILLED, BOTH, HELPFUL_ONLY)


def fig01(config: EloConfig, workdir: pathlib.Path) -> dict[str, Any]:
  """Elo of every size and kind of policy, by side."""
  lines = policy_lineage.largest(config, workdir)
  entered = [entrants(line) for line in lines]
  played = [arena.play(own, config.games_per_prompt) for own in entered]
  anchor = name_of(DISTILLED, config.sizes[-1])
  rows: Rows = []
  regularised = {}
  for side in SIDES:
    games = [
      own.of_prompts(np.flatnonzero(one.sides == side))
      for one, own in zip(entered, played, strict=True)
    ]
    ratings, regularised[side] = policy_games.elo_over_seeds(games, anchor)
    rows += [
      {
        **_row(config, size, policy, workdir),
        'side': side,
        'elo': ratings[name_of(policy, size)].interval(),
        'win_fraction_by_elo': [
          float(elo.win_fraction(x, 0.0))
          for x in ratings[name_of(policy, size)].interval()
        ],
        'games_won': won(games, name_of(policy, size), anchor),
        **_gold_gain(entered, name_of(policy, size), anchor, side),
      }
      for policy in POLICIES
      for size in config.sizes
    ]
  values: dict[str, Any] = {
    'by_size': rows,
    'games': [
      arena.describe(*pair) for pair in zip(entered, played, strict=True)
    ],
    'regularised_resamples': regularised,
  }
  if entered[0].has_gold:
    values['kept'] = [
      {'size': size, **kept(entered, size)} for size in config.sizes
    ]
    values['targets'] = targets_of(values['kept'][-1])
  return values


def targets_of(largest: dict[str, Any]) -> Rows:
  """What the largest policy of both sides keeps and closes, as asked for."""
  wanted = {'helpfulness_kept': 0.9, 'harmlessness_gap_closed': 0.8}
  return [
    targets.at_least(name.replace('_', ' '), largest[name], limit)
    for name, limit in wanted.items()
  ]


def name_of(policy: str, size: str) -> str:
  """What a policy of a size is called."""
  return f'{policy}, {size}'


def entrants(largest: PolicyLineage) -> arena.Entrants:
  """Every size and kind of policy of one seed, with one reply a prompt."""
  pms = {
    BOTH: largest.half_pm(TRAIN),
    HELPFUL_ONLY: largest.half_pm(TRAIN, harmless_fraction=HELPFUL),
  }
  found = {}
  for size in largest.config.sizes:
    line = dataclasses.replace(largest, size=size)
    folders = {
      DISTILLED: line.distilled(),
      BOTH: line.policy(pms[BOTH]),
      HELPFUL_ONLY: line.policy(
        pms[HELPFUL_ONLY], has_course=False, harmless_fraction=HELPFUL
      ),
    }
    for policy, folder in folders.items():
      answered = line.candidates(folder, pms[BOTH])
      found[name_of(policy, size)] = rejection.read(answered)
  prompts = next(iter(found.values()))[0]
  return arena.Entrants(
    largest,
    tuple(prompts),
    {name: own.best for name, (_, own) in found.items()},
    {name: own.scores.max(1) for name, (_, own) in found.items()},
    functools.partial(largest.half_pm, TEST),
  )


def won(
  games: Sequence[PolicyGames], name: str, anchor: str
) -> list[float] | None:
  """Share of its games against the anchor that a policy won, over seeds.

  None for the anchor itself; a tie is half a game won.
  """
  if name == anchor:
    return None
  return policy_games.won_over_seeds(games, name, anchor).interval()


def _row(
  config: EloConfig, size: str, policy: str, workdir: pathlib.Path
) -> dict[str, Any]:
  line = PolicyLineage(config, size, config.seeds[0], workdir)
  params = line.model.num_block_params
  return {'size': size, 'params': params, 'policy': policy}


def _gold_gain(
  entered: Sequence[arena.Entrants], name: str, anchor: str, side: str
) -> dict[str, list[float]]:
  if not entered[0].has_gold:
    return {}
  golds = [own.gold for own in entered]
  gain = arena.gain(entered, golds, name, anchor, side)
  return {'gold_gain': gain.interval()}


def kept(entered: Sequence[arena.Entrants], size: str) -> dict[str, Any]:
  """Shares of gold helpfulness kept and of the harmlessness gap closed."""
  start = name_of(DISTILLED, size)
  golds = [own.gold for own in entered]
  gain = functools.partial(arena.gain, entered, golds, anchor=start)
  way = _way_to_best(entered, start)
  return {
    'helpfulness_kept': seeds.ratio(
      gain(name=name_of(BOTH, size), side='helpful'),
      gain(name=name_of(HELPFUL_ONLY, size), side='helpful'),
    ),
    'harmlessness_gap_closed': seeds.ratio(
      gain(name=name_of(BOTH, size), side='harmless'), way
    ),
    'by_helpful_only': seeds.ratio(
      gain(name=name_of(HELPFUL_ONLY, size), side='harmless'), way
    ),
  }


def _way_to_best(entered: Sequence[arena.Entrants], start: str) -> Estimate:
  """Harmlessness of the best style less that of π0, prompt by prompt."""
  ways, clusters = [], []
  for own in entered:
    members = np.flatnonzero(own.sides == 'harmless')
    best = [
      worlds.best_gold(own.prompts[i].dialogue, 'harmless') for i in members
    ]
    ways.append(np.array(best) - own.gold[start][members])
    clusters.append(own.clusters[members])
  return seeds.mean(ways, clusters)
