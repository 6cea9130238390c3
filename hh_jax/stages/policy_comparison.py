"""Three policies answer the same held-out prompts, and are compared.

1. π0, best-of-k of π0, and the RLHF policy answer every prompt.
2. Preference models score the answers; where the truth is known, the gold
   judge grades them.
3. Every pair of answers is a game, judged by the crowd (or, where there is
   none, by the held-out preference model, or else by the one that rewarded);
   Elo scores follow.

Reference: Bai et al. 2022, sections 2.2, 2.4, 4.6 and B.5.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from hh_jax.config import EvaluateConfig, RejectionConfig
from hh_jax.data import prompts as prompts_lib
from hh_jax.data.comparisons import SIDES
from hh_jax.data.prompts import Prompt
from hh_jax.evals import policy_games
from hh_jax.generation import best_of_k
from hh_jax.stages import loading, rejection, worlds
from hh_jax.stats import bootstrap, elo

JUDGES = {'held_out': 'held-out PM', 'mixture': 'the PM of the reward'}


def compare(
  config: EvaluateConfig,
  reference: loading.Run,
  rlhf: loading.Run,
  pms: Mapping[str, loading.Run],
) -> dict[str, Any]:
  """Returns scores, gold utilities, games and Elo of the three policies."""
  prompts = worlds.prompts(
    config.data, config.seed, config.num_prompts, 0.5, is_held_out=True
  )
  replies = answer_all(config, reference, rlhf, pms['mixture'], prompts)
  scores = {
    name: score_policies(config, pms[name], prompts, replies)
    for name in JUDGES
    if name in pms
  }
  gains = {name: gains_over_pi0(prompts, own) for name, own in scores.items()}
  found: dict[str, Any] = {
    'pm_gain': gains,
    'samples': show_samples(
      config, reference, rlhf, pms['mixture'], prompts, replies
    ),
  }
  if worlds.has_gold(config.data):
    found['gold'] = gold_of_policies(prompts, replies)
  judging, own = next(iter(scores.items()))
  table = by_text(replies, own)
  judge = worlds.make_judge(
    config.data,
    config.seed,
    prompts,
    lambda number, reply: table[number, reply],
  )
  games = policy_games.play(
    replies,
    prompts_lib.conversations_of(prompts),
    judge,
    config.games_per_prompt,
  )
  tables = elo_by_side(config, games, prompts)
  found['games'] = {
    'played': len(games.first),
    'equal_texts': games.num_equal,
    'too_weak': games.num_weak,
    'judge': 'crowd' if worlds.has_gold(config.data) else JUDGES[judging],
    'num_regularised': {
      name: table.num_regularised for name, table in tables.items()
    },
  }
  found['elo'] = {name: table.ratings for name, table in tables.items()}
  found['predicted_elo'] = predict_elo(gains['mixture'])
  found['win_rates'] = policy_games.win_rates(games)
  return found


def answer_all(
  config: EvaluateConfig,
  reference: loading.Run,
  rlhf: loading.Run,
  pm: loading.Run,
  prompts: Sequence[Prompt],
) -> dict[str, list[str]]:
  """Returns one reply a prompt of each policy."""
  runs = {'pi0': (reference, 1), f'best_of_{config.k}': (reference, config.k)}
  runs['rlhf'] = (rlhf, 1)
  return {
    name: rejection.sample_candidates(policy, pm, prompts, k, config, name).best
    for name, (policy, k) in runs.items()
  }


def by_text(
  replies: Mapping[str, Sequence[str]], scores: Mapping[str, np.ndarray]
) -> dict[tuple[int, str], float]:
  """Returns scores by prompt number and reply.

  Args:
    replies: Of each policy, one a prompt.
    scores: Of each policy, [N].
  """
  return {
    (number, text): float(score)
    for name, texts in replies.items()
    for number, (text, score) in enumerate(
      zip(texts, scores[name], strict=True)
    )
  }


def score_policies(
  config: EvaluateConfig | RejectionConfig,
  pm: loading.Run,
  prompts: Sequence[Prompt],
  replies: Mapping[str, Sequence[str]],
) -> dict[str, np.ndarray]:
  """Returns the score of each policy's reply to each prompt, [N]."""
  return {
    name: rejection.score(pm, prompts, [[text] for text in texts], config)[:, 0]
    for name, texts in replies.items()
  }


def gains_over_pi0(
  prompts: Sequence[Prompt], scores: Mapping[str, np.ndarray]
) -> dict[str, dict[str, list[float]]]:
  """Returns mean gains by policy and side, each [low, mid, high].

  Only differences of scores on one prompt mean anything, so each reply is
  compared with π0's to the same prompt, and π0 is exactly at 0 [§B.2].
  """
  return {
    name: intervals_by_side(prompts, values - scores['pi0'])
    for name, values in scores.items()
  }


def intervals_by_side(
  prompts: Sequence[Prompt], values: np.ndarray
) -> dict[str, list[float]]:
  """Returns the mean of each side, [low, mid, high]."""
  sides = np.array([prompt.side for prompt in prompts])
  return bootstrap.mean_intervals(
    values, sides, prompts_lib.conversations_of(prompts), SIDES
  )


def gold_of_policies(
  prompts: Sequence[Prompt], replies: Mapping[str, Sequence[str]]
) -> dict[str, dict[str, list[float]]]:
  """Returns gold helpfulness and harmlessness of each policy.

  Helpfulness is graded on helpful prompts, harmlessness on red-team prompts,
  where there are any; `best_style` is the mean of the best reply style to the
  same prompts.
  """
  columns = {
    name: np.array(
      [
        worlds.gold(prompt.dialogue, text, prompt.side)
        for prompt, text in zip(prompts, texts, strict=True)
      ]
    )
    for name, texts in replies.items()
  }
  columns['best_style'] = np.array(
    [worlds.best_gold(prompt.dialogue, prompt.side) for prompt in prompts]
  )
  by_side = {
    name: intervals_by_side(prompts, values) for name, values in columns.items()
  }
  return {
    label: {name: table[side] for name, table in by_side.items()}
    for side, label in (
      ('helpful', 'helpfulness'),
      ('harmless', 'harmlessness'),
    )
    if side in by_side['best_style']
  }


def elo_by_side(
  config: EvaluateConfig,
  games: policy_games.PolicyGames,
  prompts: Sequence[Prompt],
) -> dict[str, policy_games.EloTable]:
  """Returns Elo scores over all prompts and over those of each side.

  Raises:
    ValueError: No game was kept.
  """
  if not len(games.first):
    raise ValueError(
      f'no game was kept ({games.num_weak} choices too weak); raise '
      f'num_prompts={config.num_prompts}'
    )
  sides = np.array([prompt.side for prompt in prompts])
  parts = {'overall': games}
  for side in SIDES:
    parts[side] = games.of_prompts(np.flatnonzero(sides == side))
  return {
    name: policy_games.elo_table(part, 'pi0', config.num_bootstrap)
    for name, part in parts.items()
    if len(part.first)
  }


def predict_elo(
  gains: Mapping[str, Mapping[str, list[float]]],
) -> dict[str, dict[str, dict[str, float]]]:
  """Returns what a preference model's mean gains over π0 predict.

  A score gap Δ is 400 / ln 10 · Δ Elo points (about 174 a unit), and an Elo
  gap is a win fraction (eq. 2.1).
  """
  table: dict[str, dict[str, dict[str, float]]] = {}
  for name, by_side in gains.items():
    for side, interval in by_side.items():
      points = float(elo.score_to_elo(interval[1]))
      table.setdefault(side, {})[name] = {
        'elo': points,
        'win_fraction': float(elo.win_fraction(points, 0.0)),
      }
  return table


def show_samples(
  config: EvaluateConfig,
  reference: loading.Run,
  rlhf: loading.Run,
  pm: loading.Run,
  prompts: Sequence[Prompt],
  replies: Mapping[str, Sequence[str]],
) -> list[dict[str, Any]]:
  """Returns dialogues before and after, each the median of 17 samples."""
  numbers = np.linspace(0, len(prompts) - 1, config.num_dialogues).astype(int)
  shown = [prompts[i] for i in numbers]
  medians = {}
  for name, policy in (('before', reference), ('after', rlhf)):
    found = rejection.sample_candidates(
      policy,
      pm,
      shown,
      best_of_k.NUM_DISPLAY_SAMPLES,
      config,
      f'display/{name}',
    )
    medians[name] = best_of_k.medians(found.replies, found.scores)
  return [
    {
      'side': prompt.side,
      'prompt': [dataclasses.asdict(turn) for turn in prompt.dialogue.turns],
      f'best_of_{config.k}': replies[f'best_of_{config.k}'][number],
      **{name: rows[i][0] for name, rows in medians.items()},
      **{f'score_{name}': rows[i][1] for name, rows in medians.items()},
    }
    for i, (number, prompt) in enumerate(zip(numbers, shown, strict=True))
  ]
