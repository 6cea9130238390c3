"""Which examples are in batch t: a function of (seed, stage, t) alone.

1. Every epoch has its own permutation, drawn by a Philox generator that is
   keyed by (seed, CRC32 of the stage, epoch): no state, no shuffle buffer.
2. Batch t takes the next `batch_size` ids of its epoch's permutation. The last
   batch of an epoch is short, and is masked by whoever packs it.
"""

from __future__ import annotations

import functools
import zlib
from collections.abc import Sequence

import numpy as np


def generator(seed: int, purpose: str, index: int = 0) -> np.random.Generator:
  """Host random numbers for one purpose, e.g. 'pm/order', and one index."""
  if seed < 0 or index < 0:
    raise ValueError(f'seed={seed}, index={index}: both must be >= 0')
  words = np.random.SeedSequence((seed, zlib.crc32(purpose.encode()), index))
  return np.random.Generator(np.random.Philox(words))


@functools.lru_cache(maxsize=8)
def _permutation(seed: int, stage: str, epoch: int, n: int) -> np.ndarray:
  found = generator(seed, f'{stage}/order', epoch).permutation(n)
  found.setflags(write=False)
  return found


def permutation(seed: int, stage: str, epoch: int, n: int) -> np.ndarray:
  """Ids 0..n-1 in the order of an epoch, [n] int64, read-only."""
  if n < 0:
    raise ValueError(f'n={n} is no number of examples')
  return _permutation(seed, stage, epoch, n)


def num_batches(n: int, batch_size: int) -> int:
  """Batches of an epoch, the last one perhaps short."""
  if batch_size <= 0:
    raise ValueError(f'batch_size={batch_size} must be positive')
  return -(-n // batch_size)


def _slice(order: np.ndarray, t: int, batch_size: int) -> np.ndarray:
  if not len(order):
    raise ValueError('there are no examples to make batches of')
  start = t % num_batches(len(order), batch_size) * batch_size
  return order[start : start + batch_size]


def batch_ids(
  seed: int, stage: str, t: int, n: int, batch_size: int
) -> np.ndarray:
  """Ids of the examples in batch t, [<= batch_size] int64."""
  if t < 0:
    raise ValueError(f't={t} is not a batch; count from 0')
  epoch = t // max(1, num_batches(n, batch_size))
  return _slice(permutation(seed, stage, epoch, n), t, batch_size)


@functools.lru_cache(maxsize=8)
def _grouped(
  seed: int, stage: str, epoch: int, groups: tuple[int, ...]
) -> np.ndarray:
  values, inverse = np.unique(np.asarray(groups), return_inverse=True)
  rank = np.argsort(permutation(seed, stage, epoch, len(values)))
  found = np.argsort(rank[inverse], kind='stable')
  found.setflags(write=False)
  return found


def grouped_batch_ids(
  seed: int, stage: str, t: int, groups: Sequence[int], batch_size: int
) -> np.ndarray:
  """Like `batch_ids`, with members of a group next to each other.

  Args:
    seed: Seed of the run.
    stage: Name of the stage.
    t: Batch, from 0.
    groups: Group of each example, e.g. its conversation.
    batch_size: Examples of a batch.
  """
  if t < 0:
    raise ValueError(f't={t} is not a batch; count from 0')
  epoch = t // max(1, num_batches(len(groups), batch_size))
  return _slice(_grouped(seed, stage, epoch, tuple(groups)), t, batch_size)
