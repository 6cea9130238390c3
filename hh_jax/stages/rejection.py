"""Rejection sampling: best of k replies by the preference model.

1. k replies a prompt are sampled from the policy; the prompt is read once.
2. The preference model scores prompt and replies as one tree.
3. The best reply, all scores and the median are written as JSON lines.

Reference: Bai et al. 2022, sections 2.3 and B.6.
"""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from hh_jax.config import EvaluateConfig, RejectionConfig
from hh_jax.data import jsonl
from hh_jax.data import prompts as prompts_lib
from hh_jax.data.dialogue import Dialogue, Turn
from hh_jax.data.prompts import Prompt
from hh_jax.evals import scoring
from hh_jax.generation import best_of_k, decode
from hh_jax.stages import inputs, loading, prompting, session, worlds
from hh_jax.stats import bootstrap, frontier
from hh_jax.training import keys, progress
from hh_jax.training import workdir as workdir_lib

FILE = 'samples/best_of_k.jsonl'


@dataclasses.dataclass(frozen=True)
class Candidates:
  """k replies a prompt with their scores, in the prompts' order."""

  replies: list[list[str]]  # [N][k]
  scores: np.ndarray  # [N, k] float32

  @property
  def best(self) -> list[str]:
    """The highest-scored reply of each prompt, [N]."""
    chosen = best_of_k.best_of(self.scores)
    return [
      replies[int(i)] for replies, i in zip(self.replies, chosen, strict=True)
    ]


def sample_candidates(
  policy: loading.Run,
  pm: loading.Run,
  prompts: Sequence[Prompt],
  k: int,
  config: RejectionConfig | EvaluateConfig,
  purpose: str,
) -> Candidates:
  """Samples k replies a prompt and scores them with the preference model."""
  tokenizer = policy.tokenizer
  prompt_ids = prompting.encode(
    tokenizer,
    [prompt.dialogue for prompt in prompts],
    config.data,
    config.sampling,
  )
  generated = decode.generate(
    policy.model,
    policy.params,
    prompt_ids,
    best_of_k.reply_ids(np.array([prompt.id for prompt in prompts]), k),
    keys.fold(config.seed, 'rejection', purpose),
    config.sampling,
    tokenizer.turn_markers,
    progress.reporter(f'sampling ({purpose})'),
  )
  reply_ids = generated.contents()
  grouped = [reply_ids[i * k : (i + 1) * k] for i in range(len(prompts))]
  scores = scoring.score_candidates(
    pm.model, pm.params, pm.tokenizer, prompt_ids, grouped
  )
  texts = [[tokenizer.decode_reply(ids) for ids in group] for group in grouped]
  return Candidates(replies=texts, scores=scores)


def score(
  pm: loading.Run,
  prompts: Sequence[Prompt],
  replies: Sequence[Sequence[str]],
  config: RejectionConfig | EvaluateConfig,
) -> np.ndarray:
  """Scores texts, as many for each prompt, [N, k] float32."""
  dialogues = [prompt.dialogue for prompt in prompts]
  return scoring.score_candidates(
    pm.model,
    pm.params,
    pm.tokenizer,
    prompting.encode(pm.tokenizer, dialogues, config.data, config.sampling),
    [[pm.tokenizer.encode_reply(text) for text in group] for group in replies],
  )


def run(config: RejectionConfig, workdir: str | pathlib.Path) -> str:
  """Writes the best of k replies to held-out prompts; returns one line."""
  inputs.require(config)
  policy = loading.load_run(config.policy_from)
  pm = loading.load_run(config.pm_from)
  claimed = session.begin(
    'rejection', config, workdir, {'policy_from': policy, 'pm_from': pm}
  )
  if claimed.result:
    return claimed.result['line']
  prompts = worlds.prompts(
    config.data,
    config.seed,
    config.num_prompts,
    config.harmless_fraction,
    is_held_out=True,
  )
  found = sample_candidates(policy, pm, prompts, config.k, config, 'stage')
  workdir_lib.write_jsonl(claimed.workdir / FILE, records(prompts, found))
  gain = bootstrap.mean_interval(
    found.scores.max(1) - found.scores.mean(1),
    prompts_lib.conversations_of(prompts),
  )
  return claimed.close(
    f'rejection: best of {config.k} scores {gain[1]:+.3f} '
    f'[{gain[0]:+.3f}, {gain[2]:+.3f}] above the mean sample',
    {
      'gain': gain,
      'num_prompts': len(prompts),
      'kl_bound': frontier.best_of_n_kl(config.k),
    },
  )


def records(
  prompts: Sequence[Prompt], found: Candidates
) -> list[dict[str, Any]]:
  """Returns one JSON object a prompt."""
  return [
    {
      'prompt': [dataclasses.asdict(turn) for turn in prompt.dialogue.turns],
      'side': prompt.side,
      'best': best,
      'scores': [round(float(score), 6) for score in scores],
      'replies': replies,
    }
    for prompt, best, scores, replies in zip(
      prompts, found.best, found.scores, found.replies, strict=True
    )
  ]


def read(folder: pathlib.Path) -> tuple[list[Prompt], Candidates]:
  """Returns the prompts of a finished run and their candidates."""
  prompts, replies, scores = [], [], []
  for number, (_, row) in enumerate(jsonl.read_rows(folder / FILE)):
    turns = tuple(Turn(**turn) for turn in row['prompt'])
    prompts.append(Prompt(Dialogue(turns), row['side'], number))
    replies.append(row['replies'])
    scores.append(row['scores'])
  return prompts, Candidates(replies, np.array(scores, np.float32))
