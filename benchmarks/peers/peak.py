"""The fastest matrix product this machine does, in operations a second."""

from __future__ import annotations

import numpy as np
import torch

from benchmarks import clock
from benchmarks.peers import setting

SIZE = 4096


def main() -> None:
  options = clock.arguments()
  torch.set_num_threads(setting.THREADS)
  dtype = getattr(torch, options.job['dtype'])
  x = torch.randn(SIZE, SIZE).to(dtype)
  y = torch.randn(SIZE, SIZE).to(dtype)
  samples = clock.seconds_of(lambda: x @ y, 5)
  clock.finish(
    options.out,
    units=2 * SIZE**3,
    samples=[float(np.min(samples))],
    checks={},
    settings=f'torch {torch.__version__} matmul of {SIZE}',
  )


if __name__ == '__main__':
  main()
