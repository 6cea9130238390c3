"""Agreement between raters, and accuracy by slices of the data.

1. Krippendorff's α = 1 - D_observed / D_expected corrects agreement for chance
   and allows gaps in the ratings; the distance between categories is an
   argument.
2. Accuracy by turn is figure 8: the first turn is the easiest.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Float, Shaped

from hh_jax.stats import bootstrap

# Squared distance of every two categories, from how often each was used.
Distance = Callable[[Float[np.ndarray, 'Q']], Float[np.ndarray, 'Q Q']]

SliceRow = dict[str, str | int | list[float]]


def nominal_distance(
  counts: Float[np.ndarray, 'Q'],
) -> Float[np.ndarray, 'Q Q']:
  """1 between any two different categories."""
  return 1 - np.eye(len(counts))


def ordinal_distance(
  counts: Float[np.ndarray, 'Q'],
) -> Float[np.ndarray, 'Q Q']:
  """Squared number of ratings from the middle of one category to the other."""
  middle = np.cumsum(counts) - counts / 2
  return (middle[:, None] - middle[None, :]) ** 2


def krippendorff_alpha(
  ratings: Float[np.ndarray, 'R N'], distance: Distance = nominal_distance
) -> float:
  """Krippendorff's α of any number of raters.

  Args:
    ratings: Category of every item by every rater as a number whose order
      counts for `ordinal_distance`; NaN where a rater did not rate.
    distance: `nominal_distance` or `ordinal_distance`.

  Returns:
    1 for perfect agreement, 0 for chance, below 0 for worse; 1 if only one
    category was ever used.
  """
  ratings = np.asarray(ratings, np.float64)
  is_rated = ~np.isnan(ratings)
  ratings = ratings[:, is_rated.sum(axis=0) >= 2]
  if not ratings.size:
    raise ValueError('no item was rated twice: agreement is undefined')
  categories = np.unique(ratings[~np.isnan(ratings)])
  votes = (ratings[:, :, None] == categories).sum(axis=0).astype(np.float64)
  num_votes = votes.sum(axis=1)
  pairs = votes[:, :, None] * votes[:, None, :]
  pairs -= votes[:, :, None] * np.eye(len(categories))
  coincidences = (pairs / (num_votes - 1)[:, None, None]).sum(axis=0)
  counts = coincidences.sum(axis=1)
  squares = distance(counts)
  observed = (coincidences * squares).sum()
  expected = (np.outer(counts, counts) * squares).sum() / (counts.sum() - 1)
  return float(1 - observed / expected) if expected > 0 else 1.0


def accuracy_by_turn(
  sides: Shaped[np.ndarray, 'N'],
  turns: Shaped[np.ndarray, 'N'],
  correct: Shaped[np.ndarray, 'N'],
  clusters: Shaped[np.ndarray, 'N'] | None = None,
  seed: int = 0,
) -> list[SliceRow]:
  """Accuracy of every side and turn that occurs (figure 8).

  Args:
    sides: 'helpful' or 'harmless' of every comparison.
    turns: Exchange of the judged reply; 1 is the first.
    correct: Whether the model preferred the chosen reply; 0.5 for a tie.
    clusters: Dialogue of every comparison.
    seed: Of the resamples.

  Returns:
    Rows `{side, turn, count, accuracy: [low, mid, high]}`, sorted.
  """
  sides, turns = np.asarray(sides), np.asarray(turns)
  correct = np.asarray(correct, np.float64)
  index = bootstrap.cluster_index(clusters, len(correct))
  rows: list[SliceRow] = []
  for side in np.unique(sides):
    for turn in np.unique(turns[sides == side]):
      here = (sides == side) & (turns == turn)
      interval = bootstrap.mean_interval(correct[here], index[here], seed)
      rows.append(
        {
          'side': str(side),
          'turn': int(turn),
          'count': int(here.sum()),
          'accuracy': interval.tolist(),
        }
      )
  return rows
