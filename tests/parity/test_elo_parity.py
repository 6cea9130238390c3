"""Elo ratings against the likelihood of the paper."""

import math

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from hh_jax.stats import elo
from tests.parity import cases, geometry, oracles

PLAYERS = 4


def counts(low):
  """[PLAYERS, PLAYERS] won games with an empty diagonal."""
  return hnp.arrays(
    np.int32,
    (PLAYERS, PLAYERS),
    elements=st.integers(low, 40),
    fill=st.nothing(),
  ).map(lambda w: (w * (1 - np.eye(PLAYERS))).astype(np.float64))


@hypothesis.given(st.floats(-4e3, 4e3), st.floats(-4e3, 4e3))
@cases.parity_settings
def test_win_fraction(first, second):
  got = float(elo.win_fraction(first, second))
  assert got == pytest.approx(
    geometry.elo_win_fraction(first, second), rel=1e-9
  )
  assert got + float(elo.win_fraction(second, first)) == pytest.approx(1)


def test_one_unit_of_score_is_174_elo_and_73_percent():
  assert float(elo.elo_per_score()) == pytest.approx(400 / math.log(10))
  gap = float(elo.score_to_elo(1.0))
  assert round(gap) == 174
  assert float(elo.win_fraction(gap, 0.0)) == pytest.approx(0.731, abs=1e-3)
  assert float(elo.elo_to_score(gap)) == pytest.approx(1)


@hypothesis.given(counts(1), st.integers(0, PLAYERS - 1))
@cases.parity_settings
def test_fit_stands_where_the_likelihood_is_flat(wins, anchor):
  ratings = elo.fit_elo(wins, anchor)
  assert ratings[anchor] == 0

  def likelihood(at):
    return geometry.elo_log_likelihood(at, wins)

  slope = oracles.finite_differences(likelihood, ratings, step=1e-2)
  # Flat up to 1e-6 games per Elo of the games played.
  assert np.abs(slope).max() < 1e-6 * wins.sum()
  best = likelihood(ratings)
  for player in range(PLAYERS):
    for step in (-20, 20):
      moved = np.array(ratings, np.float64)
      moved[player] += step
      assert likelihood(moved) < best


@hypothesis.given(counts(1), st.integers(2, 9))
@cases.parity_settings
def test_more_of_the_same_games_move_no_rating(wins, times):
  np.testing.assert_allclose(
    elo.fit_elo(wins, 0), elo.fit_elo(times * wins, 0), atol=1e-4
  )


@pytest.mark.parametrize(('won', 'lost'), [(1, 1), (3, 1), (64, 36), (1, 999)])
def test_two_players_have_a_closed_form(won, lost):
  ratings = elo.fit_elo(np.array([[0.0, won], [lost, 0.0]]), 1)
  np.testing.assert_allclose(
    ratings, [400 * math.log10(won / lost), 0], atol=1e-6
  )


def test_a_player_who_never_lost_gets_a_finite_rating_above_the_rest():
  wins = np.array([[0.0, 5, 7], [0, 0, 4], [0, 3, 0]])
  with pytest.warns(UserWarning):
    ratings = elo.fit_elo(wins, 1)
  assert np.isfinite(ratings).all()
  assert ratings[0] > ratings[1] > ratings[2]


def test_fit_recovers_the_ratings_that_made_the_expected_games():
  truth = np.array([0.0, 150.0, -75.0, 260.0])
  wins = np.array(
    [
      [
        0 if a == b else 1e3 * geometry.elo_win_fraction(x, y)
        for b, y in enumerate(truth)
      ]
      for a, x in enumerate(truth)
    ]
  )
  np.testing.assert_allclose(elo.fit_elo(wins, 0), truth, atol=1e-5)


def test_win_matrix_counts_each_turn_once_and_a_tie_half():
  first, second = np.array([0, 1, 0, 2, 0]), np.array([1, 0, 1, 0, 2])
  first_won = np.array([1.0, 1.0, 0.5, 0.0, 1.0])
  games = elo.Games(first, second, first_won, 3)
  want = np.zeros((3, 3))
  for a, b, won in zip(first, second, first_won, strict=True):
    want[a, b] += won
    want[b, a] += 1 - won
  np.testing.assert_allclose(elo.win_matrix(games), want)
