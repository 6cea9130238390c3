"""Robustness of RLHF: train- and test-PMs of independent halves.

1. Policies of every size are trained against the train-PM of the largest size
   (set 1), of their own size (set 2), and the middle size against every PM.
2. At points along training fresh replies to held-out prompts are scored by the
   train-PM, by test-PMs of every size and, in the lab, by the gold judge.
3. Reward is a straight line in √KL at first; where the train-PM's gain leaves
   the test-PM's for good the policy over-optimises. There it should stop,
   which is known from train- and test-PM alone. Beside it stands the point
   with the highest test-PM gain.
4. Larger preference models agree longer: their gap is compared at one √KL,
   because a run that ends before its two part says nothing about where.

Figure 4: the largest train-PM; figure 13: scores against √KL; figure 33: test
scores by size of policy and test-PM.

Reference: Bai et al. 2022, sections 4.2-4.3, figures 4, 13 and 33; Gao et al.
2022 for the forms of gold against √KL.
"""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from hh_jax.config import RobustnessConfig
from hh_jax.stages import targets, trajectory
from hh_jax.stages.policy_lineage import TEST
from hh_jax.stages.studies import best_of, fits, matches
from hh_jax.stages.studies.matches import (
  EVERY,
  LARGEST,
  OWN,
  TEST_PM,
  TRAIN_PM,
  Match,
)
from hh_jax.stages.studies.scaling import Rows
from hh_jax.stages.trajectory import GOLD, Table
from hh_jax.stats import frontier, seeds
from hh_jax.stats.seeds import Estimate

ALL_SEEDS = 'all'


def fig04(config: RobustnessConfig, workdir: pathlib.Path) -> dict[str, Any]:
  """Every policy size against the largest train-PM, and best of n beside it."""
  found = {name: matches.of(config, workdir, name) for name in (LARGEST, EVERY)}
  largest = found[LARGEST]
  best = best_of.against_halves(config, workdir)
  values = {
    'curves': [row for match in largest for row in course(match)],
    'lines': [row for match in largest for row in lines(match)],
    'parting': _in_sets(found, parting),
    'agreement': agreement(found[EVERY]),
    'forms': [
      *(row for match in largest for row in forms(match)),
      *best_of.forms(best),
    ],
    'best_of': best_of.rows(best),
  }
  if GOLD not in largest[0].judges:
    return values
  held = targets_of(values['lines'], largest, found[EVERY])
  return values | {'targets': held}


def fig13(config: RobustnessConfig, workdir: pathlib.Path) -> dict[str, Any]:
  """Scores against √KL: the largest train-PM, and that of the own size."""
  found = {name: matches.of(config, workdir, name) for name in (LARGEST, OWN)}
  return {
    'curves': _in_sets(found, course),
    'lines': _in_sets(found, lines),
    'parting': _in_sets(found, parting),
  }


def fig33(config: RobustnessConfig, workdir: pathlib.Path) -> dict[str, Any]:
  """Scores by test-PMs of every size after the same number of samples."""
  found = {name: matches.of(config, workdir, name) for name in (LARGEST, OWN)}
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
            'score': matches.scores(match, judged)[place].interval(),
            'gain': matches.gain(match, judged)[place].interval(),
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


def course(match: Match) -> Rows:
  """A row for each judge and point of training."""
  root = trajectory.estimates(trajectory.roots(match.runs))
  rows = []
  for name, judged in match.judges.items():
    whole, above = matches.scores(match, judged), matches.gain(match, judged)
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
      **fits.form(
        frontier.RL_FORM,
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
  gaps = trajectory.estimates(trajectory.resampled(match.runs, match.gaps()))
  apart = _first_apart(gaps)
  tested = matches.gain(match, match.judges[TEST_PM])
  best = int(np.argmax([estimate.mid for estimate in tested]))
  stop = len(gaps) - 1 if apart is None else apart
  root = trajectory.estimates(trajectory.roots(match.runs))
  samples = match.runs[0].samples
  row: dict[str, Any] = {
    'part': apart is not None,
    # None: not before the end, where the policy is stopped then.
    'part_at_sqrt_kl': None if apart is None else root[apart].mid,
    'stop_at_sqrt_kl': root[stop].mid,
    'stop_at_samples': int(samples[stop]),
    'best_test_at_sqrt_kl': root[best].mid,
    'end_sqrt_kl': root[-1].mid,
    'gap_at_end': gaps[-1].interval(),
  }
  if GOLD in match.judges:
    row |= _gold_share(match, {'stop': stop, 'best_test': best})
  return row


def _first_apart(gaps: Sequence[Estimate]) -> int | None:
  """The first point from which on train- and test-PM are apart."""
  return frontier.parting_of_gap(np.array([gap.interval() for gap in gaps]))


def share_at_stops(match: Match) -> list[float] | None:
  """Share of the largest gold gain where train- and test-PM say to stop.

  Every seed stops where its own two part, or else at its end, and is held
  against its own best point. None where no gold gain is shown.
  """
  gaps = trajectory.resampled(match.runs, match.gaps())
  gold = trajectory.resampled(match.runs, match.gains(GOLD))
  stopped, best = [], []
  for gap, own in zip(gaps, gold, strict=True):
    apart = _first_apart(trajectory.estimates([gap]))
    stopped.append(own[:, -1 if apart is None else apart])
    best.append(own[:, int(np.argmax(own[0]))])
  return seeds.ratio(seeds.joined(stopped), seeds.joined(best))


def gaps_at_common(found: Sequence[Match]) -> tuple[float, list[Estimate]]:
  """Gaps of train- and test-PM at the largest √KL that all runs reach.

  Where runs part cannot be compared as long as some do not part at all, or
  end early; how far apart they are at one divergence can.
  """
  paths = [trajectory.roots(match.runs) for match in found]
  common = min(float(own[0].max()) for runs in paths for own in runs)
  gaps = [
    seeds.joined(
      [
        at_root(own[0], gap, common)
        for own, gap in zip(
          runs, trajectory.resampled(match.runs, match.gaps()), strict=True
        )
      ]
    )
    for match, runs in zip(found, paths, strict=True)
  ]
  return common, gaps


def at_root(path: np.ndarray, table: Table, root: float) -> np.ndarray:
  """A table's values where a run first reaches a √KL, between its points.

  Args:
    path: √KL of the points, [T]; one at least is as large as `root`.
    table: [R + 1, T].
    root: √KL.

  Returns:
    [R + 1].
  """
  after = int(np.argmax(path >= root))
  if not after:
    return table[:, 0]
  share = (root - path[after - 1]) / (path[after] - path[after - 1])
  return (1 - share) * table[:, after - 1] + share * table[:, after]


def _gold_share(match: Match, places: dict[str, int]) -> dict[str, Any]:
  """Share of the largest gold gain that is reached at some points."""
  gold = matches.gain(match, match.judges[GOLD])
  best = gold[int(np.argmax([estimate.mid for estimate in gold]))]
  row: dict[str, Any] = {'best_gold_gain': best.interval()}
  for name, place in places.items():
    row[f'share_at_{name}'] = seeds.ratio(gold[place], best)
  return row


def agreement(found: Sequence[Match]) -> Rows:
  """How far train- and test-PM are apart at one √KL, by size of PM."""
  common, gaps = gaps_at_common(found)
  return [
    {**match.row(), 'at_sqrt_kl': common, 'gap': gap.interval()}
    for match, gap in zip(found, gaps, strict=True)
  ]


def targets_of(
  straight: Rows, largest: Sequence[Match], every: Sequence[Match]
) -> Rows:
  """The lab's numbers against what the paper's findings ask for.

  Args:
    straight: Of `lines`, the largest policy last.
    largest: Policies against the largest PM.
    every: Policies of one size against every PM, these ascending in size.
  """
  own = [row for row in straight if row['judge'] == TRAIN_PM][-1]
  rows = [
    targets.at_least('points of the largest line', own['points'], 10),
    targets.at_least('R² of the largest line', own['r2'], 0.97),
  ]
  rows += [
    targets.at_least(
      f'share of the best gold gain at the stop, policy {match.size}',
      share_at_stops(match),
      0.95,
    )
    for match in largest
  ]
  if len(every) > 1:
    common, gaps = gaps_at_common(every)
    name = f'gap of train and test PM at √KL {common:.2f}'
    difference = gaps[0] - gaps[-1]
    rows.append(
      targets.above(f'{name}, smallest less largest PM', difference, 0.0)
    )
  return rows
