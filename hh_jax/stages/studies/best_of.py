"""Best of k replies by a preference model: what more of them are worth.

Figure 36: Elo by the crowd for several k, each with replies of its own, beside
a policy trained by PPO against the same preference model on the same side.
Beside RL in figure 4: gain of best-of-n under train-PM, test-PM and gold, for
every n from one set of replies, against √KL of ln n - (n - 1) / n.

Prompts are read once for all of their replies, by policy and preference model
alike.

Reference: Bai et al. 2022, sections 2.3 and B.6, figure 36; Gao et al. 2022.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from hh_jax.config import BestOfConfig, RobustnessConfig
from hh_jax.data import prompts as prompts_lib
from hh_jax.data.prompts import Prompt
from hh_jax.evals import policy_games
from hh_jax.stages import (
  curves,
  held_out,
  loading,
  policy_lineage,
  rejection,
  targets,
  trajectory,
  worlds,
)
from hh_jax.stages.policy_lineage import TEST, TRAIN, PolicyLineage
from hh_jax.stages.rejection import Candidates
from hh_jax.stages.studies import arena, fits
from hh_jax.stages.studies.matches import TEST_PM, TRAIN_PM
from hh_jax.stages.studies.scaling import HELPFUL, Rows
from hh_jax.stages.trajectory import GOLD, Table, Trajectory
from hh_jax.stats import bootstrap, elo, frontier, seeds

RLHF = 'rlhf'


@dataclasses.dataclass(frozen=True)
class Sampled:
  """Replies of one seed to the same prompts, scored by the train-PM."""

  line: PolicyLineage
  folder: pathlib.Path  # of the rejection run
  prompts: tuple[Prompt, ...]
  found: Candidates

  @property
  def num_replies(self) -> int:
    return self.found.scores.shape[1]

  @functools.cached_property
  def clusters(self) -> np.ndarray:
    """Key of each prompt's conversation, [N] int."""
    return prompts_lib.conversation_keys(self.prompts)

  def gold(self) -> np.ndarray:
    """Gold utility of each reply, [N, k] float64."""
    return np.array(
      [
        [worlds.gold(prompt.dialogue, text, prompt.side) for text in texts]
        for prompt, texts in zip(self.prompts, self.found.replies, strict=True)
      ]
    )

  def scores(self, pm: pathlib.Path) -> np.ndarray:
    """Scores of the replies by another preference model, [N, k] float64."""
    name = f'{self.folder.name}-{pm.name}.npy'
    path = self.line.workdir / held_out.SCORES / name
    if not path.exists():
      path.parent.mkdir(parents=True, exist_ok=True)
      found = rejection.score(
        loading.load_run(pm),
        self.prompts,
        self.found.replies,
        self.line.config.rejection,
      )
      curves.write_array(path, found)
    return np.load(path).astype(np.float64)


def sampled(line: PolicyLineage, pm: pathlib.Path, **changes: Any) -> Sampled:
  """Samples from π0, or finds what was sampled."""
  folder = line.candidates(line.distilled(), pm, **changes)
  prompts, found = rejection.read(folder)
  return Sampled(line, folder, tuple(prompts), found)


@dataclasses.dataclass(frozen=True)
class Curve:
  """Gain of best-of-n over one sample, under one judge, of every seed."""

  judge: str
  ns: tuple[int, ...]
  gains: tuple[Table, ...]  # [R + 1, len(ns)] each

  @property
  def kl(self) -> np.ndarray:
    """Bound on the divergence from one sample, nats, [len(ns)]."""
    return np.array([frontier.best_of_n_kl(n) for n in self.ns])


def against_halves(
  config: RobustnessConfig, workdir: pathlib.Path
) -> list[Curve]:
  """Best of n by the largest train-PM, under each judge."""
  found = []
  for line in policy_lineage.largest(config, workdir):
    replies = sampled(line, line.half_pm(TRAIN))
    values = {
      TRAIN_PM: replies.found.scores.astype(np.float64),
      TEST_PM: replies.scores(line.half_pm(TEST)),
    }
    if worlds.has_gold(config.rejection.data):
      values[GOLD] = replies.gold()
    found.append((replies, values))
  ns = tuple(powers_of_two(found[0][0].num_replies))
  return [
    Curve(
      judge,
      ns,
      tuple(
        _resampled(replies, values[judge], ns) for replies, values in found
      ),
    )
    for judge in found[0][1]
  ]


def powers_of_two(most: int) -> Iterator[int]:
  """1, 2, 4, ... up to `most`."""
  return itertools.takewhile(
    lambda n: n <= most, (2**power for power in itertools.count())
  )


def _resampled(
  replies: Sampled, values: np.ndarray, ns: Sequence[int]
) -> Table:
  gain = best_of_n_means(replies.found.scores, values, ns)
  gain = gain - values.mean(1)
  return bootstrap.mean_table(gain, replies.clusters, seeds.NUM_RESAMPLES)


def best_of_n_means(
  scores: np.ndarray, values: np.ndarray, ns: Sequence[int]
) -> np.ndarray:
  """Expected value of the best of n of each prompt's k replies.

  Args:
    scores: [N, k], by which the best is chosen.
    values: [N, k], of which the expectation is taken.
    ns: Each at most k.

  Returns:
    [len(ns), N] float64.
  """
  order = np.argsort(scores, axis=1, kind='stable')
  ascending = np.take_along_axis(values, order, axis=1)
  k = scores.shape[1]
  return np.stack([ascending @ frontier.best_of_n_weights(k, n) for n in ns])


def rows(found: Sequence[Curve]) -> Rows:
  """A row for each judge and n."""
  return [
    {
      'judge': curve.judge,
      'n': n,
      'kl_bound': frontier.best_of_n_kl(n),
      'sqrt_kl': float(np.sqrt(frontier.best_of_n_kl(n))),
      'gain': seeds.joined([own[:, place] for own in curve.gains]).interval(),
    }
    for curve in found
    for place, n in enumerate(curve.ns)
  ]


def forms(found: Sequence[Curve]) -> Rows:
  """Gao et al.'s form for best-of-n through every judge's gain."""
  return [
    {
      'judge': curve.judge,
      **fits.form(
        frontier.BEST_OF_N_FORM,
        [np.broadcast_to(np.sqrt(curve.kl), own.shape) for own in curve.gains],
        curve.gains,
      ),
    }
    for curve in found
  ]


def fig36(config: BestOfConfig, workdir: pathlib.Path) -> dict[str, Any]:
  """Elo for every k and for RLHF, on helpful prompts, one sample at 0.

  The helpful-only PM of one half of the comparisons chooses and rewards; where
  there is no crowd, that of the other half judges the games.
  """
  lines = policy_lineage.largest(config, workdir)
  policies = [Trajectory(line, _helpful_policy(line)) for line in lines]
  entered = [
    _entrants(config, line, run.folder)
    for line, run in zip(lines, policies, strict=True)
  ]
  played = [arena.play(own, config.games_per_prompt) for own in entered]
  anchor = name_of(config.ks[0])
  ratings, num_regularised = policy_games.elo_over_seeds(played, anchor)
  ladder = []
  for k in (*config.ks, None):
    name = name_of(k) if k else RLHF
    pm_gain = arena.gain(entered, [own.scores for own in entered], name, anchor)
    row = {
      'policy': name,
      'k': k,
      'kl_bound': frontier.best_of_n_kl(k) if k else None,
      'kl': None if k else divergence(policies).interval(),
      'elo': ratings[name].interval(),
      'pm_gain': pm_gain.interval(),
      'elo_by_pm': [float(elo.score_to_elo(x)) for x in pm_gain.interval()],
    }
    if entered[0].has_gold:
      golds = [own.gold for own in entered]
      row['gold_gain'] = arena.gain(entered, golds, name, anchor).interval()
    ladder.append(row)
  games = [arena.describe(*pair) for pair in zip(entered, played, strict=True)]
  values: dict[str, Any] = {
    'ladder': ladder,
    'games': games,
    'resamples': {'regularised': num_regularised},
  }
  if entered[0].has_gold:
    values['targets'] = targets_of(ratings, config.ks)
  return values


def targets_of(
  ratings: Mapping[str, seeds.Estimate], ks: Sequence[int]
) -> Rows:
  """The lab's ladder against what the paper finds.

  Args:
    ratings: Elo of the best of each k and of RLHF.
    ks: Ascending.
  """
  names = [name_of(k) for k in ks]
  steps = [
    targets.above(
      f'Elo of {more} less {less}', ratings[more] - ratings[less], 0
    )
    for less, more in itertools.pairwise(names)
  ]
  last = ratings[RLHF] - ratings[names[-1]]
  return [*steps, targets.at_least(f'Elo of RLHF less {names[-1]}', last, 0)]


def name_of(k: int) -> str:
  """What the best of k is called."""
  return f'best_of_{k}'


def _helpful_pm(line: PolicyLineage, half: str) -> pathlib.Path:
  return line.half_pm(half, harmless_fraction=HELPFUL)


def _helpful_policy(line: PolicyLineage) -> pathlib.Path:
  """Folder of the policy that is trained on helpful prompts alone."""
  return line.policy(
    _helpful_pm(line, TRAIN), has_course=False, harmless_fraction=HELPFUL
  )


def _entrants(
  config: BestOfConfig, line: PolicyLineage, rlhf: pathlib.Path
) -> arena.Entrants:
  """The best of each k, every k with replies of its own, and RLHF's."""
  pm = _helpful_pm(line, TRAIN)
  many = sampled(line, pm, harmless_fraction=HELPFUL)
  one = line.candidates(rlhf, pm, k=1, harmless_fraction=HELPFUL)
  found = blocks(many.found, config.ks) | {RLHF: rejection.read(one)[1]}
  return arena.Entrants(
    line,
    many.prompts,
    {name: own.best for name, own in found.items()},
    {name: own.scores.max(1) for name, own in found.items()},
    functools.partial(_helpful_pm, line, TEST),
  )


def blocks(found: Candidates, ks: Sequence[int]) -> dict[str, Candidates]:
  """Cuts the replies to each prompt into disjoint parts of k."""
  ends = np.cumsum(ks)
  return {
    name_of(k): Candidates(
      [texts[end - k : end] for texts in found.replies],
      found.scores[:, end - k : end],
    )
    for k, end in zip(ks, ends, strict=True)
  }


def divergence(policies: Sequence[Trajectory]) -> seeds.Estimate:
  """KL of trained policies from π0 on helpful prompts at their end, nats."""
  kl = [run.known('kl')[-1:] for run in policies]
  return trajectory.estimates(trajectory.resampled(policies, kl, 'helpful'))[0]
