"""Random keys named by what they are for.

1. A key is a function of (seed, stage, purpose, step, example id) alone, so a
   draw does not depend on batch layout, device count or what ran before.
2. Strings enter by their CRC32. The generator is threefry, whatever the
   process-wide default is.
"""

from __future__ import annotations

import zlib

import jax


def fold(
  seed: int,
  stage: str,
  purpose: str,
  step: int | jax.Array | None = None,
  example_id: int | jax.Array | None = None,
) -> jax.Array:
  """Returns the threefry key of one purpose.

  Folding an example id later, `jax.random.fold_in(fold(..., step), id)`, gives
  the same key as passing it here.

  Args:
    seed: Of the run, in [0, 2**32).
    stage: Such as 'rlhf'.
    purpose: Such as 'sample'; one purpose always gives the same arguments, so
      that a step is never taken for an example id.
    step: Of the run, if the draw changes with it.
    example_id: Global id, if every example has its own draw.
  """
  if not 0 <= seed < 2**32:
    raise ValueError(f'seed={seed} is outside [0, 2**32)')
  key = jax.random.key(seed, impl='threefry2x32')
  key = jax.random.fold_in(key, zlib.crc32(stage.encode()))
  key = jax.random.fold_in(key, zlib.crc32(purpose.encode()))
  for number in (step, example_id):
    if number is not None:
      key = jax.random.fold_in(key, number)
  return key
