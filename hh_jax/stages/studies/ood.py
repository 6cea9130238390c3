"""Harmful prompts found by a network's activations.

Figure 22: simplified relative Mahalanobis by layer and size, and the scores.
Figure 23: outlier exposure against the number of harmful prompts shown.
Figure 39: both distances by layer and size.

Helpful training prompts are what is usual; helpful and harmful held-out prompts
are told apart. In the lab the harmful ones for exposure are of other families
than those tested.

Reference: Bai et al. 2022, section 5.4 and appendix B.9.
"""

from __future__ import annotations

import dataclasses
import functools
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from hh_jax.config import OODConfig
from hh_jax.data import order
from hh_jax.data import prompts as prompts_lib
from hh_jax.evals import ood
from hh_jax.stages import activations, inputs, lineage, loading, probes
from hh_jax.stages.lineage import Lineage
from hh_jax.stages.studies import pm_targets
from hh_jax.stages.studies.scaling import Rows
from hh_jax.stats import seeds

METHODS: dict[str, Callable[[ood.Detector, np.ndarray], np.ndarray]] = {
  'relative': ood.Detector.relative_mahalanobis,
  'mahalanobis': ood.Detector.mahalanobis,
}
NUM_RESAMPLES = 200
NUM_BINS = 30
SHALLOW = 6  # networks of so few layers use the last one, others the middle


@dataclasses.dataclass(frozen=True)
class Vectors:
  """Activations of one network, [L, N, D] each."""

  usual: np.ndarray  # helpful, training part
  helpful: np.ndarray  # test part
  harmful: np.ndarray  # test part
  shown: np.ndarray  # harmful, training part, for exposure
  conversations: dict[str, np.ndarray]  # key of each prompt's, by kind, [N]

  @property
  def num_layers(self) -> int:
    return len(self.usual)

  def areas(self, scores: Sequence[np.ndarray]) -> tuple[float, np.ndarray]:
    """The area under the curve, and that of resampled conversations.

    Args:
      scores: Of the helpful and of the harmful prompts.
    """
    helpful, harmful = scores
    draws = ood.auroc_draws(
      helpful,
      harmful,
      self.conversations['helpful'],
      self.conversations['harmful'],
      NUM_RESAMPLES,
    )
    return ood.auroc(helpful, harmful), draws

  def detector(self, layer: int) -> ood.Detector:
    return ood.Detector(self.usual[layer].astype(np.float64))


@functools.lru_cache(maxsize=64)
def vectors_of(config: OODConfig, line: Lineage) -> Vectors:
  """Reads the prompts of a lineage with its network."""
  folder = line.pretrained()
  if config.network == 'pm':
    folder = line.pm(line.pmp())
  run = loading.load_run(folder)
  data = inputs.place_data(config, config.pm.data)
  kinds = probes.prompts_by_kind(
    data, line.seed, config.num_usual, config.num_tested
  )
  found = {
    name: activations.of_prompts(
      run,
      [prompt.dialogue for prompt in prompts],
      config.pooling,
      data.longest_path,
    )
    for name, prompts in kinds.items()
  }
  conversations = {
    name: prompts_lib.conversation_keys(prompts)
    for name, prompts in kinds.items()
  }
  return Vectors(**found, conversations=conversations)


def fig22(config: OODConfig, workdir: pathlib.Path) -> dict[str, Any]:
  """Relative Mahalanobis by layer and size; scores at one layer.

  Once more with the other pooling, which the paper does not name.
  """
  lines = lineage.of(config, workdir)
  (other,) = set(activations.POOLINGS) - {config.pooling}
  pooled = dataclasses.replace(config, pooling=other)
  values = {
    'by_layer': by_layer(config, lines, ['relative']),
    'other_pooling': [
      {**row, 'pooling': other} for row in by_layer(pooled, lines, ['relative'])
    ],
    'scores': histogram(config, lineage.largest(config, workdir)),
  }
  if not pm_targets.has_truth(config):
    return values
  own = [line for line in lines if line.size == config.sizes[-1]]
  layer = one_layer(vectors_of(config, own[0]))
  area = area_of(config, own, layer, 'relative')
  return values | {'targets': pm_targets.of_detection(area)}


def fig39(config: OODConfig, workdir: pathlib.Path) -> dict[str, Any]:
  """Both distances by layer and size."""
  lines = lineage.of(config, workdir)
  return {'by_layer': by_layer(config, lines, list(METHODS))}


def fig23(config: OODConfig, workdir: pathlib.Path) -> dict[str, Any]:
  """Exposure to so many harmful prompts, by size."""
  rows = []
  lines = lineage.of(config, workdir)
  for size in config.sizes:
    own = [line for line in lines if line.size == size]
    by_shown = {}
    for count in config.exposures:
      estimate = seeds.over_seeds(
        *_stacked([exposure(config, line, count) for line in own])
      )
      row = _row(own[0], one_layer(vectors_of(config, own[0])))
      shown = min(count, vectors_of(config, own[0]).shown.shape[1])
      rows.append({**row, 'exposed': shown, 'auroc': estimate.interval()})
      by_shown[shown] = estimate
  values = {'by_exposed': rows}
  if not pm_targets.has_truth(config):
    return values
  # Sizes ascend: the last is the largest.
  return values | {'targets': pm_targets.of_exposure(by_shown)}


def by_layer(
  config: OODConfig, lines: Sequence[Lineage], methods: Sequence[str]
) -> Rows:
  """A row for each size, layer and method, over seeds and prompts."""
  rows = []
  for size in config.sizes:
    own = [line for line in lines if line.size == size]
    for layer in range(vectors_of(config, own[0]).num_layers):
      for method in methods:
        area = area_of(config, own, layer, method).interval()
        row = {**_row(own[0], layer), 'method': method}
        rows.append({**row, 'auroc': area})
  return rows


def area_of(
  config: OODConfig, own: Sequence[Lineage], layer: int, method: str
) -> seeds.Estimate:
  """The area under the curve at one layer of one size, over seeds."""
  found = [
    measured(vectors_of(config, line), layer, METHODS[method]) for line in own
  ]
  return seeds.over_seeds(*_stacked(found))


def measured(
  vectors: Vectors,
  layer: int,
  method: Callable[[ood.Detector, np.ndarray], np.ndarray],
) -> tuple[float, np.ndarray]:
  """The area under the curve, and that of resampled prompts."""
  detector = vectors.detector(layer)
  scores = [
    method(detector, found[layer].astype(np.float64))
    for found in (vectors.helpful, vectors.harmful)
  ]
  return vectors.areas(scores)


def exposure(
  config: OODConfig, line: Lineage, count: int
) -> tuple[float, np.ndarray]:
  """Mean over draws of the prompts that are shown."""
  vectors = vectors_of(config, line)
  layer = one_layer(vectors)
  detector = vectors.detector(layer)
  mids, draws = [], []
  for number in range(config.num_exposures):
    ids = order.generator(line.seed, 'ood/exposed', number).permutation(
      vectors.shown.shape[1]
    )[:count]
    scores = [
      detector.exposed(vectors.shown[layer][ids], found[layer])
      for found in (vectors.helpful, vectors.harmful)
    ]
    mid, drawn = vectors.areas(scores)
    mids.append(mid)
    draws.append(drawn)
  return float(np.mean(mids)), np.mean(draws, axis=0)


def histogram(config: OODConfig, line: Lineage) -> Rows:
  """Relative Mahalanobis of either kind at one layer, in bins."""
  vectors = vectors_of(config, line)
  layer = one_layer(vectors)
  detector = vectors.detector(layer)
  scores = {
    kind: detector.relative_mahalanobis(found[layer].astype(np.float64))
    for kind, found in (
      ('helpful', vectors.helpful),
      ('harmful', vectors.harmful),
    )
  }
  together = np.concatenate([*scores.values()])
  low, high = np.quantile(together, [0.005, 0.995])
  grid = np.linspace(low, high, NUM_BINS + 1)
  return [
    {
      **_row(line, layer),
      'seed': line.seed,
      'kind': kind,
      'score': float((grid[place] + grid[place + 1]) / 2),
      'share': float(share),
    }
    for kind, found in scores.items()
    for place, share in enumerate(np.histogram(found, grid)[0] / len(found))
  ]


def one_layer(vectors: Vectors) -> int:
  """The last of few layers, the middle of many [§5.4]."""
  if vectors.num_layers <= SHALLOW:
    return vectors.num_layers - 1
  return vectors.num_layers // 2 - 1


def _row(line: Lineage, layer: int) -> dict[str, Any]:
  return {
    'size': line.size,
    'params': line.model.num_block_params,
    'layer': layer + 1,
    'depth': (layer + 1) / line.model.num_layers,
  }


def _stacked(
  found: Sequence[tuple[float, np.ndarray]],
) -> tuple[list[float], np.ndarray]:
  return [mid for mid, _ in found], np.stack([draws for _, draws in found])
