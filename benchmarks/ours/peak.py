"""The fastest matrix product of our side, in operations a second."""

from __future__ import annotations

import jax
import numpy as np

from benchmarks import clock
from hh_jax.ops import linear

SIZES = (2048, 4096)


def main() -> None:
  options = clock.arguments()
  dtype = options.job['dtype']
  best = max(fastest(size, dtype) for size in SIZES)
  clock.finish(
    options.out, units=best, samples=[1.0], checks={}, settings='jax matmul'
  )


def fastest(size: int, dtype: str) -> float:
  x = jax.random.normal(jax.random.key(0), (size, size)).astype(dtype)
  product = jax.jit(lambda x: linear.matmul(x, x, compute_dtype=dtype))
  samples = clock.seconds_of(lambda: product(x).block_until_ready(), 5)
  return 2 * size**3 / float(np.min(samples))


if __name__ == '__main__':
  main()
