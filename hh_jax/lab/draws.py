"""Random access draws: one counter-based stream for each item.

1. A stream is a Philox generator whose key is (seed, CRC32 of the purpose) and
   whose counter starts at the index of the item, so item i never depends on
   how many items are made or on the others.
2. All choices are made from its uniforms.
"""

from __future__ import annotations

import bisect
import itertools
import zlib
from collections.abc import Sequence
from typing import Generic, TypeVar

import numpy as np

T = TypeVar('T')

_MASK = (1 << 64) - 1


def stream(seed: int, purpose: str, index: int) -> np.random.Generator:
  """Returns the generator of item `index` made for `purpose`."""
  key = np.array([seed & _MASK, zlib.crc32(purpose.encode('utf-8'))], np.uint64)
  counter = np.array([0, index & _MASK, 0, 0], np.uint64)
  return np.random.Generator(np.random.Philox(key=key, counter=counter))


def below(rng: np.random.Generator, limit: int) -> int:
  """Draws an integer from 0 to `limit - 1`."""
  return int(rng.random() * limit)


def chance(rng: np.random.Generator, probability: float) -> bool:
  """Draws True with the given probability."""
  return rng.random() < probability


def pick(rng: np.random.Generator, items: Sequence[T]) -> T:
  """Draws one of the items, all alike."""
  return items[int(rng.random() * len(items))]


def sample(rng: np.random.Generator, items: Sequence[T], num: int) -> list[T]:
  """Draws `num` different positions of `items`, in random order."""
  pool = list(items)
  for i in range(num):
    j = i + int(rng.random() * (len(pool) - i))
    pool[i], pool[j] = pool[j], pool[i]
  return pool[:num]


class Table(Generic[T]):
  """A distribution over a few items; weights need not sum to one."""

  def __init__(self, weights: dict[T, float]):
    if not weights or min(weights.values()) < 0:
      raise ValueError(f'weights must be >= 0 and not empty: {weights}')
    self.items = tuple(weights)
    self.cumulative = list(itertools.accumulate(weights.values()))

  def draw(self, rng: np.random.Generator) -> T:
    """Draws one item."""
    point = rng.random() * self.cumulative[-1]
    return self.items[bisect.bisect_right(self.cumulative, point)]
