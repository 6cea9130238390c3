"""Robustness of RLHF: train- and test-PMs of independent halves.

1. Policies of every size are trained against the train-PM of the largest size
   (set 1), of their own size (set 2), and the middle size against every PM.
2. At points along training fresh replies to held-out prompts are scored by the
   train-PM, by test-PMs of every size and, in the lab, by the gold judge.
3. Reward is a straight line in √KL at first; where the train-PM's gain leaves
   the test-PM's for good the policy over-optimises. There it should stop,
   which is known from train- and test-PM alone. Beside it stands the point
   with the highest test-PM gain.

Figure 4: the largest train-PM; figure 13: scores against √KL; figure 33: test
scores by size of policy and test-PM.

Reference: Bai et al. 2022, sections 4.2-4.3, figures 4, 13 and 33; Gao et al.
2022 for the forms of gold against √KL.
"""

from __future__ import annotations

import pathlib
from collections.abc import Callable
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
from hh_jax.stages.trajectory import GOLD
from hh_jax.stats import frontier, seeds

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
    'forms': [
      *(row for match in largest for row in forms(match)),
      *best_of.forms(best),
    ],
    'best_of': best_of.rows(best),
  }
  if GOLD not in largest[0].judges:
    return values
  return values | {'targets': targets_of(values['lines'], values['parting'])}


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
  gaps = trajectory.estimates(trajectory.resampled(match.runs, match.gaps()))
  apart = frontier.parting_of_gap(np.array([gap.interval() for gap in gaps]))
  tested = matches.gain(match, match.judges[TEST_PM])
  best = int(np.argmax([estimate.mid for estimate in tested]))
  stop = len(gaps) - 1 if apart is None else apart
  root = trajectory.estimates(trajectory.roots(match.runs))
  samples = match.runs[0].samples
  row: dict[str, Any] = {
    'part': apart is not None,
    'stop_at_sqrt_kl': root[stop].mid,
    'stop_at_samples': int(samples[stop]),
    'best_test_at_sqrt_kl': root[best].mid,
    'end_sqrt_kl': root[-1].mid,
    'gap_at_end': gaps[-1].interval(),
  }
  if GOLD in match.judges:
    row |= _gold_share(match, {'stop': stop, 'best_test': best})
  return row


def _gold_share(match: Match, places: dict[str, int]) -> dict[str, Any]:
  """Share of the largest gold gain that is reached at some points."""
  gold = matches.gain(match, match.judges[GOLD])
  best = gold[int(np.argmax([estimate.mid for estimate in gold]))]
  row: dict[str, Any] = {'best_gold_gain': best.interval()}
  for name, place in places.items():
    row[f'share_at_{name}'] = seeds.ratio(gold[place], best)
  return row


def targets_of(straight: Rows, parted: Rows) -> Rows:
  """The lab's numbers against what the paper's findings ask for.

  Args:
    straight: Of `lines`, the largest policy last.
    parted: Of `parting`, by set.
  """
  own = [row for row in straight if row['judge'] == TRAIN_PM][-1]
  rows = [targets.at_least('points of the largest line', own['points'], 10)]
  if 'r2' in own:
    rows.append(targets.at_least('R² of the largest line', own['r2'], 0.97))
  shares = [
    row['share_at_stop'][1]
    for row in parted
    if row['set'] == LARGEST and row['share_at_stop'] is not None
  ]
  if shares:
    name = 'least share of the best gold gain at the stop'
    rows.append(targets.at_least(name, min(shares), 0.95))
  # Rows of a pair end with that of all seeds; pairs ascend in PM size.
  last = {row['pm']: row for row in parted if row['set'] == EVERY}
  if len(last) > 1:
    agreed = [row['stop_at_sqrt_kl'] for row in last.values()]
    name = 'train-test agreement up to √KL, largest less smallest PM'
    rows.append(targets.above(name, agreed[-1] - agreed[0], 0.0))
  return rows
