"""Figure 12: what preference models make of harm and of gender.

Left: scores of first replies that are harmful and of those that are not. In the
lab the judge tells them apart; elsewhere a file does.
Right: gaps between scores of sentences that differ in gender alone, beside gaps
between terms of one gender.

Reference: Bai et al. 2022, section 3.4.2.
"""

from __future__ import annotations

import itertools
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from hh_jax.config import BiasConfig
from hh_jax.data import gender
from hh_jax.data.dialogue import Dialogue, conversation_ids
from hh_jax.evals import scoring
from hh_jax.stages import inputs, lineage, loading, probes
from hh_jax.stages.lineage import Lineage
from hh_jax.stages.studies.scaling import Rows
from hh_jax.stats import bootstrap

# What the sentences are said in reply to [open].
QUESTION = Dialogue.alternating('What does this person do?')
NUM_BINS = 24
NUM_RESAMPLES = 1000
ACROSS, WITHIN = 'across genders', 'within a gender'


def fig12(config: BiasConfig, workdir: pathlib.Path) -> dict[str, Any]:
  """Both panels, of the largest preference model of the first seed."""
  line = lineage.largest(config, workdir)
  run = loading.load_run(line.pm(line.pmp()))
  found: dict[str, Any] = {'shown': {'size': line.size, 'seed': line.seed}}
  replies = first_replies(config, line)
  if replies:
    found |= harm(run, replies)
  gaps = gender_gaps(run)
  return found | {
    'gender': histogram(gaps, 'gap'),
    'gender_summary': [
      {'gaps': kind, **summary(values)} for kind, values in gaps.items()
    ],
  }


def first_replies(config: BiasConfig, line: Lineage) -> list[probes.FirstReply]:
  """The replies of the config's file, or the lab's; none elsewhere."""
  data = inputs.place_data(config, config.pm.data)
  return probes.first_replies(
    data, line.seed, config.replies_file, config.num_replies
  )


def harm(
  run: loading.Run, replies: Sequence[probes.FirstReply]
) -> dict[str, Any]:
  """Scores of harmful and other first replies, less the mean of all."""
  scores = score(
    run, [one.prompt for one in replies], [one.text for one in replies]
  )
  scores = scores - scores.mean()
  is_harmful = np.array([one.is_harmful for one in replies])
  groups = {'harmful': scores[is_harmful], 'not harmful': scores[~is_harmful]}
  groups = {name: values for name, values in groups.items() if len(values)}
  found: dict[str, Any] = {'harm': histogram(groups, 'score')}
  if len(groups) == 2:
    prompts = conversation_ids([one.prompt for one in replies])
    gap = gap_interval(scores, is_harmful, prompts)
    found['harm_gap'] = {'not harmful less harmful': gap}
  return found


def gap_interval(
  scores: np.ndarray, is_harmful: np.ndarray, prompts: np.ndarray
) -> list[float]:
  """[low, mid, high] of the mean of others less that of harmful replies.

  Args:
    scores: [N].
    is_harmful: [N] bool.
    prompts: [N] int; replies to one prompt are resampled together.
  """
  columns = (scores * ~is_harmful, ~is_harmful, scores * is_harmful, is_harmful)
  totals = np.stack([np.bincount(prompts, column) for column in columns], 1)

  def gap(sums: np.ndarray) -> np.ndarray:
    others, num_others, harmful, num_harmful = np.moveaxis(sums, -1, 0)
    return others / np.maximum(num_others, 1) - harmful / np.maximum(
      num_harmful, 1
    )

  draws = bootstrap.resampled_sums(totals, NUM_RESAMPLES, seed=0)
  mid = float(gap(totals.sum(0, keepdims=True))[0])
  return bootstrap.percentile_interval(mid, gap(draws), 0.95).tolist()


def score(
  run: loading.Run, prompts: Sequence[Dialogue], replies: Sequence[str]
) -> np.ndarray:
  """Preference scores, [N] float64."""
  ids = [run.tokenizer.encode_prompt(prompt) for prompt in prompts]
  texts = [run.tokenizer.encode_reply(reply) for reply in replies]
  found = scoring.score_replies(
    run.model, run.params, run.tokenizer, ids, texts
  )
  return found.astype(np.float64)


def gender_gaps(run: loading.Run) -> dict[str, np.ndarray]:
  """Score gaps across genders (female less male) and within one."""
  cells = list(
    itertools.product(gender.TENSES, gender.OCCUPATIONS, gender.TERMS, (0, 1))
  )
  scores = score(
    run,
    [QUESTION] * len(cells),
    [
      gender.sentence(pair[which], occupation, tense)
      for tense, occupation, pair, which in cells
    ],
  )
  table = scores.reshape(-1, len(gender.TERMS), 2)  # sentence, pair, gender
  pairs = itertools.combinations(range(len(gender.TERMS)), 2)
  within = [table[:, i] - table[:, j] for i, j in pairs]
  return {
    ACROSS: (table[..., 0] - table[..., 1]).reshape(-1),
    WITHIN: np.concatenate(within, axis=1).reshape(-1),
  }


def summary(values: np.ndarray) -> dict[str, Any]:
  """Mean and spread of gaps in nats; occupations are resampled.

  Args:
    values: [N] gaps; the sentences of an occupation follow each other in
      either tense.
  """
  num_tenses, num_jobs = len(gender.TENSES), len(gender.OCCUPATIONS)
  each = len(values) // (num_tenses * num_jobs)
  jobs = np.tile(np.repeat(np.arange(num_jobs), each), num_tenses)
  return {
    'count': len(values),
    'mean': bootstrap.mean_interval(values, jobs).tolist(),
    'standard_deviation': float(values.std()),
    'mean_size': float(np.abs(values).mean()),
  }


def histogram(groups: dict[str, np.ndarray], x: str) -> Rows:
  """Shares of each group in common bins."""
  whole = np.concatenate([*groups.values()])
  low, high = np.quantile(whole, [0.002, 0.998])
  edges = np.linspace(low, high if high > low else low + 1.0, NUM_BINS + 1)
  rows = []
  for name, values in groups.items():
    counts = np.histogram(values, edges)[0]
    for place, count in enumerate(counts):
      middle = float(edges[place] + edges[place + 1]) / 2
      rows.append({'group': name, x: middle, 'share': count / len(values)})
  return rows
