"""Games between policies: who is preferred, and by how much.

Each held-out prompt is answered by every policy; every pair of answers is
shown to a judge (the simulated crowd, or a held-out preference model). Equal
texts are ties: left out, they would make Elo that of the prompts on which
policies differ. Choices too weak to keep are no games, but counted. Elo is
maximum-likelihood. Intervals are bootstrapped over conversations: prompts with
one first human turn, and all games on them, are drawn together.

Reference: Bai et al. 2022, sections 2.2, 2.4 and B.5.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from hh_jax.stats import bootstrap, elo, seeds

# (prompt number, reply of a, reply of b, game number) -> a is preferred, or
# None where the choice is too weak to keep.
Judge = Callable[[int, str, str, int], bool | None]


@dataclasses.dataclass(frozen=True)
class PolicyGames:
  """Outcomes, one row a game."""

  names: tuple[str, ...]
  first: np.ndarray  # [N] int, policy
  second: np.ndarray  # [N] int, policy
  first_won: np.ndarray  # [N] float64, 1, 0 or the chance of it; 1/2 for ties
  prompt: np.ndarray  # [N] int
  conversation: np.ndarray  # [N] int, of the prompt
  equal: np.ndarray  # [K] int, prompt of each pair of equal texts
  weak: np.ndarray  # [W] int, prompt of each choice dropped

  @property
  def num_equal(self) -> int:
    """Pairs of equal texts."""
    return len(self.equal)

  @property
  def num_weak(self) -> int:
    """Choices dropped."""
    return len(self.weak)

  def of_prompts(self, members: np.ndarray) -> PolicyGames:
    """Returns the games on the given prompts, [M] int."""
    keep = np.isin(self.prompt, members)
    return dataclasses.replace(
      self,
      first=self.first[keep],
      second=self.second[keep],
      first_won=self.first_won[keep],
      prompt=self.prompt[keep],
      conversation=self.conversation[keep],
      equal=self.equal[np.isin(self.equal, members)],
      weak=self.weak[np.isin(self.weak, members)],
    )


@dataclasses.dataclass(frozen=True)
class EloTable:
  """Elo scores of policies above the anchor."""

  ratings: dict[str, list[float]]  # [low, mid, high] of each policy
  num_regularised: int  # resamples in which somebody never lost


def play(
  replies: Mapping[str, Sequence[str]],
  conversations: np.ndarray,
  judge: Judge,
  games_per_prompt: int,
) -> PolicyGames:
  """Plays every pair of policies on every prompt.

  Args:
    replies: One reply a prompt of each policy.
    conversations: Conversation of each prompt, [M] int.
    judge: Chooses.
    games_per_prompt: Games of each pair on each prompt.
  """
  names = tuple(replies)
  rows: list[tuple[int, int, float, int]] = []
  equal: list[int] = []
  weak: list[int] = []
  for a, b in itertools.combinations(range(len(names)), 2):
    pairs = zip(replies[names[a]], replies[names[b]], strict=True)
    for prompt, (left, right) in enumerate(pairs):
      if left == right:
        equal.append(prompt)
        rows += [(a, b, 0.5, prompt)] * games_per_prompt
        continue
      for game in range(games_per_prompt):
        # Sides are swapped every other game: no judge may favour a side.
        is_swapped = (prompt + game) % 2 == 1
        shown = (right, left) if is_swapped else (left, right)
        choice = judge(prompt, *shown, game)
        if choice is None:
          weak.append(prompt)
          continue
        rows.append((a, b, float(choice != is_swapped), prompt))
  table = np.array(rows, np.float64).reshape(-1, 4)
  first, second, prompt_of = table[:, [0, 1, 3]].T.astype(np.int64)
  return PolicyGames(
    names=names,
    first=first,
    second=second,
    first_won=table[:, 2],
    prompt=prompt_of,
    conversation=np.asarray(conversations)[prompt_of],
    equal=np.array(equal, np.int64),
    weak=np.array(weak, np.int64),
  )


def elo_table(games: PolicyGames, anchor: str, num_resamples: int) -> EloTable:
  """Returns the Elo of each policy; the anchor has 0."""
  found = elo.bootstrap_elo(
    _as_games(games),
    clusters=games.conversation,
    anchor=games.names.index(anchor),
    num_resamples=num_resamples,
  )
  ratings = zip(games.names, found.ratings.tolist(), strict=True)
  return EloTable(dict(ratings), found.num_regularised)


def elo_over_seeds(
  played: Sequence[PolicyGames], anchor: str
) -> tuple[dict[str, seeds.Estimate], int]:
  """Returns the Elo of each policy, the mean of what each seed gives.

  Args:
    played: Games of the policies of every seed, by the same names.
    anchor: Policy at 0.

  Returns:
    Ratings, and the number of resamples in which somebody never lost.
  """
  names = played[0].names
  found = [
    elo.resample(
      _as_games(games),
      games.conversation,
      names.index(anchor),
      seeds.NUM_RESAMPLES,
      seed=None,
    )
    for games in played
  ]
  ratings = {
    name: seeds.over_seeds(
      [float(mid[place]) for mid, _, _ in found],
      np.stack([draws[:, place] for _, draws, _ in found]),
    )
    for place, name in enumerate(names)
  }
  return ratings, sum(number for _, _, number in found)


def won_over_seeds(
  played: Sequence[PolicyGames], name: str, other: str
) -> seeds.Estimate:
  """Returns the share of their games that one policy won against another.

  Args:
    played: Games of the policies of every seed, by the same names.
    name: Whose share it is; a tie is half a game won.
    other: Against whom.
  """
  shares, clusters = [], []
  for games in played:
    own, met = games.names.index(name), games.names.index(other)
    ahead = (games.first == own) & (games.second == met)
    behind = (games.first == met) & (games.second == own)
    won = np.where(ahead, games.first_won, 1 - games.first_won)
    shares.append(won[ahead | behind])
    clusters.append(games.conversation[ahead | behind])
  return seeds.mean(shares, clusters)


def _as_games(games: PolicyGames) -> elo.Games:
  return elo.Games(
    first=games.first,
    second=games.second,
    first_won=games.first_won,
    num_players=len(games.names),
  )


def win_rates(games: PolicyGames) -> dict[str, Any]:
  """Returns, for each pair 'a/b', the share [low, mid, high] that a won.

  A tie is half a game won.
  """
  rates = {}
  for a, b in itertools.combinations(range(len(games.names)), 2):
    members = (games.first == a) & (games.second == b)
    if members.any():
      key = f'{games.names[a]}/{games.names[b]}'
      rates[key] = {
        'wins': bootstrap.mean_interval(
          games.first_won[members], games.conversation[members]
        ).tolist(),
        'games': int(members.sum()),
      }
  return rates
