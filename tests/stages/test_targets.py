"""Targets: met, missed, or neither; nothing vanishes."""

import numpy as np
import pytest

from hh_jax.stages import targets
from hh_jax.stats import seeds


@pytest.mark.parametrize(
  'value, met',
  [
    ([0.81, 0.9, 0.95], True),
    ([0.7, 0.75, 0.79], False),
    ([0.7, 0.9, 0.95], targets.NOT_SHOWN),  # its middle alone would pass
    ([0.7, 0.75, 0.9], targets.NOT_SHOWN),
    (0.9, True),
    (0.7, False),
    (None, False),
  ],
)
def test_the_whole_interval_decides(value, met):
  row = targets.at_least('share', value, 0.8)
  assert row['met'] == met and row['value'] == value
  assert (row['name'], row['target']) == ('share', '>= 0.8')


def test_limits_are_on_either_side_and_may_belong():
  assert targets.at_most('x', [0.0, 0.1, 0.2], 0.2)['met'] is True
  assert targets.below('x', [0.0, 0.1, 0.2], 0.2)['met'] == targets.NOT_SHOWN
  assert targets.above('x', [0.2, 0.3, 0.4], 0.2)['met'] == targets.NOT_SHOWN
  assert targets.at_least('x', [0.2, 0.3, 0.4], 0.2)['met'] is True


def test_an_estimate_is_held_with_its_interval():
  noise = np.linspace(-1, 1, 201)
  row = targets.above('gain', seeds.over_seeds([0.5], 0.5 + noise[None]), 0.0)
  assert row['value'] == [-0.45, 0.5, 1.45]
  assert row['met'] == targets.NOT_SHOWN


def test_what_is_not_to_fall_is_missed_where_a_fall_is_shown():
  held = [
    targets.not_below('step', value, 0.0)['met']
    for value in ([-0.3, -0.2, -0.1], [-0.3, -0.1, 0.1], [0.1, 0.2, 0.3], None)
  ]
  assert held == [False, True, True, False]
