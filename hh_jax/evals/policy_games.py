"""Games between policies: who is preferred, and by how much.

Each held-out prompt is answered by every policy; every pair of answers is
shown to a judge (the simulated crowd, or a held-out preference model). Equal
texts and choices too weak to keep are no games, but counted. Elo scores are
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
  first_won: np.ndarray  # [N] bool, or the chance of it
  prompt: np.ndarray  # [N] int
  conversation: np.ndarray  # [N] int, of the prompt
  num_equal: int  # pairs of equal texts
  num_weak: int  # choices dropped

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
  rows: list[tuple[int, int, bool, int]] = []
  num_equal = num_weak = 0
  for a, b in itertools.combinations(range(len(names)), 2):
    pairs = zip(replies[names[a]], replies[names[b]], strict=True)
    for prompt, (left, right) in enumerate(pairs):
      if left == right:
        num_equal += 1
        continue
      for game in range(games_per_prompt):
        # Sides are swapped every other game: no judge may favour a side.
        is_swapped = (prompt + game) % 2 == 1
        shown = (right, left) if is_swapped else (left, right)
        choice = judge(prompt, *shown, game)
        if choice is None:
          num_weak += 1
          continue
        rows.append((a, b, choice != is_swapped, prompt))
  table = np.array(rows, np.int64).reshape(-1, 4)
  return PolicyGames(
    names=names,
    first=table[:, 0],
    second=table[:, 1],
    first_won=table[:, 2].astype(bool),
    prompt=table[:, 3],
    conversation=np.asarray(conversations)[table[:, 3]],
    num_equal=num_equal,
    num_weak=num_weak,
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
      seed,
    )
    for seed, games in enumerate(played)
  ]
  ratings = {
    name: seeds.over_seeds(
      [float(mid[place]) for mid, _, _ in found],
      np.stack([draws[:, place] for _, draws, _ in found]),
    )
    for place, name in enumerate(names)
  }
  return ratings, sum(number for _, _, number in found)


def _as_games(games: PolicyGames) -> elo.Games:
  return elo.Games(
    first=games.first,
    second=games.second,
    first_won=games.first_won.astype(np.float64),
    num_players=len(games.names),
  )


def win_rates(games: PolicyGames) -> dict[str, Any]:
  """Returns, for each pair 'a/b', the share [low, mid, high] that a won."""
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
