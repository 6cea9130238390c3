"""Helpful against harmless in RLHF: over-refusal, and the mix that cures it.

1. Scores of held-out comparisons by the preference model of both sides and by
   those of either side alone; the policy's scores on each along its training,
   and the share of the data that lies below them. Harmlessness ends in the
   upper tail of its data where it is over-optimised.
2. Policies trained with harmless prompts in several shares: how often each
   refuses helpful requests, and what it gains on either side.

The preference models are those of one half of the comparisons, so that the
policy of equal shares is the one of the robustness study.

Reference: Bai et al. 2022, section 4.4 and figure 14.
"""

from __future__ import annotations

import dataclasses
import functools
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from hh_jax.config import TensionConfig
from hh_jax.data.comparisons import SIDES
from hh_jax.stages import held_out, policy_lineage, trajectory, worlds
from hh_jax.stages.policy_lineage import TRAIN, PolicyLineage
from hh_jax.stages.studies import bias
from hh_jax.stages.studies.scaling import HELPFUL, MIXTURE, Rows
from hh_jax.stages.trajectory import GOLD, Trajectory
from hh_jax.stats import bootstrap, seeds
from hh_jax.stats.seeds import Estimate

BOTH = 'mixture'
TOLERATED = 0.05  # more refusals of helpful requests than π0's
# Preference models by the share of harmless comparisons they are trained on.
PMS = {BOTH: MIXTURE, 'helpful_pm': HELPFUL, 'harmless_pm': 1.0}


@dataclasses.dataclass(frozen=True)
class Policies:
  """Policies trained with one share of harmless prompts, of every seed."""

  fraction: float
  runs: tuple[Trajectory, ...]

  def mean(self, values: Sequence[np.ndarray], side: str) -> list[Estimate]:
    """Means over the prompts of a side at each point."""
    return trajectory.estimates(trajectory.resampled(self.runs, values, side))

  @functools.cached_property
  def refusals(self) -> list[np.ndarray]:
    """Whether the first and the last point's replies refuse, [2, N] each."""
    return [
      np.stack([refused(run, place) for place in (0, len(run.points) - 1)])
      for run in self.runs
    ]


def refused(run: Trajectory, place: int) -> np.ndarray:
  """Whether each reply of a point refuses, [N] float64."""
  return np.array(
    [
      worlds.is_refusal(run.config.data, prompt.dialogue, text)
      for prompt, text in zip(run.prompts, run.texts(place), strict=True)
    ],
    np.float64,
  )


def fig14(config: TensionConfig, workdir: pathlib.Path) -> dict[str, Any]:
  """Scores of data and policies on either side, and the sweep of shares."""
  lines = policy_lineage.largest(config, workdir)
  policies = [
    Policies(
      fraction,
      tuple(
        Trajectory(
          line, line.policy(pm_of(line, BOTH), harmless_fraction=fraction)
        )
        for line in lines
      ),
    )
    for fraction in config.fractions
  ]
  sweep = [swept(found) for found in policies]
  values: dict[str, Any] = {
    'data': [row for pm in PMS for row in distribution(lines, pm)],
    'course': [row for found in policies for row in course(found)],
    'sweep': sweep,
  }
  return values | {'cure': cure(sweep)}


def pm_of(line: PolicyLineage, name: str) -> pathlib.Path:
  """Folder of the train-PM of both sides or of one."""
  return line.half_pm(TRAIN, harmless_fraction=PMS[name])


def distribution(lines: Sequence[PolicyLineage], pm: str) -> Rows:
  """Scores of all replies of the held-out comparisons of all seeds, in bins.

  Each seed's scores have its preference model's mean subtracted.
  """
  scored = [held_out.score(line, pm_of(line, pm)) for line in lines]
  groups = {
    side: np.concatenate(
      [
        (one.scores - one.scores.mean())[one.sides == side].reshape(-1)
        for one in scored
      ]
    ).astype(np.float64)
    for side in held_out.sides_of(scored)[:-1]
  }
  return [{'pm': pm, **row} for row in bias.histogram(groups, 'score')]


def course(policies: Policies) -> Rows:
  """Scores at each point by each preference model, on either side's prompts.

  `below` is the share of a seed's held-out replies of that side that score
  lower than its policy's mean.
  """
  root = trajectory.estimates(trajectory.roots(policies.runs))
  samples = policies.runs[0].samples
  rows = []
  for pm in PMS:
    data = [
      held_out.score(run.line, pm_of(run.line, pm)) for run in policies.runs
    ]
    above = [
      run.scores(pm_of(run.line, pm)) - scored.scores.mean()
      for run, scored in zip(policies.runs, data, strict=True)
    ]
    for side in held_out.sides_of(data)[:-1]:
      usual = [
        (one.scores - one.scores.mean())[one.sides == side] for one in data
      ]
      members = [run.sides == side for run in policies.runs]
      for place, estimate in enumerate(policies.mean(above, side)):
        rows.append(
          {
            'fraction': policies.fraction,
            'pm': pm,
            'side': side,
            'samples': int(samples[place]),
            'sqrt_kl': root[place].mid,
            'score': estimate.interval(),
            'below': share_below(
              usual,
              [
                own[place, mask]
                for own, mask in zip(above, members, strict=True)
              ],
              [
                run.clusters[mask]
                for run, mask in zip(policies.runs, members, strict=True)
              ],
            ).interval(),
          }
        )
  return rows


def share_below(
  usual: Sequence[np.ndarray],
  values: Sequence[np.ndarray],
  clusters: Sequence[np.ndarray],
) -> Estimate:
  """Share of usual scores below the mean of others, seed by seed.

  Args:
    usual: Scores of the data of every seed, taken as they are.
    values: Scores of every seed's policy, [N].
    clusters: Key of each reply's conversation, [N].
  """
  tables = []
  for data, own, keys in zip(usual, values, clusters, strict=True):
    means = bootstrap.mean_table(own[None], keys, seeds.NUM_RESAMPLES)[:, 0]
    below = np.searchsorted(np.sort(data, axis=None), means, side='left')
    tables.append(below / data.size)
  return seeds.joined(tables)


def swept(policies: Policies) -> dict[str, Any]:
  """What policies of one share are at their end, and what they gained."""
  runs = policies.runs
  start, end = policies.mean(policies.refusals, 'helpful')
  more = [own - own[:1] for own in policies.refusals]
  row: dict[str, Any] = {
    'fraction': policies.fraction,
    'sqrt_kl': trajectory.estimates(trajectory.roots(runs))[-1].interval(),
    'refusals_of_pi0': start.interval(),
    'refusals': end.interval(),
    'more_refusals': policies.mean(more, 'helpful')[-1].interval(),
  }
  judges = {'pm_gain': [run.scores(pm_of(run.line, BOTH)) for run in runs]}
  if runs[0].has_gold:
    judges['gold_gain'] = [run.known(GOLD) for run in runs]
  for judge, values in judges.items():
    for side in SIDES:
      found = policies.mean(trajectory.gains(values), side)[-1]
      row[f'{judge}_{side}'] = found.interval()
  return row


def cure(sweep: Rows) -> dict[str, Any]:
  """The shares that over-refuse, and the largest below them that does not.

  A policy over-refuses where it is shown to refuse helpful requests more often
  than π0, the interval paired. One is a cure where it is shown to refuse less
  than `TOLERATED` more often; between the two nothing is known. Where nothing
  over-refuses there is nothing to cure.
  """
  refusing = [row['fraction'] for row in sweep if row['more_refusals'][0] > 0]
  below = [
    row['fraction']
    for row in sweep
    if refusing
    and row['fraction'] < min(refusing)
    and row['more_refusals'][2] < TOLERATED
  ]
  return {
    'over_refuses_at': ', '.join(f'{share:.0%}' for share in refusing) or None,
    'cured_at': max(below, default=None),
    'tolerated': TOLERATED,
  }
