"""Which comparisons are trained on and tested on: parts, mixtures, weights.

Every choice is a function of a seed, so that the same one comes again.

Reference: Bai et al. 2022, section 5.1.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from hh_jax.data import order
from hh_jax.data.comparisons import SIDES, Comparison


def subset(
  comparisons: Sequence[Comparison], limit: int, seed: int
) -> list[Comparison]:
  """Returns at most `limit` comparisons, the same ones for the same seed."""
  ids = order.permutation(seed, 'subset', 0, len(comparisons))[:limit]
  return [comparisons[i] for i in sorted(ids)]


def set_weights(
  comparisons: Sequence[Comparison], harmless_weight: float
) -> list[Comparison]:
  """Multiplies each weight by its side's, λ if harmless (section 5.1.2)."""
  weights = {'helpful': 1.0, 'harmless': harmless_weight}
  return [
    dataclasses.replace(item, weight=item.weight * weights[item.side])
    for item in comparisons
  ]


def require_parts(
  train: Sequence[Comparison], test: Sequence[Comparison], test_fraction: float
) -> None:
  """Raises ValueError where a part that is asked for is empty.

  Args:
    train: Comparisons to train on.
    test: Comparisons to test on; may be empty if `test_fraction` is 0.
    test_fraction: Share of first human turns in the test part.
  """
  if not train:
    raise ValueError(
      f'the training part is empty: {len(test)} comparisons are in the test '
      f'part (test_fraction={test_fraction:g}); check the span and the data'
    )
  if test_fraction and not test:
    raise ValueError(
      f'the test part is empty; test_fraction={test_fraction:g} takes none of '
      f'{len(train)} comparisons: raise it, or set 0 to train without a test'
    )


def mix(
  comparisons: Sequence[Comparison],
  harmless_fraction: float,
  num_comparisons: int,
  seed: int,
) -> list[Comparison]:
  """Draws a mixture of the two sides without replacement (section 5.1.1).

  Args:
    comparisons: What there is.
    harmless_fraction: Share of the harmless side, or -1 for all as they come.
    num_comparisons: Total; 0 takes as many as the fraction allows.
    seed: Of the draw.

  Raises:
    ValueError: A side has fewer comparisons than the mixture asks for.
  """
  sides = {
    side: [item for item in comparisons if item.side == side] for side in SIDES
  }
  if harmless_fraction == -1:
    shares = {side: len(items) for side, items in sides.items()}
    total = num_comparisons or len(comparisons)
    fraction = shares['harmless'] / max(len(comparisons), 1)
  else:
    fraction = harmless_fraction
    limits = [
      len(sides[side]) / share
      for side, share in (('harmless', fraction), ('helpful', 1 - fraction))
      if share > 0
    ]
    total = num_comparisons or int(min(limits))
  wanted = {'harmless': round(total * fraction)}
  wanted['helpful'] = total - wanted['harmless']
  mixed: list[Comparison] = []
  for side, items in sides.items():
    if wanted[side] > len(items):
      raise ValueError(
        f'the mixture asks for {wanted[side]} {side} comparisons and there '
        f'are {len(items)}; lower num_comparisons={num_comparisons} or '
        f'change harmless_fraction={harmless_fraction}'
      )
    ids = order.permutation(seed, f'mix/{side}', 0, len(items))
    mixed.extend(items[i] for i in sorted(ids[: wanted[side]]))
  return mixed
