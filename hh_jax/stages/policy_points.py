"""Points of reward against √KL along a policy's training.

1. Fresh samples of held-out prompts from the policy at hand.
2. KL(π || π0): exact per token over the full vocabulary, summed over the
   reply; the estimates k1 and k3 of the same samples stand beside it.
3. Scores by the training and the held-out preference model and, where the
   truth is known, by the gold judge.
4. A point is one JSON file, a function of (state, step): resuming repeats it.
   Beside it lie the ids of its replies, which any model may score later.
5. Length, end, repetition and refusal of every reply, which need no judge.
6. The gain since the start is measured prompt by prompt, so that its interval
   has the uncertainty of both ends and not the spread between prompts.

Reference: Bai et al. 2022, section 4.3, figures 4 and 13.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from hh_jax import sharding
from hh_jax.config import RLHFConfig
from hh_jax.data import prompts as prompts_lib
from hh_jax.data.prompts import Prompt
from hh_jax.data.tokenizer import Tokenizer
from hh_jax.evals import repetition, scoring
from hh_jax.losses import ppo
from hh_jax.models import heads, ladder, readout
from hh_jax.models.transformer import Transformer
from hh_jax.ops import arrays, logprobs
from hh_jax.stages import curves, loading, prompting, worlds
from hh_jax.stages import rollout as rollout_lib
from hh_jax.stats import bootstrap
from hh_jax.training import distributed, keys
from hh_jax.training import workdir as workdir_lib
from hh_jax.types import Params

BATCH_SIZE = 64
GOLD_LABELS = {'helpful': 'helpfulness', 'harmless': 'harmlessness'}
POINTS = 'points'  # folder in a run's workdir
ABSENT = -1  # beyond a reply in a table of ids


@dataclasses.dataclass(frozen=True)
class PolicyPoints:
  """What a policy is measured with while it trains."""

  config: RLHFConfig
  reference: loading.Run
  judges: Mapping[str, loading.Run]
  prompts: tuple[Prompt, ...]
  pool: rollout_lib.PromptPool
  folder: pathlib.Path

  def at(self, params: Params, step: int) -> dict[str, float] | None:
    """Writes the point of a step that is due; returns what to log."""
    is_first = step <= self.config.eval_first
    is_last = step == self.config.num_iterations
    if step % self.config.eval_every and not is_first and not is_last:
      return None
    point = self.measure(params, step)
    return {
      'eval/sqrt_kl': float(np.sqrt(max(point['kl'], 0.0))),
      'eval/train_pm': point['train_pm'][1],
    }

  def measure(self, params: Params, step: int) -> dict[str, Any]:
    """Samples, scores and writes one point."""
    replies = self._sample(params, step)
    passes = self._read(params, replies)
    point = self._describe(replies, passes, step)
    point['samples'] = step * self.config.data.batch_size
    if distributed.is_first():
      curves.write_array(_replies_file(self.folder, step), as_table(replies))
      workdir_lib.write_json(self._file(step), point)
    return point

  def start(self, initial: Params) -> None:
    """Measures the initial policy, unless that was done before."""
    if not self._file(0).exists():
      self.measure(initial, 0)

  def collect(self, last_step: int) -> list[dict[str, Any]]:
    """Returns all points up to a step, in order, with their `gain`."""
    points = read(self.folder, last_step)
    values = [
      {name: np.array(row) for name, row in point.pop('by_prompt').items()}
      for point in points
    ]
    for point, after in zip(points, values, strict=True):
      point['gain'] = self.intervals(
        {name: after[name] - before for name, before in values[0].items()}
      )
    return points

  def _file(self, step: int) -> pathlib.Path:
    return _point_file(self.folder, step)

  def _sample(self, params: Params, step: int) -> rollout_lib.Replies:
    return rollout_lib.sample(
      self.reference.model,
      params,
      self.reference.tokenizer,
      self.pool,
      keys.fold(self.config.seed, 'rlhf', 'points', step),
      self.config.sampling,
    )

  def _read(
    self, params: Params, replies: rollout_lib.Replies
  ) -> dict[str, np.ndarray]:
    run = self.reference
    parts = []
    for start in range(0, len(replies.prompts), BATCH_SIZE):
      examples = range(start, min(start + BATCH_SIZE, len(replies.prompts)))
      batch = rollout_lib.pack_replies(
        replies,
        examples,
        run.tokenizer,
        self.config.data.row_length,
        BATCH_SIZE,
      )
      found = read_policy(
        run.model,
        self.config.sampling.temperature,
        params,
        run.params,
        batch,
      )
      for name, judge in self.judges.items():
        found[name] = scoring.packed_scores(
          judge.model, judge.params, batch.packed
        )[:, 0]
      parts.append(
        {k: sharding.to_host(v)[: len(examples)] for k, v in found.items()}
      )
    return {
      name: np.concatenate([part[name] for part in parts]) for name in parts[0]
    }

  def _describe(
    self,
    replies: rollout_lib.Replies,
    passes: Mapping[str, np.ndarray],
    step: int,
  ) -> dict[str, Any]:
    mask = replies.mask
    kl = np.where(mask, passes['kl'], 0.0).sum(1)
    estimates = ppo.kl_estimates(
      jnp.asarray(passes['log_probs']),
      jnp.asarray(passes['ref_log_probs']),
      jnp.asarray(mask),
    )
    decode_reply = self.reference.tokenizer.decode_reply
    texts = [decode_reply(ids) for ids in replies.contents()]
    point: dict[str, Any] = {
      'step': step,
      'kl': float(kl.mean()),
      'k1': float(estimates['k1'].mean()),
      'k3': float(estimates['k3'].mean()),
      'entropy': float(passes['entropy'][mask].mean()),
    }
    values = {name: np.asarray(passes[name]) for name in self.judges}
    if worlds.has_gold(self.config.data):
      values['gold'] = np.array(
        [
          worlds.gold(prompt.dialogue, text, prompt.side)
          for prompt, text in zip(self.prompts, texts, strict=True)
        ]
      )
    values |= self._describe_replies(replies, texts)
    point |= self.intervals(values)
    values['kl'] = kl
    point['by_prompt'] = {name: row.tolist() for name, row in values.items()}
    return point

  def _describe_replies(
    self, replies: rollout_lib.Replies, texts: Sequence[str]
  ) -> dict[str, np.ndarray]:
    """What can be said of each reply without any judge, [N] float64."""
    refused = [
      worlds.is_refusal(self.config.data, prompt.dialogue, text)
      for prompt, text in zip(self.prompts, texts, strict=True)
    ]
    return {
      'response_length': replies.num_tokens.astype(np.float64),
      'eot_rate': replies.has_eot.astype(np.float64),
      'repetition': np.array(
        [repetition.rate(ids) for ids in replies.contents()]
      ),
      'refusal_rate': np.array(refused, np.float64),
    }

  def intervals(
    self, values: Mapping[str, np.ndarray]
  ) -> dict[str, list[float]]:
    """Returns the mean of every value and of its sides, [low, mid, high].

    Args:
      values: Score of each prompt, [N], by each judge, or its gain; `gold`
        is the utility on the prompt's own side; and what replies are.
    """
    sides = np.array([prompt.side for prompt in self.prompts])
    conversations = prompts_lib.conversations_of(self.prompts)
    whole = (*self.judges, 'gold', 'response_length', 'eot_rate', 'repetition')
    parts = {name: (name, sides != '') for name in whole}
    for side, label in GOLD_LABELS.items():
      parts[f'train_pm_{side}'] = 'train_pm', sides == side
      parts[f'gold_{label}'] = 'gold', sides == side
      parts[f'refusal_rate_{side}'] = 'refusal_rate', sides == side
    return {
      name: bootstrap.mean_interval(
        values[source][members], conversations[members]
      ).tolist()
      for name, (source, members) in parts.items()
      if source in values and members.any()
    }


def prepare(
  config: RLHFConfig,
  reference: loading.Run,
  judges: Mapping[str, loading.Run],
  workdir: pathlib.Path,
) -> PolicyPoints:
  """Draws the held-out prompts that all points share."""
  prompts = held_out_prompts(config)
  folder = workdir / POINTS
  folder.mkdir(parents=True, exist_ok=True)
  return PolicyPoints(
    config=config,
    reference=reference,
    judges=judges,
    prompts=prompts,
    pool=rollout_lib.PromptPool(
      prompts=tuple(encode(config, reference.tokenizer, prompts)),
      example_ids=np.array([prompt.id for prompt in prompts]),
    ),
    folder=folder,
  )


def held_out_prompts(config: RLHFConfig) -> tuple[Prompt, ...]:
  """The prompts of every point of a run, half of them harmless."""
  return tuple(
    worlds.prompts(
      config.data, config.seed, config.eval_prompts, 0.5, is_held_out=True
    )
  )


def encode(
  config: RLHFConfig, tokenizer: Tokenizer, prompts: Sequence[Prompt]
) -> list[np.ndarray]:
  """Ids of prompts as a run's policy and preference models read them."""
  dialogues = [prompt.dialogue for prompt in prompts]
  return prompting.encode(tokenizer, dialogues, config.data, config.sampling)


def read(folder: pathlib.Path, last_step: int) -> list[dict[str, Any]]:
  """The points in a folder up to a step, in order, as they were written."""
  steps = sorted(int(path.stem) for path in folder.glob('[0-9]*.json'))
  return [
    json.loads(_point_file(folder, step).read_text())
    for step in steps
    if step <= last_step
  ]


def read_replies(folder: pathlib.Path, step: int) -> list[np.ndarray]:
  """Ids of the replies of a point, without end-of-text, in prompt order."""
  return [row[row != ABSENT] for row in np.load(_replies_file(folder, step))]


def as_table(replies: rollout_lib.Replies) -> np.ndarray:
  """Ids of replies without end-of-text, `ABSENT` beyond, [N, G] int32."""
  columns = np.arange(replies.tokens.shape[1])
  lengths = replies.num_tokens - replies.has_eot
  return np.where(columns < lengths[:, None], replies.tokens, ABSENT)


def _point_file(folder: pathlib.Path, step: int) -> pathlib.Path:
  return folder / f'{step:08d}.json'


def _replies_file(folder: pathlib.Path, step: int) -> pathlib.Path:
  return folder / f'{step:08d}.npy'


@functools.partial(jax.jit, static_argnums=(0, 1))
def read_policy(
  model: Transformer,
  temperature: float,
  params: Params,
  reference: Params,
  batch: rollout_lib.ReplyBatch,
) -> dict[str, jax.Array]:
  """Reads replies with the policy and the reference.

  Returns:
    `kl` (exact, nats), `log_probs`, `ref_log_probs` and `entropy`, each
    [E, G] float32.
  """
  own = ladder.forward(model, params, batch.packed).hidden
  other = ladder.forward(model, reference, batch.packed).hidden
  log_probs, entropy = readout.reply_log_probs(
    model, params, own, batch.packed, batch.reply_index, temperature
  )
  ref_log_probs, _ = readout.reply_log_probs(
    model, reference, other, batch.packed, batch.reply_index, temperature
  )
  parents = readout.parents_of(batch.packed, batch.reply_index).reshape(-1)
  kl = logprobs.exact_kl(
    arrays.gather_positions(own, parents),
    heads.unembed_matrix(params),
    arrays.gather_positions(other, parents),
    heads.unembed_matrix(reference),
    num_valid=model.config.vocab_size,
    temperature=temperature,
    compute_dtype=jnp.dtype(model.config.compute_dtype),
  )
  return {
    'kl': kl.reshape(batch.reply_index.shape),
    'log_probs': log_probs,
    'ref_log_probs': ref_log_probs,
    'entropy': entropy,
  }
