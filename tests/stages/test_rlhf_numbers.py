"""What a table of several RLHF runs compares."""

import numpy as np
import pytest

from hh_jax.config import DataConfig, RLHFConfig
from hh_jax.launch import collect
from hh_jax.report import sweep
from hh_jax.stages import rlhf
from tests.stages import rollouts

CONFIG = RLHFConfig(
  data=DataConfig(batch_size=8, row_length=128, test_fraction=0.3),
  sampling=rollouts.SAMPLING,
)
MAIN = [
  'gain.train_pm',
  'gain.held_out_pm',
  'gain.gold',
  'end.sqrt_kl',
  'end.response_length',
  'end.eot_rate',
]
RATES = ('refusal_rate_helpful', 'refusal_rate_harmless')


def point(kl=4.0):
  judged = ('train_pm', 'held_out_pm', 'gold', 'train_pm_helpful')
  replies = ('response_length', 'eot_rate', 'repetition', *RATES)
  return {
    'kl': kl,
    'k1': 4.1,
    'k3': 3.9,
    'entropy': 1.5,
    **{name: [0.1, 0.2, 0.3] for name in (*judged, *replies)},
    'gain': {name: [0.4, 0.5, 0.6] for name in judged},
  }


def rows(num=30):
  return [
    {
      'rollout/eot_rate': 0.75,
      'rollout/value_explained': 0.01 * step,
      'ppo/clip_fraction': 0.1,
      'ppo/first_ratio': 1.0,
    }
    for step in range(num)
  ]


def test_the_main_numbers_come_first_and_are_drawn():
  done = {'line': 'x', 'steps': 30, 'state_sha256': 'f'}
  done |= rlhf.numbers_at_end(CONFIG, point(), rows())
  done |= {'prompts': {'pool': 8, 'cut': 0}, 'seconds': 1.0}
  found = dict(collect.numbers(done))
  measured = [
    name
    for name, (low, mid, high) in found.items()
    if not all(isinstance(x, int) for x in (low, mid, high))
  ]
  assert measured[: sweep._MOST_DRAWN] == MAIN
  assert found['gain.gold'] == (0.4, 0.5, 0.6)
  assert found['end.sqrt_kl'][1] == 2.0
  assert found['end.unended_replies'][1] == 30 * 2
  assert {f'end.{name}' for name in RATES} <= set(found)


def test_numbers_of_training_are_means_of_its_end():
  found = rlhf.numbers_at_end(CONFIG, point(), rows())['end']
  late = [0.01 * step for step in range(30)][-rlhf.LATE :]
  assert found['value_explained'] == pytest.approx(np.mean(late))
  assert found['clip_fraction'] == pytest.approx(0.1)


def test_what_was_not_measured_is_left_out():
  last = point(kl=-1e-9)
  for name in ('held_out_pm', 'gold'):
    del last['gain'][name]
  del last['refusal_rate_harmless']
  found = rlhf.numbers_at_end(CONFIG, last, rows(3))
  assert list(found['gain']) == ['train_pm']
  assert found['end']['sqrt_kl'] == 0.0
  assert 'refusal_rate_harmless' not in found['end']
