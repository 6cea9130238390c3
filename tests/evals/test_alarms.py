import numpy as np
import pytest

from hh_jax.evals import alarms

LONGEST = 64
NUM = 30


def clean_rows(seed, num=NUM):
  """Metrics of a run in which everything goes as it should, with noise."""
  rng = np.random.default_rng(seed)
  done = np.arange(num) / num
  noise = rng.lognormal(0, 0.15, (num, 5))
  curves = {
    'rollout/kl_k1': 25 * done * noise[:, 0] + rng.normal(0, 0.2, num),
    'ppo/value_loss': (0.02 + 2.4 * np.exp(-20 * done)) * noise[:, 1],
    'ppo/entropy': (4 - 3 * done) * noise[:, 2],
    'rollout/length': (20 + 10 * done) * noise[:, 3],
    'rollout/eot_rate': np.clip(0.95 * noise[:, 4], 0.6, 1),
  }
  return [
    {'step': t + 1, **{name: float(curve[t]) for name, curve in curves.items()}}
    for t in range(num)
  ]


@pytest.mark.parametrize('seed', range(20))
def test_a_clean_run_is_silent(seed):
  assert alarms.find(clean_rows(seed), LONGEST) == []


FAULTS = {
  'KL': ('rollout/kl_k1', 120.0, 'optimizer.lr_multiple'),
  'value': ('ppo/value_loss', 500.0, 'value_lr_multiple'),
  'entropy': ('ppo/entropy', 0.01, 'samples/'),
  'length': ('rollout/length', 63.0, 'preference model'),
  'EOS rate': ('rollout/eot_rate', 0.1, 'missing_eot_score'),
}


@pytest.mark.parametrize('seed', range(4))
@pytest.mark.parametrize('name', FAULTS)
def test_a_planted_fault_fires_once_and_says_what_to_look_at(name, seed):
  metric, value, advice = FAULTS[name]
  rows = clean_rows(seed)
  for row in rows[15:]:
    row[metric] = value
  (alarm,) = alarms.find(rows, LONGEST)
  assert alarm.name == name
  assert 16 <= alarm.step <= 15 + alarms.WINDOW
  assert metric in alarm.message
  assert advice in alarm.message


@pytest.mark.parametrize(
  ('metric', 'value', 'name'),
  [('rollout/kl_k1', -3.0, 'KL'), ('rollout/length', 1.0, 'length')],
)
def test_the_other_side_of_a_rule_fires_too(metric, value, name):
  rows = clean_rows(0)
  for row in rows[15:]:
    row[metric] = value
  assert [alarm.name for alarm in alarms.find(rows, LONGEST)] == [name]


def test_one_odd_iteration_is_no_alarm():
  rows = clean_rows(0)
  rows[10]['rollout/kl_k1'] = 1e6
  assert alarms.find(rows, LONGEST) == []


def test_an_alarm_that_went_quiet_can_fire_again():
  rows = clean_rows(0, 60)
  for t in (*range(12, 24), *range(40, 52)):
    rows[t]['ppo/entropy'] = 0.0
  found = alarms.find(rows, LONGEST)
  assert [alarm.name for alarm in found] == ['entropy', 'entropy']
  assert found[0].step < 24 < 40 < found[1].step


def test_replies_that_always_filled_the_room_are_not_news():
  rows = clean_rows(0)
  for row in rows:
    row['rollout/length'] = 63.5
  assert alarms.find(rows, LONGEST) == []


def test_replies_that_never_ended_are_said():
  rows = clean_rows(0)
  for row in rows:
    row['rollout/eot_rate'] = 0.01
  assert [alarm.name for alarm in alarms.find(rows, LONGEST)] == ['EOS rate']


@pytest.mark.parametrize('bad', [np.nan, np.inf])
def test_numbers_that_are_not_finite_are_left_to_bad_steps(bad):
  rows = clean_rows(0)
  for row in rows[:3] + rows[10:20]:
    row['ppo/value_loss'] = bad
  assert alarms.find(rows, LONGEST) == []
  for row in rows[21:]:
    row['ppo/value_loss'] = 500.0
  assert [alarm.name for alarm in alarms.find(rows, LONGEST)] == ['value']
