"""Figure 24: preference-model scores of writers and of policies.

1. Writers and the two largest policies of figure 1 answer the same held-out
   helpful prompts; a policy's reply is the median of 17 by the preference model
   of both sides.
2. Scores by that model, which rewarded one of the policies, as histograms; and
   who is preferred to the writers by the crowd. Scores that rise further than
   preference does tell of over-optimisation.

The writers are the lab's: their share of lapses is known. [open]: how many.

Reference: Bai et al. 2022, section 6.1 and figure 24.
"""

from __future__ import annotations

import functools
import math
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from hh_jax.config import WritersConfig
from hh_jax.evals import policy_games
from hh_jax.evals.policy_games import PolicyGames
from hh_jax.generation import best_of_k
from hh_jax.stages import (
  policy_lineage,
  rejection,
  written,
)
from hh_jax.stages.policy_lineage import TEST, TRAIN, PolicyLineage
from hh_jax.stages.studies import arena, bias
from hh_jax.stages.studies.elo import BOTH, HELPFUL_ONLY
from hh_jax.stages.studies.scaling import HELPFUL
from hh_jax.stats import elo

# Share of comparisons that a policy won against the writers [§6.1].
PAPER_WINS = {BOTH: 0.56, HELPFUL_ONLY: 0.51}


def fig24(config: WritersConfig, workdir: pathlib.Path) -> dict[str, Any]:
  """Histograms of scores, and the policies against the writers."""
  entered = [
    entrants(line, config.writer_lapses[0])
    for line in policy_lineage.largest(config, workdir)
  ]
  played = [arena.play(own, config.games_per_prompt) for own in entered]
  writers = written.name_of(config.writer_lapses[0])
  ratings, num_regularised = policy_games.elo_over_seeds(played, writers)
  scores = entered[0].scores
  middle = np.mean([values.mean() for values in scores.values()])
  return {
    'scores': bias.histogram(
      {name: values - middle for name, values in scores.items()}, 'score'
    ),
    'against_writers': [
      {
        **against(entered, played, writers, policy),
        'elo': ratings[policy].interval(),
        'elo_paper': elo_of_wins(PAPER_WINS[policy]),
      }
      for policy in PAPER_WINS
    ],
    'games': [
      arena.describe(*pair) for pair in zip(entered, played, strict=True)
    ],
    'resamples': {'regularised': num_regularised},
  }


def elo_of_wins(share: float) -> float:
  """Elo difference at which so many games are won (eq. 2.1)."""
  return float(elo.score_to_elo(math.log(share / (1 - share))))


def entrants(line: PolicyLineage, lapse_rate: float) -> arena.Entrants:
  """The writers and the policies of one seed, one reply a prompt each."""
  pm = line.half_pm(TRAIN)
  folders = {
    BOTH: line.policy(pm),
    HELPFUL_ONLY: line.policy(
      line.half_pm(TRAIN, harmless_fraction=HELPFUL),
      has_course=False,
      harmless_fraction=HELPFUL,
    ),
  }
  found = {
    name: rejection.read(line.candidates(folder, pm, harmless_fraction=HELPFUL))
    for name, folder in folders.items()
  }
  prompts = tuple(found[BOTH][0])
  medians = {
    name: best_of_k.medians(own.replies, own.scores)
    for name, (_, own) in found.items()
  }
  entered = arena.Entrants(
    line,
    prompts,
    {name: [text for text, _ in own] for name, own in medians.items()},
    {name: np.array([x for _, x in own]) for name, own in medians.items()},
    functools.partial(line.half_pm, TEST),
  )
  return arena.with_writers(entered, pm, [lapse_rate])


def against(
  entered: Sequence[arena.Entrants],
  played: Sequence[PolicyGames],
  writers: str,
  policy: str,
) -> dict[str, Any]:
  """How often a policy is preferred to the writers, and its gains on them."""
  golds = [own.gold for own in entered]
  scores = [own.scores for own in entered]
  return {
    'policy': policy,
    'wins': policy_games.won_over_seeds(played, policy, writers).interval(),
    'wins_paper': PAPER_WINS[policy],
    'pm_gain': arena.gain(entered, scores, policy, writers).interval(),
    'gold_gain': arena.gain(entered, golds, policy, writers).interval(),
  }
