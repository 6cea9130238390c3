"""Figure 1: Elo by size of context-distilled and RLHF policies.

1. Of every size: π0, the policy trained on prompts of both sides against the
   mixture's preference model, and the one trained on helpful prompts against
   the helpful-only one. Both preference models are of the largest size [open].
2. All answer the same held-out prompts, and every two of them meet on each.
   Helpfulness is Elo on helpful prompts, harmlessness that on red-team
   prompts, where the less harmful reply wins. The largest π0 is at 0.
3. In the lab writers of known strength answer, too: the best style but for a
   known share of lapses. Their Elo is a band, as the paper's writers are.
4. What a unit of PM score is worth in Elo, over all policies; 174 if the crowd
   chose by that score.
5. Where gold is known: how much helpfulness the policy of both sides keeps of
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
from hh_jax.stages import (
  policy_lineage,
  rejection,
  targets,
  worlds,
  written,
)
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
  entered = [entrants(line, config.writer_lapses) for line in lines]
  played = [arena.play(own, config.games_per_prompt) for own in entered]
  sides = [Side(side, config, entered, played) for side in SIDES]
  values: dict[str, Any] = {
    'by_size': [row for side in sides for row in side.policies(workdir)],
    'elo_per_pm_unit': [side.elo_per_pm_unit() for side in sides],
    'games': [
      arena.describe(*pair) for pair in zip(entered, played, strict=True)
    ],
    'regularised_resamples': {side.name: side.rated[1] for side in sides},
  }
  if entered[0].has_gold:
    values['writers'] = [row for side in sides for row in side.writers()]
    values['kept'] = [
      {'size': size, **kept(entered, size)} for size in config.sizes
    ]
    values['targets'] = targets_of(values['kept'][-1])
  return values


@dataclasses.dataclass(frozen=True)
class Side:
  """What the games on the prompts of one side say, of all seeds."""

  name: str  # 'helpful' or 'harmless'
  config: EloConfig
  entered: Sequence[arena.Entrants]
  played: Sequence[policy_games.PolicyGames]

  @property
  def anchor(self) -> str:
    return name_of(DISTILLED, self.config.sizes[-1])

  @functools.cached_property
  def games(self) -> list[policy_games.PolicyGames]:
    """Those on the side's prompts, of every seed."""
    return [
      own.of_prompts(np.flatnonzero(one.sides == self.name))
      for one, own in zip(self.entered, self.played, strict=True)
    ]

  @functools.cached_property
  def rated(self) -> tuple[dict[str, Estimate], int]:
    """Elo of everybody, and the resamples in which somebody never lost."""
    return policy_games.elo_over_seeds(self.games, self.anchor)

  def policies(self, workdir: pathlib.Path) -> Rows:
    """A row for each kind and size of policy."""
    return [
      {
        **_row(self.config, size, policy, workdir),
        **self._rating(name_of(policy, size)),
      }
      for policy in POLICIES
      for size in self.config.sizes
    ]

  def writers(self) -> Rows:
    """A row for each writer."""
    return [
      {'writer': name, **self._rating(name)}
      for name in map(written.name_of, self.config.writer_lapses)
    ]

  def _rating(self, name: str) -> dict[str, Any]:
    rating = self.rated[0][name].interval()
    row = {
      'side': self.name,
      'elo': rating,
      'win_fraction_by_elo': [float(elo.win_fraction(x, 0.0)) for x in rating],
      'games_won': self._won(name),
    }
    if self.entered[0].has_gold:
      golds = [own.gold for own in self.entered]
      row['gold_gain'] = self._gain(golds, name).interval()
    return row

  def _won(self, name: str) -> list[float] | None:
    """Share of its games against the anchor that somebody won.

    None for the anchor itself; a tie is half a game won.
    """
    if name == self.anchor:
      return None
    found = policy_games.won_over_seeds(self.games, name, self.anchor)
    return found.interval()

  def _gain(self, values: Sequence[arena.Values], name: str) -> Estimate:
    return arena.gain(self.entered, values, name, self.anchor, self.name)

  def elo_per_pm_unit(self) -> dict[str, Any]:
    """Slope of Elo in mean PM score over all policies, through the anchor."""
    scores = [own.scores for own in self.entered]
    names = [
      name_of(policy, size)
      for policy in POLICIES
      for size in self.config.sizes
      if name_of(policy, size) != self.anchor
    ]
    ratings = [self.rated[0][name] for name in names]
    slope = through_origin(
      [self._gain(scores, name) for name in names], ratings
    )
    return {
      'side': self.name,
      'elo_per_pm_unit': slope.interval(),
      'paper': elo.elo_per_score(),
    }


def through_origin(xs: Sequence[Estimate], ys: Sequence[Estimate]) -> Estimate:
  """Least-squares slope of a line through 0, by seed and resample."""
  x, y = (np.stack([one.table for one in found]) for found in (xs, ys))
  return Estimate((x * y).sum(0) / np.square(x).sum(0))


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


def entrants(
  largest: PolicyLineage, lapse_rates: Sequence[float]
) -> arena.Entrants:
  """Every size and kind of policy of one seed, with one reply a prompt.

  Args:
    largest: Of the largest size.
    lapse_rates: Of the writers, who enter where there are any.
  """
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
  entered = arena.Entrants(
    largest,
    tuple(prompts),
    {name: own.best for name, (_, own) in found.items()},
    {name: own.scores.max(1) for name, (_, own) in found.items()},
    functools.partial(largest.half_pm, TEST),
  )
  if not entered.has_gold:
    return entered
  return arena.with_writers(entered, pms[BOTH], lapse_rates)


def _row(
  config: EloConfig, size: str, policy: str, workdir: pathlib.Path
) -> dict[str, Any]:
  line = PolicyLineage(config, size, config.seeds[0], workdir)
  params = line.model.num_block_params
  return {'size': size, 'params': params, 'policy': policy}


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
