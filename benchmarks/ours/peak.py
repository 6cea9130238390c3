"""The fastest matrix product of our side, in operations a second.

Where the job asks for it, also how fast memory is copied.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import clock
from benchmarks.ours import setting
from hh_jax.ops import linear

SIZES = (2048, 4096)


def main() -> None:
  options = clock.arguments()
  dtype = options.job['dtype']
  best = max(fastest(size, dtype) for size in options.job.get('sizes', SIZES))
  checks = {}
  if copied := options.job.get('copied', 0):
    checks['copy'] = [copy_speed(copied)]
  setting.finish(
    options.out, units=best, samples=[1.0], checks=checks, settings='jax matmul'
  )


def copy_speed(size: int) -> float:
  """Bytes a second, read and written, of adding one to `size` floats."""
  x = jnp.zeros(size, jnp.float32)
  add = jax.jit(lambda x: x + 1)
  samples = clock.seconds_of(lambda: add(x).block_until_ready(), 5)
  return 2 * x.nbytes / float(np.min(samples))


def fastest(size: int, dtype: str) -> float:
  x = jax.random.normal(jax.random.key(0), (size, size)).astype(dtype)
  product = jax.jit(lambda x: linear.matmul(x, x, compute_dtype=dtype))
  samples = clock.seconds_of(lambda: product(x).block_until_ready(), 5)
  return 2 * size**3 / float(np.min(samples))


if __name__ == '__main__':
  main()
