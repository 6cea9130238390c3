"""Figure 16: is online data better than as much base data?

1. A preference model of base comparisons alone, and one of as many, a third
   each of base, best-of-k and online comparisons; all helpful, all else equal.
2. A policy against each, on the prompts of the same comparisons. Its replies
   to held-out prompts, which all share, meet those of π0 and of every snapshot
   of either policy; the crowd chooses.

Where there is no crowd the arms share one half of the conversations, and a
preference model of the other half judges.

Deviation: no prompts are generated beside; those of the lab are of no
comparisons, and the same for both arms.

Reference: Bai et al. 2022, section 4.5, figure 16 and footnote 15.
"""

from __future__ import annotations

import dataclasses
import functools
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from hh_jax.config import OnlineConfig
from hh_jax.data import mixtures
from hh_jax.data.comparisons import Comparison
from hh_jax.evals import policy_games
from hh_jax.evals.policy_games import PolicyGames
from hh_jax.stages import (
  inputs,
  online_models,
  policy_lineage,
  targets,
  trajectory,
  tranche_files,
  worlds,
)
from hh_jax.stages.online import Online
from hh_jax.stages.policy_lineage import TEST, TRAIN, PolicyLineage
from hh_jax.stages.studies import arena, online_elo, online_sources
from hh_jax.stages.studies.scaling import HELPFUL, Rows
from hh_jax.stages.trajectory import Trajectory

ALONE, MIX = 'base only', 'even mix'
PI0 = 'pi0'


@dataclasses.dataclass(frozen=True)
class Arms:
  """The two policies of one seed."""

  line: PolicyLineage
  counts: Mapping[str, int]  # comparisons trained on, by arm
  runs: Mapping[str, Trajectory]

  @functools.cached_property
  def entrants(self) -> arena.Entrants:
    """π0 and all snapshots, with their replies to helpful prompts."""
    first = self.runs[ALONE]
    helpful = np.flatnonzero(first.sides == 'helpful')
    replies = {PI0: _taken(first.texts(0), helpful)}
    for arm, run in self.runs.items():
      for place in online_elo.places(run):
        texts = _taken(run.texts(place), helpful)
        replies[name_of(arm, int(run.samples[place]))] = texts
    return arena.Entrants(
      self.line,
      tuple(first.prompts[i] for i in helpful),
      replies,
      {},
      functools.partial(self.line.half_pm, TEST, harmless_fraction=HELPFUL),
    )


def _taken(texts: Sequence[str], members: np.ndarray) -> list[str]:
  return [texts[i] for i in members]


def name_of(arm: str, samples: int) -> str:
  """What a snapshot is called."""
  return f'{arm}, {samples}'


def arms_of(line: PolicyLineage) -> Arms:
  """Trains, or finds, both policies."""
  runs, counts = {}, {}
  for arm, folder in comparisons_of(line).items():
    pm = online_models.pm_on(line, folder)
    policy = online_models.policy_on(
      line, pm, folder, harmless_fraction=HELPFUL
    )
    runs[arm] = Trajectory(line, policy, folder)
    counts[arm] = inputs.describe(pm).result['num_comparisons']
  return Arms(line, counts, runs)


def comparisons_of(line: PolicyLineage) -> dict[str, pathlib.Path]:
  """Folders of the comparisons of either arm, with one test part."""
  data = line.config.pm.data
  if line.config.world != 'lab':
    data = policy_lineage.half_of(data, TRAIN)
  parts = {
    name: worlds.split(items, data)
    for name, items in online_sources.helpful(line).items()
  }
  train = {name: part[0] for name, part in parts.items()}
  test = [item for _, part in parts.values() for item in part]
  last = online_models.config_of(line).iteration
  root = Online(line).folder / 'arms' / str(last)
  folders = {}
  for arm, items in arms(train, line.seed).items():
    mixtures.require_parts(items, test, data.test_fraction)
    folders[arm] = root / arm.replace(' ', '-')
    rows = [
      tranche_files.row_of(item, data.test_fraction) for item in items + test
    ]
    counts = {name: len(part) for name, part in train.items()}
    made = tranche_files.make(rows, 'arm', counts, models={})
    tranche_files.write(made, folders[arm])
  return folders


def arms(
  train: Mapping[str, Sequence[Comparison]], seed: int
) -> dict[str, list[Comparison]]:
  """As many base comparisons as of all sources in equal parts.

  As many as there are: base has to fill its arm, every source its part.
  """
  base = train[online_sources.BASE]
  each = min(len(base) // len(train), *map(len, train.values()))
  mix = [x for own in train.values() for x in mixtures.subset(own, each, seed)]
  return {ALONE: mixtures.subset(base, len(mix), seed), MIX: mix}


def fig16(config: OnlineConfig, workdir: pathlib.Path) -> dict[str, Any]:
  """Elo of both arms along training, and what the mix has over base alone."""
  found = [arms_of(line) for line in policy_lineage.largest(config, workdir)]
  played = [arena.play(one.entrants, config.games_per_prompt) for one in found]
  values: dict[str, Any] = {
    **courses(found, played),
    'comparisons': [
      {'seed': str(one.line.seed), **one.counts} for one in found
    ],
    'games': [
      arena.describe(one.entrants, own)
      for one, own in zip(found, played, strict=True)
    ],
  }
  if config.world == 'lab':
    last = values['difference'][-1]
    values['targets'] = [
      targets.above('Elo of the mix less base at the end', last['elo'], 0.0)
    ]
  return values


def courses(
  found: Sequence[Arms], played: Sequence[PolicyGames]
) -> dict[str, Rows]:
  """Elo of every snapshot, and of the mix less base at each."""
  ratings, num_regularised = policy_games.elo_over_seeds(played, PI0)
  entered = [one.entrants for one in found]
  course: Rows = []
  difference: Rows = []
  for place in online_elo.places(found[0].runs[ALONE]):
    samples = int(found[0].runs[ALONE].samples[place])
    for arm in (ALONE, MIX):
      name, runs = name_of(arm, samples), [one.runs[arm] for one in found]
      row = {
        'arm': arm,
        'samples': samples,
        'share': samples / int(runs[0].samples[-1]),
        'sqrt_kl': trajectory.estimates(trajectory.roots(runs))[place].mid,
        'elo': ratings[name].interval(),
      }
      if entered[0].has_gold:
        golds = [own.gold for own in entered]
        row['gold_gain'] = arena.gain(entered, golds, name, PI0).interval()
      course.append(row)
    gap = ratings[name_of(MIX, samples)] - ratings[name_of(ALONE, samples)]
    difference.append({'samples': samples, 'elo': gap.interval()})
  return {
    'course': course,
    'difference': difference,
    'resamples': [{'regularised': num_regularised}],
  }
