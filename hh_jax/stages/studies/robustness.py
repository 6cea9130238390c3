"""Robustness of RLHF: train- and test-PMs of independent halves.

1. Policies of every size are trained against the train-PM of the largest size
   (set 1), of their own size (set 2), and the middle size against every PM.
2. At points along training fresh replies to held-out prompts are scored by the
   train-PM, by test-PMs of every size and, in the lab, by the gold judge.
3. Reward is a straight line in √KL at first; where the train-PM's gain leaves
   the test-PM's for good the policy over-optimises. The recommended stop is
   the point with the highest test-PM gain: of train- and test-PM alone.

Figure 4: the largest train-PM; figure 13: scores against √KL; figure 33: test
scores by size of policy and test-PM.

Reference: Bai et al. 2022, sections 4.2-4.3, figures 4, 13 and 33; Gao et al.
2022 for the forms of gold against √KL.
"""

from __future__ import annotations

import dataclasses
import functools
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np

from hh_jax.config import RobustnessConfig
from hh_jax.stages import held_out, policy_lineage, trajectory
from hh_jax.stages.policy_lineage import TEST, TRAIN, PolicyLineage
from hh_jax.stages.studies import best_of, fits
from hh_jax.stages.studies.scaling import Rows
from hh_jax.stages.trajectory import GOLD, Trajectory
from hh_jax.stats import frontier
from hh_jax.stats.seeds import Estimate

TRAIN_PM, TEST_PM = 'train PM', 'test PM'
LARGEST, OWN, EVERY = 'largest PM', 'own PM', 'every PM'
ALL_SEEDS = 'all'


@dataclasses.dataclass(frozen=True)
class Judged:
  """One judge's scores of a policy's replies, of every seed."""

  values: tuple[np.ndarray, ...]  # [T, N] each
  zeros: tuple[float, ...]  # means on held-out comparisons; gold's is 0


@dataclasses.dataclass(frozen=True)
class Match:
  """Policies of one size against train-PMs of one size, of every seed."""

  size: str
  pm_size: str
  runs: tuple[Trajectory, ...]

  def row(self) -> dict[str, Any]:
    return {
      'size': self.size,
      'params': self.runs[0].line.model.num_block_params,
      'pm': self.pm_size,
    }

  @functools.cached_property
  def judges(self) -> dict[str, Judged]:
    """The train-PM, the test-PM of its size and, in the lab, gold."""
    return {
      TRAIN_PM: self.scored_by(self.pm_size, TRAIN),
      TEST_PM: self.scored_by(self.pm_size, TEST),
      **({GOLD: self._gold()} if self.runs[0].has_gold else {}),
    }

  def scored_by(self, pm_size: str, half: str) -> Judged:
    """Scores by the preference model of a size and half."""
    values, zeros = [], []
    for run in self.runs:
      line = dataclasses.replace(run.line, size=pm_size)
      pm = line.half_pm(half)
      is_own = half == TRAIN and pm_size == self.pm_size
      values.append(run.known('train_pm') if is_own else run.scores(pm))
      zeros.append(trajectory.reference_score(line, pm))
    return Judged(tuple(values), tuple(zeros))

  def _gold(self) -> Judged:
    values = tuple(run.known(GOLD) for run in self.runs)
    return Judged(values, (0.0,) * len(values))

  def gains(self, judge: str) -> list[np.ndarray]:
    """What replies are above π0's, of every seed, [T, N]."""
    return trajectory.gains(self.judges[judge].values)

  def of_seed(self, place: int) -> Match:
    """The same of one seed alone."""
    return dataclasses.replace(self, runs=self.runs[place : place + 1])


def pairs(config: RobustnessConfig) -> dict[str, list[tuple[str, str]]]:
  """Sizes of policy and train-PM, by set."""
  sizes = config.sizes
  middle = sizes[len(sizes) // 2]
  return {
    LARGEST: [(size, sizes[-1]) for size in sizes],
    OWN: [(size, size) for size in sizes],
    EVERY: [(middle, size) for size in sizes],
  }


def matches(
  config: RobustnessConfig, workdir: pathlib.Path, name: str
) -> list[Match]:
  """Trains, or finds, the policies of a set.

  Raises:
    ValueError: A half of the comparisons is empty; nothing is trained then.
  """
  for line in policy_lineage.largest(config, workdir):
    for half in policy_lineage.SPANS:
      data = policy_lineage.half_of(config.pm.data, half)
      held_out.parts_of(line, data)
  return [
    Match(
      size,
      pm_size,
      tuple(
        _policy(line, pm_size)
        for line in policy_lineage.of_size(config, size, workdir)
      ),
    )
    for size, pm_size in pairs(config)[name]
  ]


def _policy(line: PolicyLineage, pm_size: str) -> Trajectory:
  pm = dataclasses.replace(line, size=pm_size).half_pm(TRAIN)
  return Trajectory(line, line.policy(pm))


def fig04(config: RobustnessConfig, workdir: pathlib.Path) -> dict[str, Any]:
  """Every policy size against the largest train-PM, and best of n beside it."""
  largest = matches(config, workdir, LARGEST)
  every = matches(config, workdir, EVERY)
  curves = [row for match in largest for row in course(match)]
  best = best_of.against_halves(config, workdir)
  return {
    'curves': curves,
    'lines': [row for match in largest for row in lines(match)],
    'parting': [
      {'set': name, **row}
      for name, found in ((LARGEST, largest), (EVERY, every))
      for match in found
      for row in parting(match)
    ],
    'forms': [
      *(row for match in largest for row in forms(match)),
      *best_of.forms(best),
    ],
    'best_of': best_of.rows(best),
  }


def fig13(config: RobustnessConfig, workdir: pathlib.Path) -> dict[str, Any]:
  """Scores against √KL: the largest train-PM, and that of the own size."""
  found = {name: matches(config, workdir, name) for name in (LARGEST, OWN)}
  return {
    'curves': _in_sets(found, course),
    'lines': _in_sets(found, lines),
    'parting': _in_sets(found, parting),
  }


def fig33(config: RobustnessConfig, workdir: pathlib.Path) -> dict[str, Any]:
  """Scores by test-PMs of every size after the same number of samples."""
  found = {name: matches(config, workdir, name) for name in (LARGEST, OWN)}
  rows = []
  for name, matched in found.items():
    for match in matched:
      samples = match.runs[0].samples
      place = int(np.abs(samples - config.compared_at * samples[-1]).argmin())
      for test_size in config.sizes:
        judged = match.scored_by(test_size, TEST)
        rows.append(
          {
            'set': name,
            **match.row(),
            'test_pm': test_size,
            'samples': int(samples[place]),
            'score': scores(match, judged)[place].interval(),
            'gain': gain(match, judged)[place].interval(),
          }
        )
  return {'by_policy': rows}


def _in_sets(
  found: dict[str, list[Match]], make: Callable[[Match], Rows]
) -> Rows:
  return [
    {'set': name, **row}
    for name, matched in found.items()
    for match in matched
    for row in make(match)
  ]


def scores(match: Match, judged: Judged) -> list[Estimate]:
  """Scores at each point above the judge's zero."""
  above = [
    own - zero for own, zero in zip(judged.values, judged.zeros, strict=True)
  ]
  return trajectory.estimates(trajectory.resampled(match.runs, above))


def gain(match: Match, judged: Judged) -> list[Estimate]:
  """Scores at each point above π0's, prompt by prompt."""
  above = trajectory.gains(judged.values)
  return trajectory.estimates(trajectory.resampled(match.runs, above))


def course(match: Match) -> Rows:
  """A row for each judge and point of training."""
  root = trajectory.estimates(trajectory.roots(match.runs))
  rows = []
  for name, judged in match.judges.items():
    whole, above = scores(match, judged), gain(match, judged)
    for place, samples in enumerate(match.runs[0].samples):
      points = [run.points[place] for run in match.runs]
      rows.append(
        {
          **match.row(),
          'judge': name,
          'samples': int(samples),
          'sqrt_kl': root[place].interval(),
          'k1': float(np.mean([point['k1'] for point in points])),
          'k3': float(np.mean([point['k3'] for point in points])),
          'score': whole[place].interval(),
          'gain': above[place].interval(),
        }
      )
  return rows


def lines(match: Match) -> Rows:
  """Straight lines of gain in √KL, on the range that was fixed in advance."""
  root = trajectory.roots(match.runs)
  return [
    {
      **match.row(),
      'judge': name,
      **fits.line(root, trajectory.resampled(match.runs, match.gains(name))),
    }
    for name in match.judges
  ]


def forms(match: Match) -> Rows:
  """Gao et al.'s form for RL through every judge's gain."""
  root = trajectory.roots(match.runs)
  return [
    {
      **match.row(),
      'judge': name,
      'form': 'RL: d (α − β ln d)',
      **fits.form(
        frontier.fit_rl_form,
        root,
        trajectory.resampled(match.runs, match.gains(name)),
      ),
    }
    for name in match.judges
  ]


def parting(match: Match) -> Rows:
  """Where train- and test-PM part, and what gold says about stopping there.

  A row for each seed, because each seed is one run that somebody must stop,
  and one for the mean of all where there are several.
  """
  rows = [
    {
      **match.row(),
      'seed': str(run.line.seed),
      **_parting(match.of_seed(place)),
    }
    for place, run in enumerate(match.runs)
  ]
  if len(rows) > 1:
    rows.append({**match.row(), 'seed': ALL_SEEDS, **_parting(match)})
  return rows


def _parting(match: Match) -> dict[str, Any]:
  train, test = match.gains(TRAIN_PM), match.gains(TEST_PM)
  gaps = trajectory.estimates(
    trajectory.resampled(
      match.runs, [own - other for own, other in zip(train, test, strict=True)]
    )
  )
  apart = frontier.parting_of_gap(np.array([gap.interval() for gap in gaps]))
  tested = gain(match, match.judges[TEST_PM])
  stop = int(np.argmax([estimate.mid for estimate in tested]))
  root = trajectory.estimates(trajectory.roots(match.runs))
  samples = match.runs[0].samples
  row: dict[str, Any] = {
    'parts_at_sqrt_kl': None if apart is None else root[apart].mid,
    'parts_at_samples': None if apart is None else int(samples[apart]),
    'stop_at_sqrt_kl': root[stop].mid,
    'stop_at_samples': int(samples[stop]),
    'gap_at_end': gaps[-1].interval(),
  }
  if GOLD in match.judges:
    row |= _gold_share(match, {'parting': apart, 'stop': stop})
  return row


def _gold_share(match: Match, places: dict[str, int | None]) -> dict[str, Any]:
  """Share of the largest gold gain that is reached at some points."""
  gold = gain(match, match.judges[GOLD])
  best = gold[int(np.argmax([estimate.mid for estimate in gold]))]
  row: dict[str, Any] = {'best_gold_gain': best.interval()}
  for name, place in places.items():
    row[f'share_at_{name}'] = None
    if place is not None and best.interval()[0] > 0:
      own = gold[place]
      row[f'share_at_{name}'] = Estimate(
        own.mid / best.mid, own.draws / best.draws
      ).interval()
  return row
