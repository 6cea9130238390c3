"""How often steps run, and what they need, by the config alone."""

import pytest

from hh_jax.config import DataConfig, PMConfig, PMPConfig
from hh_jax.planning import describe, measure, steps


def data(num_examples=0, **own):
  return DataConfig(world='hh', batch_size=32, num_examples=num_examples, **own)


@pytest.mark.parametrize(
  ('config', 'updates'),
  [
    (PMConfig(data=data(1000, test_fraction=0.1)), 29),  # 900, the last short
    (PMConfig(data=data(1000, test_fraction=0.1, span_end=0.5)), 15),
    (PMConfig(data=data(1000), num_comparisons=320), 10),
    (PMConfig(data=data()), None),
    (PMPConfig(data=data(test_fraction=0.0), num_posts=80, binary=False), 10),
    (PMPConfig(data=data(test_fraction=0.0), num_posts=80, binary=True), 20),
    (PMPConfig(data=data(), num_posts=0), None),
  ],
)
def test_updates_of_the_one_epoch(config, updates):
  assert steps.updates_of(config) == updates


def test_what_is_not_known_has_no_price():
  plan = {'chip_hours': None, 'unpriced': ['num_posts=0 takes all there are']}
  told = describe.cost(plan, price=2.0)
  assert told == 'stage: chip-hours not known: num_posts=0 takes all there are'
  known = describe.cost({'chip_hours': 10.0, 'unpriced': []}, price=2.0)
  assert known == 'stage: 10.0 chip-hours, 20 at 2 each'


def test_a_step_that_does_not_fit_says_by_how_much_and_what_helps():
  step = steps.StageStep(
    name='decode',
    lower=lambda: pytest.fail('nothing is compiled'),
    held={},
    rows=8,
    context=64,
    tokens=8,
    flops=1.0,
    runs=1,
    smaller='lower sampling.slots',
  )
  row = {
    'step': 'decode',
    'rows': 8,
    'context': 64,
    'parameters': 1,
    'memory': {},
    'memory_total': 7 * 2**30,
    'memory_chip': 4 * 2**30,
    'warnings': [],
  }
  row |= measure._fit(step, row['memory_total'], row['memory_chip'])
  assert (
    'DOES NOT FIT, by 3.00 GiB; lower sampling.slots or take more chips'
    in describe.step(row)
  )
  assert row['unpriced'] == 'decode does not fit'
  assert measure._fit(step, 4 * 2**30, 4 * 2**30)['fits']
