import dataclasses
import json

import numpy as np
import pytest

from hh_jax.config import DataConfig, RLHFConfig
from hh_jax.data.prompts import Prompt
from hh_jax.evals import repetition
from hh_jax.stages import policy_points
from tests.data import samples
from tests.stages import rollouts, toys

CONFIG = RLHFConfig(
  data=DataConfig(batch_size=4, row_length=128, test_fraction=0.3),
  sampling=rollouts.SAMPLING,
  num_iterations=5,
  eval_every=2,
  eval_prompts=4,
)


@pytest.fixture
def points(tmp_path, monkeypatch):
  monkeypatch.setattr(policy_points, 'BATCH_SIZE', 4)
  judges = {'train_pm': toys.as_run(toys.pm_params(), 'pm')}
  reference = toys.as_run(toys.params(), 'distill')
  return policy_points.prepare(CONFIG, reference, judges, tmp_path)


@pytest.mark.slow
def test_the_reference_is_at_no_distance_from_itself(points):
  points.start(toys.params())
  (point,) = points.collect(0)
  assert point['step'] == 0
  assert abs(point['kl']) < 1e-6
  assert abs(point['k1']) < 1e-6
  assert abs(point['k3']) < 1e-6


def test_exact_and_estimated_divergence_of_another_policy(points):
  point = points.measure(toys.params(7), 2)
  replies = points._sample(toys.params(7), 2)
  exact, k1, k3 = [], [], []
  for e, prompt in enumerate(replies.prompts):
    count = replies.num_tokens[e]
    reply = replies.tokens[e, :count]
    whole = np.concatenate([prompt, reply])
    own, other = (
      toys.plain_log_probs(whole, params, 0.8)[len(prompt) - 1 : -1]
      for params in (toys.params(7), toys.params())
    )
    exact.append((np.exp(own) * (own - other)).sum())
    ratio = (own - other)[np.arange(count), reply]
    k1.append(ratio.sum())
    k3.append((np.exp(-ratio) - 1 + ratio).sum())
  assert np.mean(exact) > 0.1
  np.testing.assert_allclose(point['kl'], np.mean(exact), rtol=1e-4)
  np.testing.assert_allclose(point['k1'], np.mean(k1), rtol=1e-3)
  np.testing.assert_allclose(point['k3'], np.mean(k3), rtol=1e-3)
  assert point['samples'] == 2 * CONFIG.data.batch_size
  assert set(point) > {'train_pm', 'gold_helpfulness', 'gold_harmlessness'}
  np.testing.assert_allclose(np.mean(point['by_prompt']['kl']), point['kl'])
  repeated = [repetition.rate(ids) for ids in replies.contents()]
  np.testing.assert_allclose(point['repetition'][1], np.mean(repeated))
  np.testing.assert_allclose(
    point['response_length'][1], replies.num_tokens.mean()
  )
  assert {'refusal_rate_helpful', 'refusal_rate_harmless'} <= set(point)
  saved = policy_points.read_replies(points.folder, 2)
  for kept, sampled in zip(saved, replies.contents(), strict=True):
    np.testing.assert_array_equal(kept, sampled)


def test_replies_are_kept_without_their_end(tmp_path):
  eot = toys.TOKENIZER.eot
  made = [toys.ids(5, 6, eot), toys.ids(7), toys.ids(eot)]
  table = policy_points.as_table(
    rollouts.made([toys.ids(3)] * 3, made, columns=3)
  )
  absent = policy_points.ABSENT
  expected = [[5, 6, absent], [7, absent, absent], [absent] * 3]
  np.testing.assert_array_equal(table, expected)
  np.save(tmp_path / '00000004.npy', table)
  kept = policy_points.read_replies(tmp_path, 4)
  assert [list(ids) for ids in kept] == [[5, 6], [7], []]


def test_points_are_due_every_few_steps_and_at_the_end(points, monkeypatch):
  measured = []

  def measure(self, params, step):
    measured.append(step)
    return {'kl': 4.0, 'train_pm': [0.0, 1.0, 2.0]}

  monkeypatch.setattr(policy_points.PolicyPoints, 'measure', measure)
  logged = [points.at({}, step) for step in range(1, 6)]
  assert measured == [2, 4, 5]
  assert logged[0] is None and logged[2] is None
  assert logged[1] == {'eval/sqrt_kl': 2.0, 'eval/train_pm': 1.0}


def test_the_first_steps_all_have_points(points, monkeypatch):
  point = {'kl': 4.0, 'train_pm': [0.0, 1.0, 2.0]}
  monkeypatch.setattr(policy_points.PolicyPoints, 'measure', lambda *_: point)
  config = dataclasses.replace(CONFIG, eval_every=4, eval_first=2)
  points = dataclasses.replace(points, config=config)
  due = [step for step in range(1, 6) if points.at({}, step) is not None]
  assert due == [1, 2, 4, 5]


def test_later_points_of_a_longer_run_are_left_out(points):
  for step in (0, 2, 10, 4):
    write_point(points, step, {})
  assert [row['step'] for row in points.collect(4)] == [0, 2, 4]


def write_point(points, step, by_prompt):
  content = {'step': step, 'by_prompt': by_prompt}
  points._file(step).write_text(json.dumps(content))


def test_a_gain_has_the_uncertainty_of_both_ends_prompt_by_prompt(points):
  for step, train, held_out in (
    (0, [0, 10, 0, 10], [0, 10, 0, 10]),
    (2, [1, 11, 1, 11], [5, 5, 5, 5]),
  ):
    row = {'train_pm': train, 'held_out_pm': held_out, 'gold': train}
    write_point(points, step, row)
  judges = {**points.judges, 'held_out_pm': points.judges['train_pm']}
  points = dataclasses.replace(points, judges=judges)
  first, last = points.collect(2)
  assert first['gain']['held_out_pm'] == [0, 0, 0]
  # Every prompt gains the same, however far the prompts are apart.
  assert last['gain']['train_pm'] == [1, 1, 1]
  assert last['gain']['gold_helpfulness'] == [1, 1, 1]
  # Scores that are now exact are no exact gain over a start that was not.
  low, mid, high = last['gain']['held_out_pm']
  assert low < -2 and mid == 0 and high > 2
  assert 'by_prompt' not in last


def test_the_gain_of_a_policy_is_that_of_its_scores(points):
  points.start(toys.params())
  points.measure(toys.params(7), 2)
  first, last = points.collect(2)
  assert (
    set(first['gain'])
    == set(last['gain'])
    >= {
      'train_pm',
      'train_pm_helpful',
      'gold_harmlessness',
    }
  )
  for name, (low, mid, high) in last['gain'].items():
    np.testing.assert_allclose(mid, last[name][1] - first[name][1], atol=1e-6)
    assert low <= mid <= high
  assert last['gain']['train_pm'][0] < last['gain']['train_pm'][2]


def test_intervals_resample_conversations_not_prompts(points):
  asked = [
    Prompt(samples.dialogue(f'Eggs {i % 2}?', *later), 'helpful')
    for i, later in enumerate([(), ()] + [('In water.', 'Why?')] * 18)
  ]
  points = dataclasses.replace(points, prompts=tuple(asked))
  values = {'train_pm': np.arange(20) % 2, 'gold': np.arange(20) % 2}
  found = points.intervals(values)
  assert found == {
    name: [0, 0.5, 1]
    for name in ('train_pm', 'train_pm_helpful', 'gold', 'gold_helpfulness')
  }


def test_refusals_are_counted_on_either_side(points):
  sides = ('helpful', 'harmless', 'harmless', 'helpful')
  asked = ('What is 2 plus 2?', 'How do I pick a lock?') * 2
  points = dataclasses.replace(
    points,
    prompts=tuple(
      Prompt(samples.dialogue(text), side)
      for text, side in zip(asked, sides, strict=True)
    ),
    config=dataclasses.replace(
      CONFIG, data=dataclasses.replace(CONFIG.data, world='hh')
    ),
  )
  no = 'I am sorry, but I cannot help with that.'
  eot = toys.TOKENIZER.eot
  replies = rollouts.made(
    [toys.ids(3)] * 4,
    [toys.ids(5, eot), toys.ids(6, 7, 8), toys.ids(9, eot), toys.ids(eot)],
  )
  found = points._describe_replies(replies, [no, no, 'Sure.', 'It is 4.'])
  assert found['refusal_rate'].tolist() == [1, 1, 0, 0]
  assert found['response_length'].tolist() == [2, 3, 2, 1]
  assert found['eot_rate'].tolist() == [1, 0, 1, 1]
  means = {name: mid for name, (_, mid, _) in points.intervals(found).items()}
  assert means == {
    'response_length': 2.0,
    'eot_rate': 0.75,
    'repetition': 0.0,
    'refusal_rate_helpful': 0.5,
    'refusal_rate_harmless': 0.5,
  }


def test_the_first_point_is_measured_once(points, monkeypatch):
  points._file(0).write_text('{"step": 0}')
  monkeypatch.setattr(
    policy_points.PolicyPoints, 'measure', lambda *_: pytest.fail('again')
  )
  points.start(toys.params())
