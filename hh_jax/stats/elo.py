"""Elo ratings from pairwise choices (Bai et al. 2022, §2.4.1 and B.5).

1. P(A beats B) = 1 / (1 + 10^((E_B - E_A) / 400))                  (eq. 2.1)
   With r = E ln 10 / 400 this is σ(r_A - r_B): one unit of a preference
   model's score is 400 / ln 10 = 173.7 Elo.
2. The ratings maximise Σ_pairs N_A log σ(r_A - r_B) + N_B log σ(r_B - r_A)
   over all pairs of players, with the anchor at 0                  (eq. B.1)
   by Newton steps that move no difference of ratings by more than 1 nat: then
   the likelihood, being self-concordant, rises at every step.
3. The maximum exists only if every player can be reached from every other
   along won games. Where it does not (someone never lost), and only there, a
   tie of weight `PHANTOM_TIE` between every two players makes it finite; how
   often that happened is returned or said in a warning.
4. Intervals come from resampling whole dialogues, since each of their turns
   is one game.

Deviation: the fit is ours and not evalica's. evalica takes one list of games
and imports pandas, so that a thousand resamples would be a thousand calls,
and it stops after a fixed number of iterations when someone never lost. The
tests hold the two against each other.
"""

from __future__ import annotations

import dataclasses
import math
import warnings

import numpy as np
import scipy
from jaxtyping import Float, Int, Shaped

from hh_jax.stats import bootstrap

# Weight of the tie added between every two players when somebody never lost:
# a hundredth of a game bounds the rating and hardly moves the others.
PHANTOM_TIE = 0.01
_MAX_STEP = 1.0  # nats; below 1.79 a Newton step always raises the likelihood
_MAX_STEPS = 200
_GRADIENT_TOLERANCE = 1e-9  # of the largest gradient, per game played


@dataclasses.dataclass(frozen=True)
class Games:
  """Choices between two players, one a dialogue turn."""

  first: Int[np.ndarray, 'G']  # player index
  second: Int[np.ndarray, 'G']  # player index, another one
  first_won: Shaped[np.ndarray, 'G']  # 1 or True, 0 or False, 0.5 for a tie
  num_players: int

  def __post_init__(self):
    first, second = np.asarray(self.first), np.asarray(self.second)
    outcome = np.asarray(self.first_won, np.float64)
    shapes = (first.shape, second.shape, outcome.shape)
    if len(set(shapes)) != 1 or first.ndim != 1 or not first.size:
      raise ValueError(f'games need three equal, filled columns; got {shapes}')
    players = np.concatenate([first, second])
    if players.min() < 0 or players.max() >= self.num_players:
      raise ValueError(
        f'players run from {players.min()} to {players.max()}, outside '
        f'num_players={self.num_players}'
      )
    if (first == second).any():
      raise ValueError(f'{(first == second).sum()} games are against oneself')
    if not ((outcome >= 0) & (outcome <= 1)).all():
      raise ValueError('first_won must lie in [0, 1]')


@dataclasses.dataclass(frozen=True)
class EloIntervals:
  """Ratings and their differences, each as `[low, mid, high]` in Elo."""

  ratings: Float[np.ndarray, 'M 3']  # difference from the anchor
  differences: Float[np.ndarray, 'M M 3']  # row player minus column player
  num_regularised: int  # resamples in which somebody never lost


def win_fraction(
  elo_a: float | Float[np.ndarray, '...'],
  elo_b: float | Float[np.ndarray, '...'],
) -> float | Float[np.ndarray, '...']:
  """Probability that A is preferred to B (eq. 2.1).

  Args:
    elo_a: Rating of A.
    elo_b: Rating of B.

  Returns:
    A number in (0, 1).
  """
  gap = np.asarray(elo_a, np.float64) - np.asarray(elo_b, np.float64)
  return _sigmoid(elo_to_score(gap))


def elo_per_score() -> float:
  """Elo points in one unit of preference-model score, 400 / ln 10."""
  return 400 / math.log(10)


def score_to_elo(
  score: float | Float[np.ndarray, '...'],
) -> float | Float[np.ndarray, '...']:
  """Elo difference that a difference of PM scores (nats) predicts."""
  return np.asarray(score, np.float64) * elo_per_score()


def elo_to_score(
  elo: float | Float[np.ndarray, '...'],
) -> float | Float[np.ndarray, '...']:
  """Difference of PM scores (nats) that an Elo difference stands for."""
  return np.asarray(elo, np.float64) / elo_per_score()


def win_matrix(games: Games) -> Float[np.ndarray, 'M M']:
  """Games won by the row player over the column player; a tie is half."""
  cells, weights = _cells(games)
  shape = (games.num_players, games.num_players)
  wins = np.bincount(cells, weights, minlength=games.num_players**2)
  return wins.reshape(shape)


def fit_elo(
  wins: Float[np.ndarray, 'M M'], anchor: int
) -> Float[np.ndarray, 'M']:
  """Maximum-likelihood ratings (eq. B.1).

  Warns when the maximum does not exist and a phantom tie had to be added.

  Args:
    wins: Games the row player won over the column player; ties half to each.
    anchor: Player whose rating is 0.

  Returns:
    Ratings in Elo.
  """
  wins = np.asarray(wins, np.float64)
  if wins.ndim != 2 or wins.shape[0] != wins.shape[1] or (wins < 0).any():
    raise ValueError(f'wins of shape {wins.shape} is no matrix of counts')
  ratings, is_regularised = _fit(wins[None], anchor)
  if is_regularised[0]:
    warnings.warn(
      f'some of {len(wins)} players never lost or never met the others: a tie '
      f'of weight {PHANTOM_TIE} between every two keeps the ratings finite',
      stacklevel=2,
    )
  return ratings[0]


def bootstrap_elo(
  games: Games,
  clusters: Shaped[np.ndarray, 'G'] | None,
  anchor: int,
  num_resamples: int = 1000,
  seed: int = 0,
  level: float = 0.95,
) -> EloIntervals:
  """Ratings with intervals from resampled dialogues.

  The interval of a difference is resampled as a difference: two ratings share
  their opponents, so it is narrower than the two intervals suggest.

  Args:
    games: Every choice.
    clusters: Dialogue of every game, or None if games are independent.
    anchor: Player whose rating is 0.
    num_resamples: Resamples to draw.
    seed: Of the resamples.
    level: Coverage in (0, 1).

  Returns:
    Ratings, all pairwise differences and the number of regularised resamples.
  """
  mid, draws, num_regularised = resample(
    games, clusters, anchor, num_resamples, seed
  )
  gaps = draws[:, :, None] - draws[:, None, :]
  tails = [(1 - level) / 2, (1 + level) / 2]
  low, high = np.quantile(gaps, tails, axis=0)
  differences = np.stack([low, mid[:, None] - mid[None, :], high], axis=-1)
  return EloIntervals(differences[:, anchor], differences, num_regularised)


def resample(
  games: Games,
  clusters: Shaped[np.ndarray, 'G'] | None,
  anchor: int,
  num_resamples: int,
  seed: int | None = 0,
) -> tuple[Float[np.ndarray, 'M'], Float[np.ndarray, 'R M'], int]:
  """Ratings, and those of resampled dialogues; see `bootstrap_elo`.

  Without a seed each dialogue's weights are drawn from its key, the cluster.

  Returns:
    Ratings, ratings on every resample, and in how many of these somebody
    never lost.
  """
  num_players = games.num_players
  mid = fit_elo(win_matrix(games), anchor)
  cells, weights = _cells(games)
  index = bootstrap.cluster_index(clusters, len(games.first))
  totals = scipy.sparse.csr_array(
    (weights, (np.tile(index, 2), cells)),
    shape=(int(index.max()) + 1, num_players**2),
  )
  keys = bootstrap.cluster_keys(clusters, len(games.first))
  wins = bootstrap.resampled_sums(totals, num_resamples, seed, keys)
  draws, is_regularised = _fit(
    wins.reshape(-1, num_players, num_players), anchor
  )
  return mid, draws, int(is_regularised.sum())


def _cells(
  games: Games,
) -> tuple[Int[np.ndarray, 'N'], Float[np.ndarray, 'N']]:
  """Flat cell of the win matrix and weight, for both sides of every game."""
  first, second = np.asarray(games.first), np.asarray(games.second)
  outcome = np.asarray(games.first_won, np.float64)
  cells = np.concatenate(
    [first * games.num_players + second, second * games.num_players + first]
  )
  return cells, np.concatenate([outcome, 1 - outcome])


def _fit(
  wins: Float[np.ndarray, 'R M M'], anchor: int
) -> tuple[Float[np.ndarray, 'R M'], Shaped[np.ndarray, 'R']]:
  """Newton's method on many win matrices at once."""
  num_players = wins.shape[-1]
  if not 0 <= anchor < num_players:
    raise ValueError(f'anchor={anchor} is none of {num_players} players')
  is_regularised = ~_has_maximum(wins)
  ties = PHANTOM_TIE / 2 * (1 - np.eye(num_players))
  wins = wins + is_regularised[:, None, None] * ties
  games = wins + wins.swapaxes(1, 2)
  free = np.delete(np.arange(num_players), anchor)
  ratings = np.zeros(wins.shape[:2], np.float64)
  for _ in range(_MAX_STEPS):
    chance = _sigmoid(ratings[:, :, None] - ratings[:, None, :])
    gradient = (wins - games * chance).sum(axis=-1)
    if (
      np.abs(gradient) <= _GRADIENT_TOLERANCE * games.sum((1, 2))[:, None]
    ).all():
      return ratings * elo_per_score(), is_regularised
    curvature = games * chance * (1 - chance)
    hessian = np.eye(num_players) * curvature.sum(-1)[:, None] - curvature
    step = np.zeros_like(ratings)
    step[:, free] = np.linalg.solve(
      hessian[:, free[:, None], free], gradient[:, free, None]
    )[..., 0]
    spread = np.ptp(step, axis=1, keepdims=True)
    ratings += step * np.minimum(1, _MAX_STEP / np.maximum(spread, _MAX_STEP))
  raise ValueError(
    f'{_MAX_STEPS} Newton steps did not fit {num_players} ratings; are the '
    'wins finite counts?'
  )


def _has_maximum(
  wins: Float[np.ndarray, 'R M M'],
) -> Shaped[np.ndarray, 'R']:
  """Whether everybody is reached from everybody along wins (Ford 1957)."""
  num_players = wins.shape[-1]
  reached = (wins > 0) | np.eye(num_players, dtype=bool)
  for _ in range(max(1, num_players.bit_length())):
    reached = np.matmul(reached, reached)
  return np.logical_and.reduce(reached, axis=(1, 2))


def _sigmoid(
  x: float | Float[np.ndarray, '...'],
) -> float | Float[np.ndarray, '...']:
  return 0.5 * (1 + np.tanh(0.5 * x))
