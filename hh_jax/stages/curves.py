"""Points of a preference model's learning curve: test scores in the epoch.

`points/00001600.npy` in a run's folder holds the scores of (chosen, rejected)
of its test comparisons, [N, 2] float32, after 1,600 training comparisons. A
point is a function of the state, so that resuming repeats it.
"""

from __future__ import annotations

import pathlib

import numpy as np

POINTS = 'points'


def write_point(
  workdir: pathlib.Path, num_seen: int, scores: np.ndarray
) -> None:
  """Writes the scores after a number of training comparisons."""
  folder = workdir / POINTS
  folder.mkdir(exist_ok=True)
  write_array(folder / f'{num_seen:08d}.npy', scores)


def read_points(workdir: pathlib.Path) -> dict[int, np.ndarray]:
  """Returns the scores by number of training comparisons, ascending."""
  return {
    int(path.stem): np.load(path)
    for path in sorted((workdir / POINTS).glob('[0-9]*.npy'))
  }


def write_array(path: pathlib.Path, array: np.ndarray) -> None:
  """Replaces a file so that readers see the old or the new one, whole."""
  partial = path.with_name(f'partial-{path.name}')
  np.save(partial, array)
  partial.replace(path)
