"""Policies of one seed that answered the same prompts, and their games.

The crowd judges in the lab; elsewhere a preference model that no policy was
chosen or trained by stands in for people.

Reference: Bai et al. 2022, sections 2.4 and B.5.
"""

from __future__ import annotations

import dataclasses
import functools
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from hh_jax.config import DataConfig
from hh_jax.data import prompts as prompts_lib
from hh_jax.data.prompts import Prompt
from hh_jax.evals import policy_games
from hh_jax.evals.policy_games import PolicyGames
from hh_jax.stages import (
  inputs,
  loading,
  policy_comparison,
  worlds,
  written,
)
from hh_jax.stages.policy_lineage import PolicyLineage
from hh_jax.stats import seeds

Values = Mapping[str, np.ndarray]  # of each policy's reply to each prompt, [N]


@dataclasses.dataclass(frozen=True)
class Entrants:
  """What some policies said, one reply a prompt each."""

  line: PolicyLineage
  prompts: tuple[Prompt, ...]
  replies: Mapping[str, Sequence[str]]
  scores: Values  # by one preference model
  # Folder of the preference model that judges where there is no crowd.
  judge_pm: Callable[[], pathlib.Path]

  @functools.cached_property
  def data(self) -> DataConfig:
    return inputs.place_data(self.line.config, self.line.config.rejection.data)

  @functools.cached_property
  def clusters(self) -> np.ndarray:
    """Key of each prompt's conversation, [N] int."""
    return prompts_lib.conversation_keys(self.prompts)

  @functools.cached_property
  def sides(self) -> np.ndarray:
    """Side of each prompt, [N] str."""
    return np.array([prompt.side for prompt in self.prompts])

  @property
  def has_gold(self) -> bool:
    return worlds.has_gold(self.data)

  @functools.cached_property
  def gold(self) -> Values:
    """Gold utility of each reply on its prompt's side."""
    return {
      name: np.array(
        [
          worlds.gold(prompt.dialogue, text, prompt.side)
          for prompt, text in zip(self.prompts, texts, strict=True)
        ]
      )
      for name, texts in self.replies.items()
    }


def with_writers(
  entered: Entrants, pm: pathlib.Path, lapse_rates: Sequence[float]
) -> Entrants:
  """Lets writers enter, who come first.

  Args:
    entered: Policies.
    pm: Preference model whose scores the policies have.
    lapse_rates: One a writer.
  """
  texts = {
    written.name_of(rate): written.replies(
      entered.data, entered.line.seed, entered.prompts, rate
    )
    for rate in lapse_rates
  }
  scores = policy_comparison.score_policies(
    entered.line.config.rejection, loading.load_run(pm), entered.prompts, texts
  )
  return dataclasses.replace(
    entered,
    replies={**texts, **entered.replies},
    scores={**scores, **entered.scores},
  )


def play(entrants: Entrants, games_per_prompt: int) -> PolicyGames:
  """Lets every two policies meet on every prompt."""
  scores = {} if entrants.has_gold else judged_scores(entrants)
  judge = worlds.make_judge(
    entrants.data,
    entrants.line.seed,
    entrants.prompts,
    lambda number, reply: scores[number, reply],
  )
  return policy_games.play(
    entrants.replies, entrants.clusters, judge, games_per_prompt
  )


def judged_scores(entrants: Entrants) -> dict[tuple[int, str], float]:
  """Scores of the judging preference model, by prompt number and reply."""
  pm = loading.load_run(entrants.judge_pm())
  scores = policy_comparison.score_policies(
    entrants.line.config.rejection, pm, entrants.prompts, entrants.replies
  )
  return policy_comparison.by_text(entrants.replies, scores)


def gain(
  entered: Sequence[Entrants],
  values: Sequence[Values],
  name: str,
  anchor: str,
  side: str = '',
) -> seeds.Estimate:
  """Mean of a policy less that of the anchor, prompt by prompt.

  Args:
    entered: Of every seed.
    values: Scores or gold utilities of every seed.
    name: The policy.
    anchor: The policy it is compared with.
    side: 'helpful', 'harmless' or '' for the prompts of both.
  """
  members = [
    own.sides == side if side else np.ones(len(own.sides), bool)
    for own in entered
  ]
  return seeds.mean(
    [
      (found[name] - found[anchor])[kept]
      for found, kept in zip(values, members, strict=True)
    ],
    [own.clusters[kept] for own, kept in zip(entered, members, strict=True)],
  )


def describe(entrants: Entrants, games: PolicyGames) -> dict[str, Any]:
  """What was played, and what was left out."""
  return {
    'seed': str(entrants.line.seed),
    'judge': 'crowd' if entrants.has_gold else 'test PM',
    'played': len(games.first),
    'equal_texts': games.num_equal,
    'too_weak': games.num_weak,
  }
