"""Policies against train-PMs, and who judges them, for the robustness study.

1. Set 1: policies of every size against the train-PM of the largest size; set
   2: each against that of its own size; and the middle size against every one.
2. A policy's replies are judged by the train-PM, by test-PMs of any size, of
   the other half of the comparisons, and in the lab by gold.

Reference: Bai et al. 2022, section 4.2.
"""

from __future__ import annotations

import dataclasses
import functools
import pathlib
from typing import Any

import numpy as np

from hh_jax.config import RobustnessConfig
from hh_jax.stages import held_out, policy_lineage, trajectory
from hh_jax.stages.policy_lineage import TEST, TRAIN, PolicyLineage
from hh_jax.stages.trajectory import GOLD, Trajectory
from hh_jax.stats.seeds import Estimate

TRAIN_PM, TEST_PM = 'train PM', 'test PM'
LARGEST, OWN, EVERY = 'largest PM', 'own PM', 'every PM'


@dataclasses.dataclass(frozen=True)
class Judged:
  """One judge's scores of a policy's replies, of every seed."""

  values: tuple[np.ndarray, ...]  # [T, N] each
  zeros: tuple[float, ...]  # its mean score of held-out comparisons; gold's 0


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
      values.append(run.scores(pm))
      zeros.append(trajectory.zero_of(line, pm))
    return Judged(tuple(values), tuple(zeros))

  def _gold(self) -> Judged:
    values = tuple(run.known(GOLD) for run in self.runs)
    return Judged(values, (0.0,) * len(values))

  def gains(self, judge: str) -> list[np.ndarray]:
    """What replies are above π0's, of every seed, [T, N]."""
    return trajectory.gains(self.judges[judge].values)

  def gaps(self) -> list[np.ndarray]:
    """Train-PM's gain less the test-PM's, of every seed, [T, N] nats.

    Both are as the PMs give them: a score gap is the log-odds of a preference
    (§2.3), so that gains of two PMs have one unit.
    """
    return [
      own - other
      for own, other in zip(
        self.gains(TRAIN_PM), self.gains(TEST_PM), strict=True
      )
    ]

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


def of(
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
