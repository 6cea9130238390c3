"""Helpful against harmless: what the mixture does to either accuracy.

Figures 19 and 26: harmless comparisons from none to all, the total fixed.
Figure 27: λ on the loss of harmless comparisons of the mixture.

Reference: Bai et al. 2022, section 5.1.
"""

from __future__ import annotations

import pathlib
from collections.abc import Sequence
from typing import Any

from hh_jax.config import MixtureConfig
from hh_jax.data.comparisons import SIDES
from hh_jax.stages import held_out, lineage
from hh_jax.stages.studies import pm_targets, scaling
from hh_jax.stats import seeds
from hh_jax.stats.seeds import Estimate

Measured = tuple[dict[str, Any], dict[str, Estimate]]  # a model, by side

MEAN = 'mean'  # of both sides' accuracies


def fig19(config: MixtureConfig, workdir: pathlib.Path) -> dict[str, Any]:
  """Accuracy on either side against the share of harmless comparisons.

  Normalised accuracies are divided by the best of the same size on the same
  side [open].
  """
  measured = measure(config, workdir)
  values = {'by_fraction': normalised(as_rows(measured))}
  if not pm_targets.has_truth(config):
    return values
  largest = {
    row['fraction']: estimates
    for row, estimates in measured
    if row['size'] == config.sizes[-1]
  }
  return values | {'targets': pm_targets.of_mixtures(largest)}


def fig26(config: MixtureConfig, workdir: pathlib.Path) -> dict[str, Any]:
  """The mean of both accuracies, and how much of it the mixture decides."""
  measured = measure(config, workdir)
  rows = normalised(as_rows(measured))
  values = {
    'by_fraction': [row for row in rows if row['side'] == MEAN],
    'flatness': [flatness(measured, size) for size in config.sizes],
  }
  if not pm_targets.has_truth(config) or len(config.sizes) < 2:
    return values
  ends = (config.sizes[0], config.sizes[-1])
  lost = [lost_at_ends(measured, size) for size in ends]
  return values | {'targets': pm_targets.of_flatness(*lost)}


def fig27(config: MixtureConfig, workdir: pathlib.Path) -> dict[str, Any]:
  """Accuracies against λ, the weight of harmless comparisons."""
  total = config.num_comparisons
  _require(config, workdir, [{'num_comparisons': total}])
  measured = []
  for weight in config.weights:
    found = scaling.models(config, workdir, total, harmless_weight=weight)
    for model in found:
      row = {**model.row(), 'weight': weight}
      measured.append((row, accuracies(model.scored())))
  return {'by_weight': as_rows(measured)}


def measure(config: MixtureConfig, workdir: pathlib.Path) -> list[Measured]:
  """The models of every share and size with their accuracies."""
  total = config.num_comparisons
  wanted = [
    {'harmless_fraction': fraction, 'num_comparisons': total}
    for fraction in config.fractions
  ]
  _require(config, workdir, wanted)
  measured = []
  for fraction in config.fractions:
    found = scaling.models(config, workdir, total, harmless_fraction=fraction)
    for model in found:
      row = {**model.row(), 'fraction': fraction}
      measured.append((row, accuracies(model.scored())))
  return measured


def _require(
  config: MixtureConfig,
  workdir: pathlib.Path,
  wanted: Sequence[dict[str, Any]],
) -> None:
  """Raises ValueError for a mixture that cannot be drawn, before training."""
  for line in lineage.of(config, workdir):
    if line.size == config.sizes[0]:
      for changes in wanted:
        scaling.require_comparisons(line, changes)


def accuracies(scored: Sequence[held_out.Scored]) -> dict[str, Estimate]:
  """The accuracy on each side and the mean of both."""
  found = {side: held_out.accuracy(scored, side) for side in SIDES}
  return {**found, MEAN: seeds.average([*found.values()])}


def as_rows(measured: Sequence[Measured]) -> scaling.Rows:
  """A row for each model and side, and for the mean of the sides."""
  return [
    {**row, 'side': side, 'accuracy': estimate.interval()}
    for row, estimates in measured
    for side, estimate in estimates.items()
  ]


def normalised(rows: scaling.Rows) -> scaling.Rows:
  """Adds accuracies relative to the best of their size and side."""
  best: dict[tuple[str, str], float] = {}
  for row in rows:
    key = row['size'], row['side']
    best[key] = max(best.get(key, 0.0), row['accuracy'][1])
  return [
    {
      **row,
      'normalised': [
        value / best[row['size'], row['side']] for value in row['accuracy']
      ],
    }
    for row in rows
  ]


def flatness(measured: Sequence[Measured], size: str) -> dict[str, Any]:
  """How much of the mean accuracy lopsided mixtures of a size lose.

  That of the mixture nearest to even less the mean of the two outermost which
  hold some of either side. A range, being a maximum, would grow with noise.
  """
  row: dict[str, Any] = {'size': size, 'even': None, 'lost': None}
  lost = lost_at_ends(measured, size)
  if lost is None:
    return row
  even = min(_inner(measured, size), key=lambda fraction: abs(fraction - 0.5))
  return row | {'even': even, 'lost': lost.interval()}


def lost_at_ends(measured: Sequence[Measured], size: str) -> Estimate | None:
  """As `flatness`; None with fewer than three mixtures of both sides."""
  inner = _inner(measured, size)
  if len(inner) < 3:
    return None
  even = min(inner, key=lambda fraction: abs(fraction - 0.5))
  ends = seeds.average([inner[min(inner)], inner[max(inner)]])
  return inner[even] - ends


def _inner(measured: Sequence[Measured], size: str) -> dict[float, Estimate]:
  """Mean accuracies of a size's mixtures that hold some of either side."""
  return {
    row['fraction']: estimates[MEAN]
    for row, estimates in measured
    if row['size'] == size and 0 < row['fraction'] < 1
  }
