"""Models, games and runs of the studies whose numbers are given."""

import dataclasses

import numpy as np

from hh_jax.stages.held_out import Scored
from hh_jax.stages.studies import scaling
from tests.stages import toys


def scored(num_helpful, num_harmless, helpful=0.75, harmless=0.6, seed=0):
  """Scores that are right with these chances."""
  rng = np.random.default_rng(seed)
  items = toys.comparisons(num_helpful, num_harmless)
  right = np.concatenate(
    [rng.random(num_helpful) < helpful, rng.random(num_harmless) < harmless]
  )
  gap = np.abs(rng.normal(size=len(items))) * np.where(right, 1, -1)
  scores = np.stack([gap, np.zeros_like(gap)], axis=1).astype(np.float32)
  return Scored(tuple(items), scores)


def opinions(seed, slope, num=600):
  """A seed's comparisons, right as often as a slope of confidence says."""
  rng = np.random.default_rng(seed)
  items = tuple(toys.comparisons(num, 0))
  gap = np.abs(rng.normal(0, 1.5, num))
  gap *= np.where(rng.random(num) < 1 / (1 + np.exp(-slope * gap)), 1, -1)
  return Scored(items, np.stack([gap, 0 * gap], axis=1).astype(np.float32))


@dataclasses.dataclass
class FakeModel:
  """A model of the scaling study whose scores are given."""

  size: str
  parts: list

  def scored(self):
    return self.parts

  def row(self):
    return {'size': self.size, 'params': 10, 'comparisons': 5}


def stand_in(monkeypatch, *models):
  monkeypatch.setattr(scaling, 'models', lambda *args, **kwargs: list(models))
