"""Asks the finished models everything the report shows.

1. Preference models on test comparisons: accuracy by side, turn and tranche,
   calibration, and each one-sided model on the other side.
2. π0, best-of-k and the RLHF policy answer the same held-out prompts.
3. Their answers are scored by the preference models and, where the truth is
   known, by the gold judge; they play games judged by the crowd (or by the
   held-out preference model), from which Elo scores follow.

Reference: Bai et al. 2022, sections 2.4, 3.2-3.3, 4.6, 5 and B.5.
"""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from hh_jax.config import EvaluateConfig
from hh_jax.data.comparisons import Comparison
from hh_jax.data.prompts import Prompt
from hh_jax.evals import policy_games, preference_accuracy, scoring
from hh_jax.generation import best_of_k
from hh_jax.stages import loading, preference, rejection, session, worlds
from hh_jax.stats import bootstrap
from hh_jax.training import workdir as workdir_lib

NUM_DISPLAY_SAMPLES = 17  # a reply is shown as the median of 17 [§6, App. C]
RUN_FIELDS = {
  'mixture': 'pm_from',
  'held_out': 'held_out_pm_from',
  'helpful_pm': 'pm_helpful_from',
  'harmless_pm': 'pm_harmless_from',
}


def run(config: EvaluateConfig, workdir: str | pathlib.Path) -> str:
  """Evaluates finished runs into `workdir/evaluation.json`."""
  worlds.require_data(config.data)
  pms = open_pms(config)
  reference = loading.load_as(
    config.reference_from, 'reference_from', ('distill', 'pretrain')
  )
  rlhf = loading.load_as(config.rlhf_from, 'rlhf_from', ('rlhf',))
  for pm in pms.values():
    loading.require_same_tokenizer(reference, pm)
  claimed = session.begin(
    'evaluate', config, workdir, {'reference': reference, 'rlhf': rlhf, **pms}
  )
  if claimed.result:
    return claimed.result['line']
  found = judge_preferences(config, pms)
  found |= compare_policies(config, reference, rlhf, pms)
  workdir_lib.write_json(claimed.workdir / 'evaluation.json', found)
  accuracy = found['pm_accuracy']['all'][1]
  rating = found['elo']['overall']['rlhf'][1]
  return claimed.close(
    f'evaluate: PM accuracy {accuracy:.3f}, Elo of RLHF over π0 {rating:+.0f}',
    {'pm_accuracy': found['pm_accuracy'], 'elo': found['elo']},
  )


def open_pms(config: EvaluateConfig) -> dict[str, loading.Run]:
  """Opens the preference models that the config names; the first is a must."""
  pms = {}
  for name, field in RUN_FIELDS.items():
    workdir = getattr(config, field)
    if workdir or name == 'mixture':
      pms[name] = loading.load_as(workdir, field, ('pm', 'pmp'))
  return pms


def judge_preferences(
  config: EvaluateConfig, pms: Mapping[str, loading.Run]
) -> dict[str, Any]:
  """Returns accuracy, calibration and baselines on the test comparisons."""
  everything = worlds.comparisons(config.data, config.seed)
  _, test = worlds.split(everything.comparisons, config.data)
  test = preference.subset(test, config.num_comparisons, config.seed)
  if not test:
    raise ValueError(
      f'no test comparison: test_fraction={config.data.test_fraction} of '
      f'{len(everything.comparisons)} comparisons'
    )
  scores = {
    name: preference.pair_scores(
      pm.model, pm.params, test, pm.tokenizer, config.data
    )
    for name, pm in pms.items()
  }
  correct = {
    name: preference_accuracy.is_correct(table)
    for name, table in scores.items()
  }
  found: dict[str, Any] = {
    'data_card': worlds.describe(everything),
    'num_test': len(test),
    'pm_accuracy': preference_accuracy.by_side(test, correct['mixture']),
    'pm_accuracy_by_turn': preference_accuracy.by_turn(
      test, correct['mixture']
    ),
    'pm_accuracy_by_tranche': preference_accuracy.by_tranche(
      test, correct['mixture']
    ),
    'cross_accuracy': {
      name: preference_accuracy.by_side(test, values)
      for name, values in correct.items()
    },
    'calibration': {
      name: preference_accuracy.calibrate(test, table)
      for name, table in scores.items()
    },
    'baselines': {'longer_reply': preference_accuracy.longer_reply(test)},
  }
  if worlds.has_gold(config.data):
    found['bayes_accuracy'] = preference_accuracy.by_side(
      test, preference_accuracy.is_correct(gold_of_pairs(test))
    )
  return found


def gold_of_pairs(test: Sequence[Comparison]) -> np.ndarray:
  """Returns the gold utilities of chosen and rejected, [N, 2] float64."""
  return np.array(
    [
      [
        worlds.gold(item.prompt, item.chosen, item.side),
        worlds.gold(item.prompt, item.rejected, item.side),
      ]
      for item in test
    ]
  )


def compare_policies(
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
  found: dict[str, Any] = {
    'pm_score': {
      name: score_policies(pm, prompts, replies)
      for name, pm in pms.items()
      if name in ('mixture', 'held_out')
    },
    'samples': show_samples(
      config, reference, rlhf, pms['mixture'], prompts, replies
    ),
  }
  if worlds.has_gold(config.data):
    found['gold'] = gold_of_policies(prompts, replies)
  stand_in = score_table(pms.get('held_out', pms['mixture']), prompts, replies)
  judge = worlds.make_judge(
    config.data,
    config.seed,
    prompts,
    lambda number, reply: stand_in[number, reply],
  )
  games = policy_games.play(replies, judge, config.games_per_prompt)
  found['games'] = {
    'played': len(games.first),
    'equal_texts': games.num_equal,
    'too_weak': games.num_weak,
    'judge': 'crowd' if worlds.has_gold(config.data) else 'held-out PM',
  }
  found['elo'] = elo_by_side(config, games, prompts)
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
  dialogues = [prompt.dialogue for prompt in prompts]
  runs = {'pi0': (reference, 1), f'best_of_{config.k}': (reference, config.k)}
  runs['rlhf'] = (rlhf, 1)
  return {
    name: rejection.sample_candidates(
      policy, pm, dialogues, k, config.sampling, config.seed, name
    ).best
    for name, (policy, k) in runs.items()
  }


def score_table(
  pm: loading.Run,
  prompts: Sequence[Prompt],
  replies: Mapping[str, Sequence[str]],
) -> dict[tuple[int, str], float]:
  """Returns the score of every (prompt number, reply)."""
  table: dict[tuple[int, str], float] = {}
  for texts in replies.values():
    scores = score_texts(pm, prompts, texts)
    for number, (text, score) in enumerate(zip(texts, scores, strict=True)):
      table[number, text] = float(score)
  return table


def score_texts(
  pm: loading.Run, prompts: Sequence[Prompt], texts: Sequence[str]
) -> np.ndarray:
  """Returns the score of one reply to each prompt, [N]."""
  return scoring.score_replies(
    pm.model,
    pm.params,
    pm.tokenizer,
    [pm.tokenizer.encode_prompt(prompt.dialogue) for prompt in prompts],
    [pm.tokenizer.encode_reply(text) for text in texts],
  )


def score_policies(
  pm: loading.Run,
  prompts: Sequence[Prompt],
  replies: Mapping[str, Sequence[str]],
) -> dict[str, dict[str, list[float]]]:
  """Returns mean scores by side and policy, each [low, mid, high]."""
  return {
    name: intervals_by_side(prompts, score_texts(pm, prompts, texts))
    for name, texts in replies.items()
  }


def intervals_by_side(
  prompts: Sequence[Prompt], values: np.ndarray
) -> dict[str, list[float]]:
  """Returns the mean of each side, [low, mid, high]."""
  sides = np.array([prompt.side for prompt in prompts])
  return {
    side: bootstrap.mean_interval(values[sides == side]).tolist()
    for side in worlds.SIDES
    if (sides == side).any()
  }


def gold_of_policies(
  prompts: Sequence[Prompt], replies: Mapping[str, Sequence[str]]
) -> dict[str, dict[str, list[float]]]:
  """Returns gold helpfulness and harmlessness of each policy.

  Helpfulness is graded on helpful prompts, harmlessness on red-team prompts;
  `best_style` is the mean of the best reply style to the same prompts.
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
  }


def elo_by_side(
  config: EvaluateConfig,
  games: policy_games.Games,
  prompts: Sequence[Prompt],
) -> dict[str, dict[str, list[float]]]:
  """Returns Elo scores over all prompts and over those of each side."""
  sides = np.array([prompt.side for prompt in prompts])
  parts = {'overall': games}
  for side in worlds.SIDES:
    parts[side] = games.of_prompts(np.flatnonzero(sides == side))
  return {
    name: policy_games.elo_table(part, 'pi0', config.num_bootstrap)
    for name, part in parts.items()
    if len(part.first)
  }


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
      [prompt.dialogue for prompt in shown],
      NUM_DISPLAY_SAMPLES,
      config.sampling,
      config.seed,
      f'display/{name}',
    )
    medians[name] = median_replies(found)
  return [
    {
      'side': prompt.side,
      'prompt': [dataclasses.asdict(turn) for turn in prompt.dialogue.turns],
      'best_of_16': replies[f'best_of_{config.k}'][number],
      **{name: rows[i][0] for name, rows in medians.items()},
      **{f'score_{name}': rows[i][1] for name, rows in medians.items()},
    }
    for i, (number, prompt) in enumerate(zip(numbers, shown, strict=True))
  ]


def median_replies(found: rejection.Candidates) -> list[tuple[str, float]]:
  """Returns the median non-empty reply of each prompt, and its score."""
  is_empty = np.array(
    [[not text.strip() for text in texts] for texts in found.replies]
  )
  chosen = best_of_k.median_of(found.scores, is_empty)
  return [
    (texts[index], float(scores[index]))
    for texts, scores, index in zip(
      found.replies, found.scores, chosen, strict=True
    )
  ]
