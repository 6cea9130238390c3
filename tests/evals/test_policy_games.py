"""Games between policies: what is played, counted and rated."""

import numpy as np
import pytest

from hh_jax.evals import policy_games

REPLIES = {
  'pi0': ['bad'] * 40,
  'best_of_16': ['fair'] * 40,
  'rlhf': ['good'] * 39 + ['bad'],
}
APART = np.arange(40)  # every prompt is a conversation of its own
STRENGTH = {'bad': 0.0, 'fair': 1.0, 'good': 2.0}


def noisy_judge(number, a, b, game):
  rng = np.random.default_rng([number, game, len(a), len(b)])
  gap = STRENGTH[a] - STRENGTH[b]
  return bool(rng.random() < 1 / (1 + np.exp(-gap)))


def test_every_pair_is_played_and_equal_texts_are_ties():
  games = policy_games.play(REPLIES, APART, noisy_judge, 2)
  assert games.num_equal == 1  # pi0 and rlhf agree on the last prompt
  assert len(games.first) == (40 + 40 + 40) * 2
  assert games.num_weak == 0
  np.testing.assert_array_equal(games.prompt[games.first_won == 0.5], [39, 39])


def test_elo_counts_prompts_on_which_policies_say_the_same():
  """One that differs on a tenth of prompts and wins there is hardly better."""
  replies = {'pi0': ['bad'] * 40, 'near': ['bad'] * 36 + ['good'] * 4}
  games = policy_games.play(
    replies, APART, lambda _, a, b, game: a == 'good', 1
  )
  assert policy_games.win_rates(games)['pi0/near']['wins'][1] == 0.45
  rated = policy_games.elo_table(games, 'pi0', 50).ratings['near'][1]
  np.testing.assert_allclose(rated, 400 * np.log10(0.55 / 0.45))


def test_weak_choices_are_dropped_and_counted():
  games = policy_games.play(
    REPLIES,
    APART,
    lambda number, a, b, game: None if game else noisy_judge(number, a, b, 0),
    2,
  )
  assert games.num_weak == 119
  assert len(games.first) == 119 + 2  # and two ties


def test_a_judge_that_favours_the_first_reply_favours_nobody():
  games = policy_games.play(REPLIES, APART, lambda *_: True, 2)
  rates = policy_games.win_rates(games)
  for row in rates.values():
    assert row['wins'][1] == 0.5


def test_elo_orders_the_policies_and_anchors_the_first():
  games = policy_games.play(REPLIES, APART, noisy_judge, 4)
  found = policy_games.elo_table(games, 'pi0', 200)
  assert found.num_regularised == 0
  table = found.ratings
  assert table['pi0'] == [0.0, 0.0, 0.0]
  assert 0 < table['best_of_16'][0] < table['best_of_16'][1]
  assert table['best_of_16'][1] < table['rlhf'][1]


def test_the_share_won_is_that_of_games_between_the_two():
  games = policy_games.play(REPLIES, APART, noisy_judge, 2)
  rates = policy_games.win_rates(games)['best_of_16/rlhf']['wins']
  won = policy_games.won_over_seeds([games, games], 'rlhf', 'best_of_16')
  assert won.mid == pytest.approx(1 - rates[1])
  back = policy_games.won_over_seeds([games], 'best_of_16', 'rlhf')
  assert back.mid == pytest.approx(rates[1])


def test_a_part_of_the_prompts():
  games = policy_games.play(REPLIES, APART, noisy_judge, 1)
  part = games.of_prompts(np.array([3]))
  assert set(part.prompt) == {3}
  assert len(part.first) == 3
  assert (part.num_equal, games.num_equal) == (0, 1)
  assert games.of_prompts(np.array([39])).num_equal == 1


def test_fits_in_which_somebody_never_lost_are_counted():
  replies = {'pi0': ['bad'] * 3, 'rlhf': ['good'] * 3}
  games = policy_games.play(
    replies, np.arange(3), lambda number, a, b, game: (a == 'good') != number, 1
  )
  # Resamples of three prompts, of which one is lost: 1 - 18 / 27 of them hold
  # only won or only lost games.
  found = policy_games.elo_table(games, 'pi0', 1000)
  assert 280 < found.num_regularised < 390


def test_intervals_resample_conversations_not_prompts():
  """Ten prompts of two conversations say no more than the two do."""
  replies = {'pi0': ['bad'] * 20, 'rlhf': ['good'] * 20}
  conversations = np.arange(20) % 2

  def judge(number, a, b, game):
    return (a == 'good') == (number % 2 == 0)

  together = policy_games.play(replies, conversations, judge, 1)
  apart = policy_games.play(replies, np.arange(20), judge, 1)
  assert policy_games.win_rates(together)['pi0/rlhf']['wins'] == [0, 0.5, 1]
  low, mid, high = policy_games.win_rates(apart)['pi0/rlhf']['wins']
  assert 0.1 < low < mid == 0.5 < high < 0.9
  widths = [
    np.ptp(policy_games.elo_table(games, 'pi0', 200).ratings['rlhf'])
    for games in (together, apart)
  ]
  assert widths[0] > 3 * widths[1]


def test_elo_over_seeds_is_the_mean_of_theirs():
  def other_judge(number, a, b, game):
    return noisy_judge(number, a, b, game + 100)

  played = [
    policy_games.play(REPLIES, APART, judge, 4)
    for judge in (noisy_judge, other_judge)
  ]
  alone = [policy_games.elo_table(games, 'pi0', 200) for games in played]
  found, num_regularised = policy_games.elo_over_seeds(played, 'pi0')
  assert num_regularised == 0
  assert found['pi0'].interval() == [0.0, 0.0, 0.0]
  for name in ('best_of_16', 'rlhf'):
    mids = [table.ratings[name][1] for table in alone]
    assert mids[0] != mids[1]
    np.testing.assert_allclose(found[name].mid, np.mean(mids))
    low, mid, high = found[name].interval()
    assert low < mid < high
