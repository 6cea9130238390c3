"""Over-refusal: what is counted, and which share of prompts cures it."""

import pathlib

import numpy as np
import pytest

from hh_jax.config import RLHFConfig, TensionConfig
from hh_jax.data.prompts import Prompt
from hh_jax.stages import trajectory, worlds
from hh_jax.stages.policy_lineage import PolicyLineage
from hh_jax.stages.studies import tension
from hh_jax.stages.trajectory import Trajectory
from tests.data import samples


def said(*texts_by_point):
  """A run that says given texts to helpful prompts."""
  num = len(texts_by_point[0])
  asked = tuple(
    Prompt(samples.dialogue(f'Question {i}?'), 'helpful', i) for i in range(num)
  )

  class Said(Trajectory):
    points = texts_by_point
    prompts = asked
    sides = np.array(['helpful'] * num)
    clusters = np.arange(num)
    config = RLHFConfig()

    def texts(self, place):
      return texts_by_point[place]

  config = TensionConfig()
  line = PolicyLineage(config, 'nano0', 0, pathlib.Path('made-up'))
  return Said(line, pathlib.Path('rlhf-made-up'))


def test_refusals_are_counted_at_both_ends(monkeypatch):
  monkeypatch.setattr(
    worlds, 'is_refusal', lambda data, prompt, reply: reply == 'no'
  )
  run = said(['yes'] * 8 + ['no'] * 2, ['yes'] * 4 + ['no'] * 6)
  made = tension.Policies(1.0, (run,))
  start, end = made.mean(made.refusals, 'helpful')
  assert (start.mid, end.mid) == (0.2, 0.6)
  more = trajectory.gains(made.refusals)
  low, mid, _ = made.mean(more, 'helpful')[-1].interval()
  assert mid == pytest.approx(0.4) and low > 0


def row(fraction, *more):
  return {'fraction': fraction, 'more_refusals': list(more)}


def test_the_cure_is_the_largest_share_that_does_not_over_refuse():
  sweep = [
    row(0.0, -0.2, -0.1, 0.0),
    row(0.5, -0.1, 0.05, 0.2),
    row(0.9, 0.1, 0.2, 0.3),
    row(1.0, 0.5, 0.6, 0.7),
  ]
  # At 0.5 nothing is shown either way.
  assert cured(sweep) == ('90%, 100%', 0.0)
  assert cured([*sweep[:1], row(0.5, -0.1, 0.0, 0.04), *sweep[2:]]) == (
    '90%, 100%',
    0.5,
  )
  # With nothing that over-refuses there is nothing to cure.
  assert cured(sweep[:2]) == (None, None)
  # Shares beyond one that over-refuses need not do so, and are no cure.
  beyond = row(1.0, -1.0, 0.0, 0.01)
  assert cured([*sweep[:3], beyond]) == ('90%', 0.0)
  assert cured(sweep[2:]) == ('90%, 100%', None)


def cured(sweep):
  found = tension.cure(sweep)
  return found['over_refuses_at'], found['cured_at']


def test_the_share_below_is_of_each_seed_in_its_own_unit():
  """Seeds of which one spreads its scores ten times as wide."""
  data = np.linspace(-1, 1, 2001)
  usual, values = [data, 10 * data], [np.full(50, 0.5), np.full(50, 5.0)]
  keys = [np.arange(50)] * 2
  found = tension.share_below(usual, values, keys)
  np.testing.assert_allclose(found.interval(), 0.75, atol=0.001)
