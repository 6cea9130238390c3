"""Ratings against closed forms, evalica and a known truth."""

import warnings

import numpy as np
import pytest

from hh_jax.stats import elo


def _simulated(ratings, num_games, seed):
  rng = np.random.default_rng(seed)
  first = rng.integers(len(ratings), size=num_games)
  second = (first + rng.integers(1, len(ratings), num_games)) % len(ratings)
  chance = elo.win_fraction(ratings[first], ratings[second])
  won = rng.random(num_games) < chance
  return elo.Games(first, second, won, len(ratings))


def test_win_fraction_of_known_gaps():
  assert elo.win_fraction(0.0, 0.0) == 0.5
  assert elo.win_fraction(400.0, 0.0) == pytest.approx(10 / 11)
  assert elo.win_fraction(0.0, 400.0) == pytest.approx(1 / 11)
  assert elo.win_fraction(elo.elo_per_score(), 0.0) == pytest.approx(
    1 / (1 + np.exp(-1))
  )
  assert np.isfinite(elo.win_fraction(-1e6, 1e6))


def test_one_score_unit_is_174_elo():
  assert elo.elo_per_score() == pytest.approx(173.718, abs=1e-3)
  assert elo.elo_to_score(elo.score_to_elo(1.25)) == pytest.approx(1.25)


def test_two_players_have_a_closed_form():
  ratings = elo.fit_elo(np.array([[0.0, 25.0], [75.0, 0.0]]), anchor=0)
  assert ratings[0] == 0
  assert ratings[1] == pytest.approx(400 * np.log10(3), abs=1e-6)


def test_the_fit_has_the_highest_likelihood_nearby():
  wins = np.random.default_rng(0).integers(1, 40, (5, 5)).astype(float)
  np.fill_diagonal(wins, 0)
  ratings = elo.fit_elo(wins, anchor=2)

  def log_likelihood(points):
    chance = 1 / (1 + 10 ** ((points[None, :] - points[:, None]) / 400))
    return (wins * np.log(chance)).sum()

  best = log_likelihood(ratings)
  for player in range(5):
    for nudge in (-0.5, 0.5):
      moved = ratings.copy()
      moved[player] += nudge
      assert log_likelihood(moved) <= best + 1e-12


def test_agrees_with_evalica():
  evalica = pytest.importorskip('evalica')
  games = _simulated(np.array([0.0, 80.0, -120.0, 250.0]), 600, seed=1)
  winners = [
    evalica.Winner.X if won else evalica.Winner.Y for won in games.first_won
  ]
  fitted = evalica.bradley_terry(
    [str(i) for i in games.first],
    [str(i) for i in games.second],
    winners,
    tolerance=1e-12,
    limit=10_000,
  )
  scores = np.log([fitted.scores[str(i)] for i in range(4)])
  theirs = elo.score_to_elo(scores - scores[0])
  ours = elo.fit_elo(elo.win_matrix(games), anchor=0)
  np.testing.assert_allclose(ours, theirs, atol=0.01)


def test_recovers_the_truth_and_covers_it():
  truth = np.array([0.0, 150.0, 240.0, -90.0])
  games = _simulated(truth, 6000, seed=2)
  clusters = np.arange(6000) // 4
  fitted = elo.bootstrap_elo(games, clusters, anchor=0, num_resamples=300)
  assert fitted.ratings.shape == (4, 3)
  np.testing.assert_allclose(fitted.ratings[:, 1], truth, atol=25)
  np.testing.assert_array_equal(fitted.ratings[0], 0)
  assert (fitted.ratings[1:, 0] < truth[1:]).all()
  assert (truth[1:] < fitted.ratings[1:, 2]).all()
  assert fitted.num_regularised == 0


def test_differences_are_antisymmetric_and_narrower_than_their_parts():
  games = _simulated(np.array([0.0, 150.0, 240.0, -90.0]), 800, seed=3)
  fitted = elo.bootstrap_elo(games, None, anchor=3, num_resamples=200)
  np.testing.assert_allclose(
    fitted.differences[1, 2], -fitted.differences[2, 1][::-1], atol=1e-9
  )
  parts = np.ptp(fitted.ratings[1]) + np.ptp(fitted.ratings[2])
  assert np.ptp(fitted.differences[1, 2]) < parts


def test_whole_dialogues_are_resampled():
  games = _simulated(np.array([0.0, 100.0]), 120, seed=4)
  many = elo.Games(
    np.repeat(games.first, 8),
    np.repeat(games.second, 8),
    np.repeat(games.first_won, 8),
    2,
  )
  dialogue = np.repeat(np.arange(120), 8)
  alone = elo.bootstrap_elo(games, None, 0, 200).ratings[1]
  clustered = elo.bootstrap_elo(many, dialogue, 0, 200).ratings[1]
  np.testing.assert_allclose(alone, clustered, atol=1e-6)
  naive = elo.bootstrap_elo(many, None, 0, 200).ratings[1]
  assert np.ptp(naive) < 0.6 * np.ptp(clustered)


def test_ties_are_half_a_win_each():
  tied = elo.Games(np.array([0, 0]), np.array([1, 1]), np.array([0.5, 1]), 2)
  np.testing.assert_array_equal(elo.win_matrix(tied), [[0, 1.5], [0.5, 0]])


def test_undefeated_players_stay_finite_and_are_reported():
  wins = np.array([[0.0, 30.0, 0.0], [20.0, 0.0, 0.0], [40.0, 40.0, 0.0]])
  with pytest.warns(UserWarning, match='never lost'):
    ratings = elo.fit_elo(wins, anchor=0)
  assert ratings[2] > 1000
  assert ratings[1] == pytest.approx(-400 * np.log10(1.5), abs=1.0)
  with pytest.warns(UserWarning):
    assert np.isfinite(elo.fit_elo(np.zeros((3, 3)), 0)).all()


def test_regularised_resamples_are_counted_and_a_sound_fit_is_silent():
  first_won = np.array([1.0] * 9 + [0.0])
  games = elo.Games(np.zeros(10, int), np.ones(10, int), first_won, 2)
  with warnings.catch_warnings():
    warnings.simplefilter('error')
    fitted = elo.bootstrap_elo(games, None, 1, num_resamples=400)
  assert 0.2 < fitted.num_regularised / 400 < 0.5  # 0.9^10 = 0.35
  assert fitted.ratings[0, 1] == pytest.approx(400 * np.log10(9))


@pytest.mark.parametrize(
  ('columns', 'words'),
  [
    (([0], [0], [1]), 'oneself'),
    (([0], [2], [1]), 'outside'),
    (([0], [1], [2]), r'\[0, 1\]'),
    (([], [], []), 'filled'),
  ],
)
def test_bad_games_are_refused(columns, words):
  with pytest.raises(ValueError, match=words):
    elo.Games(*(np.array(c, int) for c in columns), num_players=2)


def test_bad_anchor_is_refused():
  with pytest.raises(ValueError, match='anchor=5'):
    elo.fit_elo(np.ones((2, 2)), anchor=5)


def test_unequal_columns_are_refused():
  with pytest.raises((ValueError, TypeError)):
    elo.Games(np.array([0, 1]), np.array([1]), np.array([1.0]), 2)
