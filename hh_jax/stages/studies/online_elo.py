"""Figures 15 and 35: Elo along online training, as predicted and as it is.

π0 and the snapshots of a policy talk with the crowd, two of them at every turn.
Of every snapshot, over π0:
1. held-out prompts: its preference model's gain there, in Elo (174 a nat);
2. dialogues: the same from its mean score in these conversations;
3. PM choices: Elo refit from the chances with which it would choose there;
4. workers: Elo from the workers' choices.
From 1 to 2 the prompts are what the policy made of them itself; from 3 to 4 the
preference model's choices become people's.

Reference: Bai et al. 2022, section 4.5 and appendix B.4, figures 15 and 35.
"""

from __future__ import annotations

import dataclasses
import functools
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from hh_jax.config import OnlineConfig
from hh_jax.data import mixtures
from hh_jax.data.dialogue import conversation_keys
from hh_jax.data.prompts import Prompt
from hh_jax.evals import policy_games
from hh_jax.evals.policy_games import PolicyGames
from hh_jax.stages import (
  conversations,
  curves,
  held_out,
  loading,
  online_models,
  policy_lineage,
  rejection,
  trajectory,
  tranche_files,
  worlds,
)
from hh_jax.stages.conversations import Deployed, Exchange
from hh_jax.stages.online import Online
from hh_jax.stages.studies import bias, online_sources
from hh_jax.stages.studies.online_sources import KINDS, Last
from hh_jax.stages.studies.scaling import Rows
from hh_jax.stages.trajectory import Trajectory
from hh_jax.stats import bootstrap, elo, seeds
from hh_jax.stats.seeds import Estimate

PI0 = 'pi0'
PROMPTS, DIALOGUES, CHOICES, WORKERS = (
  'PM, held-out prompts',
  'PM, dialogues',
  'PM choices, dialogues',
  'workers, dialogues',
)


@dataclasses.dataclass(frozen=True)
class Contest:
  """What π0 and the snapshots of one seed's policy said, and who was chosen."""

  last: Last
  exchanges: list[Exchange]
  scores: np.ndarray  # [N, 2] float64, of the replies by the policy's own PM

  @functools.cached_property
  def names(self) -> tuple[str, ...]:
    config = online_models.config_of(self.last.line)
    return (PI0, *map(str, config.snapshot_steps))

  @functools.cached_property
  def players(self) -> np.ndarray:
    """Number of the policy behind each reply, [N, 2] int."""
    place = {name: number for number, name in enumerate(self.names)}
    return np.array([[place[m] for m in one.models] for one in self.exchanges])

  @functools.cached_property
  def clusters(self) -> np.ndarray:
    """Key of each exchange's conversation, [N] int."""
    return conversation_keys([one.prompt for one in self.exchanges])

  def games(self, first_won: np.ndarray, is_played: np.ndarray) -> PolicyGames:
    """The exchanges as games.

    Args:
      first_won: Chance that the first reply is chosen, [N] float64.
      is_played: Which of them are games, [N] bool.
    """
    is_equal = np.array([len(set(one.replies)) == 1 for one in self.exchanges])
    return PolicyGames(
      names=self.names,
      first=self.players[is_played, 0],
      second=self.players[is_played, 1],
      first_won=first_won[is_played],
      prompt=np.flatnonzero(is_played),
      conversation=self.clusters[is_played],
      equal=np.flatnonzero(is_equal),
      weak=np.flatnonzero(~is_played),
    )

  def by_workers(self) -> PolicyGames:
    """Games that a worker was sure of; equal texts are ties."""
    is_equal = np.array([len(set(one.replies)) == 1 for one in self.exchanges])
    is_sure = np.array(
      [tranche_files.strength_of(one.step) > 1 for one in self.exchanges]
    )
    is_first = np.array([one.winner == 0 for one in self.exchanges])
    return self.games(np.where(is_equal, 0.5, is_first), is_sure | is_equal)

  def by_pm(self) -> PolicyGames:
    """Every exchange, won with the chance that the PM gives it (eq. 4.2)."""
    won = 1 / (1 + np.exp(self.scores[:, 1] - self.scores[:, 0]))
    return self.games(won, np.ones(len(won), bool))

  def mean_scores(self) -> np.ndarray:
    """Mean score of each policy less that of π0, then resampled, [Q, M].

    Resamples are those of the games: a conversation weighs the same in both.

    Raises:
      ValueError: A policy never answered.
    """
    num, size = len(self.names), 2 * len(self.exchanges)
    clusters = np.repeat(self.clusters, 2)
    keys = bootstrap.cluster_keys(clusters, size)
    cells = bootstrap.cluster_index(clusters, size) * num
    cells += self.players.reshape(-1)
    sums, counts = (
      np.bincount(cells, weights, len(keys) * num).reshape(-1, num)
      for weights in (self.scores.reshape(-1), np.ones(size))
    )
    if not counts.sum(0).all():
      raise ValueError(
        f'of {", ".join(self.names)} not all answered in {len(keys)} '
        'conversations; raise --config.conversations'
      )
    totals = np.concatenate([sums, counts], 1)
    drawn = bootstrap.resampled_sums(totals, seeds.NUM_RESAMPLES, None, keys)
    whole = np.concatenate([totals.sum(0, keepdims=True), drawn])
    means = whole[:, :num] / whole[:, num:]
    return means - means[:, :1]


def contest(last: Last) -> Contest:
  """Has the conversations, or finds them."""
  line = last.line
  config = online_models.config_of(line)
  folder = Online(line).folder / 'contests'
  pm = functools.cache(lambda: loading.load_run(last.pm))

  def hold() -> list[Exchange]:
    deployed = [Deployed(PI0, loading.load_run(line.distilled()))]
    for step in config.snapshot_steps:
      deployed.append(Deployed(str(step), loading.load_run(last.policy, step)))
    return online_sources.session(
      line, deployed, pm(), last.policy.name, is_contest=True
    ).hold()

  path = folder / f'{last.policy.name}.jsonl'
  exchanges = conversations.kept_in(path, hold)
  scored = path.with_suffix('.npy')
  if not scored.exists():
    prompts = [Prompt(one.prompt, one.side) for one in exchanges]
    replies = [list(one.replies) for one in exchanges]
    found = rejection.score(pm(), prompts, replies, config.rejection)
    curves.write_array(scored, found)
  return Contest(last, exchanges, np.load(scored).astype(np.float64))


def estimates(held: Sequence[Contest]) -> dict[str, list[Estimate]]:
  """Elo of the snapshots over π0 in order, of every seed, in four ways."""
  ratings = {
    name: policy_games.elo_over_seeds(played, PI0)[0]
    for name, played in (
      (CHOICES, [one.by_pm() for one in held]),
      (WORKERS, [one.by_workers() for one in held]),
    )
  }
  snapshots = held[0].names[1:]
  tables = [one.mean_scores() for one in held]
  return {
    PROMPTS: predicted([one.last for one in held]),
    DIALOGUES: [
      in_elo(seeds.joined([table[:, place] for table in tables]))
      for place in range(1, len(snapshots) + 1)
    ],
    **{
      name: [own[step] for step in snapshots] for name, own in ratings.items()
    },
  }


def predicted(found: Sequence[Last]) -> list[Estimate]:
  """Gains on held-out helpful prompts at the snapshots, in Elo."""
  runs = [Trajectory(one.line, one.policy) for one in found]
  gains = trajectory.gains([run.known('train_pm') for run in runs])
  gained = trajectory.estimates(trajectory.resampled(runs, gains, 'helpful'))
  return [in_elo(gained[place]) for place in places(runs[0])]


def places(run: Trajectory) -> list[int]:
  """Points of a run at its snapshots."""
  steps = [point['step'] for point in run.points]
  config = online_models.config_of(run.line)
  return [steps.index(step) for step in config.snapshot_steps]


def in_elo(gain: Estimate) -> Estimate:
  """Nats of preference score as Elo."""
  return gain * elo.elo_per_score()


def fig15(config: OnlineConfig, workdir: pathlib.Path) -> dict[str, Any]:
  """Scores of held-out data by tranche, and Elo beside its prediction.

  Where there is no crowd, the prediction stands alone.
  """
  lines = policy_lineage.largest(config, workdir)
  judged = online_sources.last(lines[0], online_sources.BOTH)
  scored = by_source(judged)
  mean = np.concatenate([own.scores for own in scored.values()]).mean()
  groups = {
    name: (own.scores - mean).reshape(-1).astype(np.float64)
    for name, own in scored.items()
  }
  course = []
  for kind in KINDS:
    found = [online_sources.last(line, kind) for line in lines]
    values = {PROMPTS: predicted(found)}
    if config.world == 'lab':
      values = estimates([contest(one) for one in found])
    wanted = {
      name: values[name] for name in (PROMPTS, WORKERS) if name in values
    }
    course += rows(found, wanted)
  return {
    'scores': bias.histogram(groups, 'score'),
    'means': [
      {
        'tranche': name,
        'replies': len(own),
        'score': bootstrap.mean_interval(
          own, np.repeat(scored[name].clusters, 2)
        ).tolist(),
      }
      for name, own in groups.items()
    ],
    'course': course,
  }


def by_source(judged: Last) -> dict[str, held_out.Scored]:
  """Held-out helpful comparisons of every tranche, scored."""
  line, found = judged.line, {}
  for name, items in online_sources.helpful(line).items():
    test = worlds.split(items, line.config.pm.data)[1]
    test = mixtures.subset(test, line.config.num_test, line.seed)
    found[name] = held_out.score(line, judged.pm, test)
  return found


def fig35(config: OnlineConfig, workdir: pathlib.Path) -> dict[str, Any]:
  """All four estimates of both kinds of policy, and the gaps between them."""
  if config.world != 'lab':
    raise ValueError(
      f'figure 35 asks people about snapshots, and world={config.world} has no '
      'crowd; experiments.online and the feedback interface collect such data'
    )
  lines = policy_lineage.largest(config, workdir)
  course, gaps, played = [], [], []
  for kind in KINDS:
    found = [online_sources.last(line, kind) for line in lines]
    held = [contest(one) for one in found]
    values = estimates(held)
    course += rows(found, values)
    for place, row in enumerate(rows(found, {PROMPTS: values[PROMPTS]})):
      ends = {name: own[place] for name, own in values.items()}
      gaps.append(
        {
          'policy': kind,
          'samples': row['samples'],
          'predicted less workers': (ends[PROMPTS] - ends[WORKERS]).interval(),
          'by the prompts': (ends[PROMPTS] - ends[DIALOGUES]).interval(),
          'by the choices': (ends[CHOICES] - ends[WORKERS]).interval(),
        }
      )
    played += [{'policy': kind, **describe(one)} for one in held]
  return {'course': course, 'gaps': gaps, 'games': played}


def rows(found: Sequence[Last], values: dict[str, list[Estimate]]) -> Rows:
  """A row for each estimate and snapshot of one kind of policy."""
  runs = [Trajectory(one.line, one.policy) for one in found]
  root = trajectory.estimates(trajectory.roots(runs))
  return [
    {
      'policy': found[0].kind,
      'estimate': name,
      'samples': int(runs[0].samples[place]),
      'sqrt_kl': root[place].mid,
      'elo': estimate.interval(),
    }
    for name, own in values.items()
    for place, estimate in zip(places(runs[0]), own, strict=True)
  ]


def describe(held: Contest) -> dict[str, Any]:
  """What was played, and what was left out."""
  games = held.by_workers()
  return {
    'seed': str(held.last.line.seed),
    'exchanges': len(held.exchanges),
    'played': len(games.first),
    'equal_texts': games.num_equal,
    'too_weak': games.num_weak,
  }
