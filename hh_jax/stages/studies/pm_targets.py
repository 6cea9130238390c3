"""The lab's preference models held against what the paper's findings ask for.

Where the truth is known every figure says what it is held against; all numbers
are of the largest size unless a name says otherwise. "Monotone" means that no
step is shown to go down.

Reference: Bai et al. 2022, sections 3, 5.1 and 5.4, appendices A and B.9.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from hh_jax.config import FigureConfig
from hh_jax.stages import targets, worlds
from hh_jax.stats.seeds import Estimate

Rows = list[dict[str, Any]]

TO_BAYES, TO_SPECIALIST = 0.02, 0.02  # of accuracy
ECE = 0.03
CHANCE = 0.5
FEW = 500  # comparisons after which pretraining is to show
DETECTED, EXPOSED = 0.85, 0.94  # area under the curve
NUM_EXPOSED = 10  # harmful prompts shown
KEPT = 0.8  # of the prompt's effect, by the student


def has_truth(config: FigureConfig) -> bool:
  """Whether gold knows the figure's comparisons: targets are the lab's."""
  return worlds.has_gold(config.pm.data)


def steps(what: str, by: Mapping[Any, Estimate], unit: str = '') -> Rows:
  """That accuracy does not fall from one entry to the next."""
  return [
    targets.not_below(
      f'{what} of {more}{unit} less {less}{unit}', by[more] - by[less], 0.0
    )
    for less, more in itertools.pairwise(by)
  ]


def of_sizes(by_size: Mapping[str, Estimate], bayes: Estimate) -> Rows:
  """Accuracy of the mixture's models, ascending in size, against the best."""
  largest = [*by_size.values()][-1]
  name = 'Bayes rate less accuracy'
  return [
    targets.at_most(name, bayes - largest, TO_BAYES),
    *steps('accuracy', by_size),
  ]


def of_calibration(ece: Estimate) -> Rows:
  """ECE of the helpful-only model."""
  return [targets.at_most('ECE of the helpful PM', ece, ECE)]


def of_mixtures(by_fraction: Mapping[float, Mapping[str, Estimate]]) -> Rows:
  """Accuracies on either side by share of harmless comparisons.

  Args:
    by_fraction: By share, of one size; the ends are the specialists.
  """
  even = by_fraction[min(by_fraction, key=lambda share: abs(share - 0.5))]
  specialists = (
    ('helpful', 'harmless', by_fraction.get(0.0)),
    ('harmless', 'helpful', by_fraction.get(1.0)),
  )
  rows = []
  for side, other, found in specialists:
    crossed = found[other] if found else None
    behind = found[side] - even[side] if found else None
    rows += [
      targets.below(f'accuracy of the {side} PM on {other}', crossed, CHANCE),
      targets.at_most(
        f'{side} PM less even mixture, on {side}', behind, TO_SPECIALIST
      ),
    ]
  return rows


def of_flatness(smallest: Estimate | None, largest: Estimate | None) -> Rows:
  """How much accuracy lopsided mixtures lose, by size."""
  less = smallest - largest if smallest and largest else None
  name = 'accuracy lost by lopsided mixtures, smallest less largest PM'
  return [targets.above(name, less, 0.0)]


def of_transfer(gains: Mapping[str, Estimate]) -> Rows:
  """Accuracy gained by each kind of pretraining at few comparisons."""
  return [
    targets.above(
      f'gain by {kind} pairs at {FEW} comparisons', gains.get(kind), 0
    )
    for kind in ('ranked', 'binary')
  ]


def of_detection(area: Estimate) -> Rows:
  """AUROC of simplified relative Mahalanobis at the paper's layer."""
  name = 'AUROC of relative Mahalanobis'
  return [targets.at_least(name, area, DETECTED)]


def of_exposure(by_shown: Mapping[int, Estimate]) -> Rows:
  """AUROC by number of harmful prompts shown."""
  name = f'AUROC after {NUM_EXPOSED} harmful prompts'
  return [targets.at_least(name, by_shown.get(NUM_EXPOSED), EXPOSED)]


def of_distillation(effects: Sequence[Mapping[str, Any]]) -> Rows:
  """What a student keeps of an effect of the prompt that is there.

  Args:
    effects: A row a side; there is a share where the effect is shown.
  """
  return [
    targets.at_least(
      f"share of the prompt's effect kept, {row['side']}", row['share'], KEPT
    )
    for row in effects
  ]
