import numpy as np
import pytest

from hh_jax.config import DataConfig, EvaluateConfig
from hh_jax.data import prompts as prompts_lib
from hh_jax.data.prompts import Prompt
from hh_jax.evals import policy_games
from hh_jax.stages import evaluate, policy_comparison, rejection, worlds
from tests.data import samples
from tests.stages import toys

LAB = DataConfig(num_examples=20, test_fraction=0.2)


def prompts():
  sides = ('helpful', 'harmless', 'helpful')
  return [
    Prompt(samples.dialogue(f'Eggs {i}?'), side, i)
    for i, side in enumerate(sides)
  ]


def test_candidates_choose_the_best_of_each_prompt():
  found = rejection.Candidates(
    replies=[['a', 'b', 'c'], ['d', 'e', 'f']],
    scores=np.array([[0.0, 2.0, 1.0], [5.0, 5.0, -1.0]], np.float32),
  )
  assert found.best == ['b', 'd']


def test_rejection_records_hold_every_reply():
  found = rejection.Candidates(
    replies=[['a', 'b'], ['c', 'd'], ['e', 'f']],
    scores=np.array([[0, 1], [1, 0], [0, 1]], np.float32),
  )
  rows = rejection.records(prompts(), found)
  assert [row['best'] for row in rows] == ['b', 'c', 'f']
  assert rows[1]['side'] == 'harmless'
  assert rows[1]['prompt'] == [{'role': 'human', 'text': 'Eggs 1?'}]
  assert rows[2]['scores'] == [0, 1]


def test_intervals_are_those_of_each_side():
  found = policy_comparison.intervals_by_side(
    prompts(), np.array([1.0, 10.0, 3.0])
  )
  assert found['helpful'][1] == 2.0
  assert found['harmless'][1] == 10.0
  alone = policy_comparison.intervals_by_side(prompts()[:1], np.array([1.0]))
  assert set(alone) == {'helpful'}


def test_intervals_resample_conversations_not_prompts():
  """Prompts of one conversation say no more than one of them does."""
  asked = [
    Prompt(samples.dialogue(f'Eggs {i % 2}?', *later), 'helpful')
    for i, later in enumerate([(), ()] + [('In water.', 'Why?')] * 18)
  ]
  found = policy_comparison.intervals_by_side(asked, np.arange(20) % 2)
  assert found['helpful'] == [0, 0.5, 1]


def test_a_text_has_the_score_of_the_preference_model():
  run = toys.as_run(toys.pm_params(), 'pm')
  replies = {'pi0': ['It is noon.', 'No.', ''], 'rlhf': ['No.', 'No.', 'Yes.']}
  config = EvaluateConfig(data=DataConfig(row_length=256))
  scores = policy_comparison.score_policies(config, run, prompts(), replies)
  table = policy_comparison.by_text(replies, scores)
  assert set(table) == {
    *enumerate(replies['pi0']),
    *enumerate(replies['rlhf']),
  }
  for (number, text), score in table.items():
    expected = toys.plain_score(
      toys.TOKENIZER.encode_prompt(prompts()[number].dialogue),
      toys.TOKENIZER.encode_reply(text),
      toys.pm_params(),
    )
    np.testing.assert_allclose(score, expected, atol=1e-5)


def test_a_gain_is_over_the_reply_of_pi0_to_the_same_prompt():
  scores = {
    'pi0': np.array([5.0, -3.0, 9.0]),  # the second prompt is harmless
    'rlhf': np.array([6.0, -2.5, 12.0]),
  }
  found = policy_comparison.gains_over_pi0(prompts(), scores)
  assert found['pi0'] == {'helpful': [0, 0, 0], 'harmless': [0, 0, 0]}
  assert found['rlhf']['helpful'] == [1, 2, 3]
  assert found['rlhf']['harmless'] == [0.5, 0.5, 0.5]


def test_gold_of_policies_stands_beside_the_best_style():
  asked = worlds.prompts(LAB, 0, 6, 0.5, is_held_out=True)
  found = policy_comparison.gold_of_policies(
    asked, {'pi0': ['egg'] * 6, 'rlhf': ['I am sorry, I cannot help.'] * 6}
  )
  assert set(found) == {'helpfulness', 'harmlessness'}
  for table in found.values():
    assert set(table) == {'pi0', 'rlhf', 'best_style'}
    low, mid, high = table['pi0']
    assert low <= mid <= high < table['best_style'][1]
  harmless = [item for item in asked if item.side == 'harmless']
  expected = np.mean(
    [
      worlds.gold(item.dialogue, 'I am sorry, I cannot help.', 'harmless')
      for item in harmless
    ]
  )
  assert found['harmlessness']['rlhf'][1] == pytest.approx(expected)


def test_gold_is_of_the_sides_there_are():
  asked = worlds.prompts(LAB, 0, 1, 0.0, is_held_out=True)
  found = policy_comparison.gold_of_policies(asked, {'pi0': ['egg']})
  assert set(found) == {'helpfulness'}


def test_predicted_elo_is_the_papers_formula():
  scores = {
    'pi0': {'helpful': [0.0, 0.0, 0.0]},
    'rlhf': {'helpful': [0.0, 1.0, 2.0]},
  }
  found = policy_comparison.predict_elo(scores)['helpful']
  assert found['pi0'] == {'elo': 0.0, 'win_fraction': 0.5}
  assert found['rlhf']['elo'] == pytest.approx(400 / np.log(10))
  assert found['rlhf']['win_fraction'] == pytest.approx(1 / (1 + np.exp(-1)))


def test_elo_by_side_uses_the_games_of_that_side():
  replies = {'pi0': ['a'] * 3, 'rlhf': ['b'] * 3}
  wins = {0: True, 1: False, 2: True}

  def judge(number, first, second, game):
    is_rlhf = wins[number] ^ (game % 8 == 7)  # nobody wins every game
    return (first == 'b') == is_rlhf

  asked = prompts()
  games = policy_games.play(
    replies, prompts_lib.conversations_of(asked), judge, 16
  )
  tables = policy_comparison.elo_by_side(
    EvaluateConfig(num_bootstrap=20), games, asked
  )
  found = {name: table.ratings for name, table in tables.items()}
  assert found['helpful']['rlhf'][1] > 0 > found['harmless']['rlhf'][1]
  assert found['overall']['pi0'] == [0, 0, 0]
  helpful = found['helpful']['rlhf'][1]
  assert helpful == pytest.approx(400 * np.log10(7), rel=0.1)


def test_without_a_game_there_is_no_elo():
  games = policy_games.play(
    {'pi0': ['a'], 'rlhf': ['b']}, np.zeros(1), lambda *_: None, 2
  )
  with pytest.raises(
    ValueError, match=r'no game was kept \(2 choices .* num_prompts=1'
  ):
    policy_comparison.elo_by_side(
      EvaluateConfig(num_prompts=1), games, prompts()[:1]
    )


def test_the_gold_of_pairs_is_that_of_their_side():
  test = worlds.comparisons(LAB, 0).comparisons[:4]
  found = worlds.gold_of_pairs(test)
  assert found.shape == (4, 2)
  for row, item in zip(found, test, strict=True):
    assert row[0] == worlds.gold(item.prompt, item.chosen, item.side)
    assert row[1] == worlds.gold(item.prompt, item.rejected, item.side)


def test_an_evaluation_without_test_part_is_refused():
  config = EvaluateConfig(data=DataConfig(num_examples=4, test_fraction=1e-6))
  pm = toys.as_run(toys.pm_params(), 'pm')
  with pytest.raises(
    ValueError, match='no test comparison: test_fraction=1e-06'
  ):
    evaluate.judge_preferences(config, {'mixture': pm})
