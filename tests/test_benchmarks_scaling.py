"""The scaling command: exponents, and every kind at toy size."""

import json

import numpy as np
import pytest

from benchmarks import scaling


def test_exponents_of_powers():
  sizes = np.array([2, 8, 32])
  np.testing.assert_allclose(scaling.exponent(sizes, 3 * sizes**1.5), 1.5)


def test_every_point_is_measured_once():
  grid = scaling.Grid(('a', 'b'), (1, 2, 4), (32, 64, 128))
  assert [len(points) for points in grid.sweeps().values()] == [3, 3, 2]
  assert len(grid.points('a')) == 5
  assert grid.points('b') == [scaling.Point('b', 2, 64)]


def row(size, batch, length, seconds):
  return {
    'kind': 'LM step',
    'size': size,
    'sequences': batch,
    'tokens': length,
    'flops': 1e6 * batch * length * (1 if size == 'a' else 10),
    'seconds': seconds,
  }


def test_sweeps_are_fitted_and_held_against_their_bounds():
  grid = scaling.Grid(('a', 'b'), (1, 2), (32, 64))
  found = scaling.fits(
    [
      row('a', 2, 64, 1.0),
      row('a', 1, 64, 0.5),
      row('a', 2, 32, 0.25),
      row('b', 2, 64, 5.0),
    ],
    grid,
  )
  fitted = {each['sweep']: (each['exponent'], each['met']) for each in found}
  np.testing.assert_allclose(fitted['batch'][0], 1)
  np.testing.assert_allclose(fitted['length'][0], 2)
  np.testing.assert_allclose(fitted['size'][0], np.log10(5))
  assert [met for _, met in fitted.values()] == [True, False, True]


@pytest.mark.slow
def test_every_kind_at_toy_size(tmp_path):
  path = tmp_path / 'scaling.json'
  arguments = [
    '--sizes=nano0',
    '--batches=1,2',
    '--lengths=32',
    '--vocab=300',
    f'--record={path}',
  ]
  scaling.main(arguments)
  values = json.loads(path.read_text())['values']
  points = [each for each in values if 'seconds' in each]
  assert len(points) == 3 * 2
  assert all(each['tokens_per_second'] > 0 for each in points)
  assert all(each['gflops_per_second'] > 0 for each in points)
  fitted = [each['kind'] for each in values[len(points) :]]
  assert fitted == list(scaling.NAMES.values())
