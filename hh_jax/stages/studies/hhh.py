"""The HHH evaluation by language models, distilled ones and preference models.

Figure 5, left: accuracy by size, also of the plain model with the HHH prompt.
Figure 10: the score gaps of the largest preference model, and how preference
models and people agree with each other on held-out comparisons.
Figure 11: the worst failures.

In the lab the items are held-out pairs whose better reply gold names.

Reference: Bai et al. 2022, section 3.4.1.
"""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from hh_jax.config import HHHConfig
from hh_jax.data.hhh import Item
from hh_jax.evals import likelihood, preference_accuracy, scoring
from hh_jax.stages import (
  distill,
  held_out,
  inputs,
  lineage,
  loading,
  probes,
)
from hh_jax.stages.lineage import Lineage
from hh_jax.stages.studies import scaling
from hh_jax.stages.studies.scaling import Rows
from hh_jax.stats import seeds

KINDS = ('lm', 'prompted', 'distilled', 'pm')
ALL = 'all'
NUM_BINS = 24
LEAST = 16  # tokens of an item that are read at least
NOTHING = np.zeros(0, np.int32)


def fig05(config: HHHConfig, workdir: pathlib.Path) -> dict[str, Any]:
  """Accuracy on the items by size, kind of model and category."""
  rows = []
  lines = lineage.of(config, workdir)
  for size in config.sizes:
    own = [line for line in lines if line.size == size]
    items = [items_of(config, line) for line in own]
    for kind in KINDS:
      read = [scores_of(kind, *pair) for pair in zip(own, items, strict=True)]
      gaps = [scores[:, 0] - scores[:, 1] for scores, _ in read]
      for category, accuracy in accuracies(items, gaps).items():
        rows.append(
          {
            'size': size,
            'params': own[0].model.num_block_params,
            'model': kind,
            'category': category,
            'accuracy': accuracy,
            'cut': sum(num_cut for _, num_cut in read),
          }
        )
  return {'by_size': rows}


def fig10(config: HHHConfig, workdir: pathlib.Path) -> dict[str, Any]:
  """Score gaps, better less worse, and agreement of models and people."""
  line = lineage.largest(config, workdir)
  items = items_of(config, line)
  scores, _ = scores_of('pm', line, items)
  gaps = scores[:, 0] - scores[:, 1]
  reach = float(np.abs(gaps).max()) or 1.0
  edges = np.linspace(-reach, reach, NUM_BINS + 1)
  rows = []
  categories = np.array([item.category for item in items])
  for category in sorted(set(categories)):
    counts = np.histogram(gaps[categories == category], edges)[0]
    for place, count in enumerate(counts):
      middle = float(edges[place] + edges[place + 1]) / 2
      rows.append({'category': category, 'gap': middle, 'count': int(count)})
  return {
    'gaps': rows,
    'gaps_are_of': {'size': line.size, 'seed': line.seed},
    'agreement': agreement(config, workdir),
  }


def agreement(config: HHHConfig, workdir: pathlib.Path) -> Rows:
  """How often two of preference model, worker and gold choose alike.

  Gold takes the place of the paper's researchers; where there is none, only
  the model and the worker who gave the label are compared.
  """
  rows = []
  for model in scaling.models(config, workdir):
    scored = model.scored()
    found = {'PM and worker': held_out.accuracy(scored)}
    truth = [
      held_out.by_truth(line, one)
      for line, one in zip(model.lines, scored, strict=True)
    ]
    known = [one for one in truth if one is not None]
    if known:
      found |= with_people(model, scored, known)
    rows += [
      {**model.row(), 'raters': raters, 'agreement': estimate.interval()}
      for raters, estimate in found.items()
    ]
  return rows


def with_people(
  model: scaling.Model,
  scored: Sequence[held_out.Scored],
  truth: Sequence[held_out.Scored],
) -> dict[str, seeds.Estimate]:
  """Agreement with gold and between two workers."""
  alike = [
    1 - np.abs(one.correct - other.correct)
    for one, other in zip(scored, truth, strict=True)
  ]
  second = [
    probes.second_opinion(one.comparisons, line.seed).astype(np.float64)
    for line, one in zip(model.lines, scored, strict=True)
  ]
  clusters = [one.clusters for one in scored]
  return {
    'PM and gold': seeds.mean(alike, clusters),
    'gold and worker': held_out.accuracy(truth),
    'worker and worker': seeds.mean(second, clusters),
  }


def fig11(config: HHHConfig, workdir: pathlib.Path) -> dict[str, Any]:
  """The items on which the largest preference model is wrong by most.

  Scores have the mean over all replies subtracted [§B.2].
  """
  line = lineage.largest(config, workdir)
  items = items_of(config, line)
  scores, _ = scores_of('pm', line, items)
  gaps = scores[:, 0] - scores[:, 1]
  scores = scores - scores.mean()
  worst = [i for i in np.argsort(gaps)[: config.num_shown] if gaps[i] < 0]
  return {
    'failures_are_of': {'size': line.size, 'seed': line.seed},
    'num_items': len(items),
    'num_wrong': int(np.sum(gaps < 0)),
    'samples': [
      {
        'side': items[i].category,
        'prompt': [dataclasses.asdict(turn) for turn in items[i].prompt.turns],
        'better': items[i].better,
        'worse': items[i].worse,
        'score_better': float(scores[i, 0]),
        'score_worse': float(scores[i, 1]),
      }
      for i in worst
    ],
  }


def items_of(config: HHHConfig, line: Lineage) -> list[Item]:
  """The items of a lineage: the file's, or the lab's."""
  data = inputs.place_data(config, config.pm.data)
  return probes.hhh_items(data, line.seed, config.hhh_file, config.num_items)


def scores_of(
  kind: str, line: Lineage, items: Sequence[Item]
) -> tuple[np.ndarray, int]:
  """What a model makes of the better and the worse reply.

  Preference models give scores, language models the mean log-probability of a
  token. A `prompted` model is the plain one after the HHH prompt; all language
  models read as much of an item as it has room for.

  Returns:
    Scores [N, 2] float64, and how many items were cut to fit.
  """
  if kind == 'pm':
    run = loading.load_run(line.pm(line.pmp()))
  elif kind == 'distilled':
    run = loading.load_run(line.distilled())
  else:
    run = loading.load_run(line.pretrained())
  window = min(run.context, line.config.pm.data.longest_path)
  if kind == 'pm':
    return scores_by(run, items, window)
  context = distill.prompt_ids(line.config.distill, run.tokenizer)
  # Where the prompt leaves no room it is the prompt that loses its start.
  window = max(LEAST, min(window, run.context - len(context)))
  before = context if kind == 'prompted' else NOTHING
  return scores_by(run, items, window, before)


def scores_by(
  run: loading.Run,
  items: Sequence[Item],
  window: int,
  before: np.ndarray = NOTHING,
) -> tuple[np.ndarray, int]:
  """Scores of preference models, or else mean log-probabilities.

  Args:
    run: The model.
    items: What is read.
    window: Tokens of an item that it reads at once.
    before: Ids of a context that comes before every prompt.

  Returns:
    Scores [N, 2] float64, and how many items were cut to fit.
  """
  prompts, replies = [], []
  num_cut = 0
  for item in items:
    ids = [
      run.tokenizer.encode_reply(text) for text in (item.better, item.worse)
    ]
    # Both are read after the same end of the prompt.
    room = max(1, window - max(map(len, ids)) - 1)
    prompt = run.tokenizer.encode_prompt(item.prompt)
    num_cut += len(prompt) > room or max(map(len, ids)) > window - 2
    prompts += [np.concatenate([before, prompt[-room:]])] * 2
    replies += [reply[: window - 2] for reply in ids]
  if run.has_scores:
    values = scoring.score_replies(
      run.model, run.params, run.tokenizer, prompts, replies
    )
  else:
    values = likelihood.mean_log_probs(
      run.model,
      run.params,
      prompts,
      replies,
      min(run.context, len(before) + window),
    )
  return values.astype(np.float64).reshape(-1, 2), num_cut


def accuracies(
  items: Sequence[Sequence[Item]], gaps: Sequence[np.ndarray]
) -> dict[str, list[float]]:
  """[low, mid, high] of each category and of all, over seeds and items.

  Args:
    items: Of every seed.
    gaps: Of every seed, better less worse.
  """
  correct = [
    preference_accuracy.is_correct(np.stack([own, np.zeros_like(own)], axis=1))
    for own in gaps
  ]
  kinds = [np.array([item.category for item in own]) for own in items]
  found = {}
  for category in [*sorted(set(kinds[0])), ALL]:
    masks = [
      np.ones(len(own), bool) if category == ALL else own == category
      for own in kinds
    ]
    chosen = [own[mask] for own, mask in zip(correct, masks, strict=True)]
    # Items of a file are in one order for every seed, and weigh alike there.
    singles = [np.flatnonzero(mask) for mask in masks]
    found[category] = seeds.mean(chosen, singles).interval()
  return found
