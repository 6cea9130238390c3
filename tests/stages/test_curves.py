"""Learning curves of preference models: which steps, and what is kept."""

import numpy as np
import pytest

from hh_jax.stages import curves, preference


def test_points_are_even_in_the_logarithm_and_end_at_the_end():
  steps = sorted(preference.curve_steps(1000, 8))
  assert steps[-1] == 1000
  assert steps[0] == pytest.approx(1000 / preference.CURVE_SPAN, abs=1)
  ratios = np.diff(np.log(steps))
  assert ratios.max() - ratios.min() < 0.06


@pytest.mark.parametrize('num_steps', [1, 2, 3])
def test_few_steps_make_fewer_points(num_steps):
  steps = preference.curve_steps(num_steps, 8)
  assert num_steps in steps
  assert steps <= set(range(1, num_steps + 1))
  assert preference.curve_steps(num_steps, 0) == set()


def test_points_are_read_back_in_order_and_a_repeat_replaces(tmp_path):
  scores = np.arange(6, dtype=np.float32).reshape(3, 2)
  for seen in (64, 8, 64):
    curves.write_point(tmp_path, seen, scores + seen)
  found = curves.read_points(tmp_path)
  assert list(found) == [8, 64]
  np.testing.assert_array_equal(found[64], scores + 64)
  assert len(list((tmp_path / curves.POINTS).iterdir())) == 2
