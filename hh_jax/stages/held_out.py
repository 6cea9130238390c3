"""Held-out comparisons of a figure, and what preference models score them.

1. The test part is one of seed and data, the same for every model of a figure.
2. Scores are kept beside the models, by model and by what was scored: a figure
   that is drawn again scores nothing again.
3. Numbers are means over seeds, with intervals over seeds and first turns.

Reference: Bai et al. 2022, sections 2.3, 3.1 and B.2.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import pathlib
from collections.abc import Sequence

import numpy as np

from hh_jax.config import DataConfig
from hh_jax.data import mixtures
from hh_jax.data.comparisons import SIDES, Comparison
from hh_jax.data.dialogue import conversation_keys
from hh_jax.evals import preference_accuracy
from hh_jax.stages import curves, inputs, loading, preference, worlds
from hh_jax.stages.lineage import Lineage
from hh_jax.stats import seeds as seeds_lib

SCORES = 'scores'  # folder in the workdir
ALL = 'all'  # both sides


@functools.lru_cache(maxsize=32)  # of every seed, each some ten megabytes
def parts(
  data: DataConfig, seed: int
) -> tuple[tuple[Comparison, ...], tuple[Comparison, ...]]:
  """The training and the test part of a figure's comparisons."""
  found = worlds.comparisons(data, seed).comparisons
  train, test = worlds.split(found, data)
  mixtures.require_parts(train, test, data.test_fraction)
  return tuple(train), tuple(test)


def parts_of(
  line: Lineage, data: DataConfig | None = None
) -> tuple[tuple[Comparison, ...], tuple[Comparison, ...]]:
  """The parts of a lineage's comparisons, as its preference models see them."""
  data = data or line.config.pm.data
  return parts(inputs.place_data(line.config, data), line.seed)


@dataclasses.dataclass(frozen=True)
class Scored:
  """Comparisons and the scores of their replies by one model."""

  comparisons: tuple[Comparison, ...]
  scores: np.ndarray  # [N, 2] float32, chosen and rejected

  @functools.cached_property
  def correct(self) -> np.ndarray:
    """[N] float64, 1 where the chosen reply scores higher."""
    return preference_accuracy.is_correct(self.scores)

  @functools.cached_property
  def clusters(self) -> np.ndarray:
    """[N] int, key of the conversation of each comparison."""
    return conversation_keys([item.prompt for item in self.comparisons])

  @functools.cached_property
  def sides(self) -> np.ndarray:
    """[N] str."""
    return np.array([item.side for item in self.comparisons])

  def where(self, is_kept: np.ndarray) -> Scored:
    """Some of the comparisons."""
    kept = tuple(self.comparisons[i] for i in np.flatnonzero(is_kept))
    return Scored(kept, self.scores[is_kept])


def score(
  line: Lineage, pm: pathlib.Path, test: Sequence[Comparison] | None = None
) -> Scored:
  """Scores comparisons, by default those held out, with a trained model."""
  if test is None:
    held_out = parts_of(line)[1]
    test = mixtures.subset(held_out, line.config.num_test, line.seed)
  test = tuple(test)
  path = line.workdir / SCORES / f'{pm.name}-{_digest(test)}.npy'
  if not path.exists():
    model = loading.load_run(pm)
    found = preference.pair_scores(
      model.model, model.params, test, model.tokenizer, line.config.pm.data
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    curves.write_array(path, found)
  return Scored(test, np.load(path))


def _digest(test: Sequence[Comparison]) -> str:
  digest = hashlib.sha256()
  for item in test:
    texts = [turn.text for turn in item.prompt.turns]
    for text in (*texts, item.chosen, item.rejected):
      digest.update(text.encode() + b'\0')
  return digest.hexdigest()[:10]


def accuracy(scored: Sequence[Scored], side: str = ALL) -> seeds_lib.Estimate:
  """Accuracy on a side, over seeds and items.

  Args:
    scored: By one model of every seed.
    side: 'helpful', 'harmless' or `ALL`.
  """
  masks = [is_of(item, side) for item in scored]
  return seeds_lib.mean(
    [item.correct[mask] for item, mask in zip(scored, masks)],
    [item.clusters[mask] for item, mask in zip(scored, masks)],
  )


def is_of(scored: Scored, side: str) -> np.ndarray:
  """[N] bool, the comparisons of a side."""
  if side == ALL:
    return np.ones(len(scored.scores), bool)
  return scored.sides == side


def sides_of(scored: Sequence[Scored]) -> list[str]:
  """The sides that every seed has comparisons of, and `ALL`."""
  held = [
    side for side in SIDES if all(is_of(item, side).any() for item in scored)
  ]
  return [*held, ALL]


def accuracies(scored: Sequence[Scored]) -> dict[str, list[float]]:
  """[low, mid, high] of each side and of all."""
  return {side: accuracy(scored, side).interval() for side in sides_of(scored)}


def by_truth(line: Lineage, scored: Scored) -> Scored | None:
  """The same comparisons scored by gold; None where there is no truth."""
  if not worlds.has_gold(line.config.pm.data):
    return None
  return Scored(scored.comparisons, worlds.gold_of_pairs(scored.comparisons))
