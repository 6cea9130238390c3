"""Games between policies: what is played, counted and rated."""

import numpy as np

from hh_jax.evals import policy_games

REPLIES = {
  'pi0': ['bad'] * 40,
  'best_of_16': ['fair'] * 40,
  'rlhf': ['good'] * 39 + ['bad'],
}
STRENGTH = {'bad': 0.0, 'fair': 1.0, 'good': 2.0}


def noisy_judge(number, a, b, game):
  rng = np.random.default_rng([number, game, len(a), len(b)])
  gap = STRENGTH[a] - STRENGTH[b]
  return bool(rng.random() < 1 / (1 + np.exp(-gap)))


def test_every_pair_is_played_and_equal_texts_are_counted():
  games = policy_games.play(REPLIES, noisy_judge, 2)
  assert games.num_equal == 1  # pi0 and rlhf agree on the last prompt
  assert len(games.first) == (40 + 40 + 39) * 2
  assert games.num_weak == 0


def test_weak_choices_are_dropped_and_counted():
  games = policy_games.play(
    REPLIES,
    lambda number, a, b, game: None if game else noisy_judge(number, a, b, 0),
    2,
  )
  assert games.num_weak == len(games.first) == 119


def test_a_judge_that_favours_the_first_reply_favours_nobody():
  games = policy_games.play(REPLIES, lambda *_: True, 2)
  rates = policy_games.win_rates(games)
  for row in rates.values():
    assert row['wins'] == 0.5


def test_elo_orders_the_policies_and_anchors_the_first():
  games = policy_games.play(REPLIES, noisy_judge, 4)
  table = policy_games.elo_table(games, 'pi0', 200)
  assert table['pi0'] == [0.0, 0.0, 0.0]
  assert 0 < table['best_of_16'][0] < table['best_of_16'][1]
  assert table['best_of_16'][1] < table['rlhf'][1]


def test_a_part_of_the_prompts():
  games = policy_games.play(REPLIES, noisy_judge, 1)
  part = games.of_prompts(np.array([3]))
  assert set(part.prompt) == {3}
  assert len(part.first) == 3
