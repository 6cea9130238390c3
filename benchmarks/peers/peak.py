"""The fastest matrix product this machine does, in operations a second."""

from __future__ import annotations

import numpy as np
import torch

from benchmarks import clock
from benchmarks.peers import setting

SIZES = (4096,)


def main() -> None:
  options = clock.arguments()
  torch.set_num_threads(setting.THREADS)
  dtype = getattr(torch, options.job['dtype'])
  sizes = options.job.get('sizes', SIZES)
  setting.finish(
    options.out,
    units=max(fastest(size, dtype) for size in sizes),
    samples=[1.0],
    checks={},
    settings=f'torch {torch.__version__} matmul of {sizes}',
  )


def fastest(size: int, dtype: torch.dtype) -> float:
  x = torch.randn(size, size, device=setting.DEVICE).to(dtype)
  y = torch.randn(size, size, device=setting.DEVICE).to(dtype)

  def run() -> None:
    x @ y
    setting.synchronise()

  return 2 * size**3 / float(np.min(clock.seconds_of(run, 5)))


if __name__ == '__main__':
  main()
