"""Sampled replies as token trees.

A reply is a branch of its prompt. End-of-text (the policy's last token) and
end-of-context (where the preference model scores) are two children of the
reply, so that one packed batch serves policy, reference, preference model and
value network, and none sees the other's marker.

Reference: Bai et al. 2022, sections 4.1 and B.1.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from hh_jax.config import SamplingConfig
from hh_jax.data import packing, trees
from hh_jax.data.tokenizer import Tokenizer
from hh_jax.generation import decode
from hh_jax.models.transformer import Transformer
from hh_jax.types import Packed, Params


class ReplyBatch(flax.struct.PyTreeNode):
  """Replies packed with their prompts.

  `packed.score_index` is [E, 1]: the end-of-context token of each reply.
  """

  packed: Packed
  reply_index: jax.Array  # [E, G] int32, row * T + column, -1 where absent
  example: jax.Array  # [E] int32, row of the rollout's tables, 0 on padding


@dataclasses.dataclass(frozen=True)
class Replies(decode.Generated):
  """The replies of one rollout with their prompts, one each."""

  prompts: tuple[np.ndarray, ...]  # ids


@dataclasses.dataclass(frozen=True)
class PromptPool:
  """Prompts to sample from; an id keys the draws of its replies."""

  prompts: tuple[np.ndarray, ...]  # ids of the tokens
  example_ids: np.ndarray  # [N] int

  def __len__(self) -> int:
    return len(self.prompts)

  @property
  def longest(self) -> int:
    """Tokens of the longest prompt."""
    return max(len(prompt) for prompt in self.prompts)

  def take(self, places: Sequence[int] | np.ndarray) -> PromptPool:
    """Returns the pool of some places, in their order."""
    return PromptPool(
      tuple(self.prompts[i] for i in places), self.example_ids[places]
    )


def sample(
  model: Transformer,
  params: Params,
  tokenizer: Tokenizer,
  pool: PromptPool,
  key: jax.Array,
  sampling: SamplingConfig,
) -> Replies:
  """Samples one reply a prompt; a function of weights, key and ids alone."""
  generated = decode.generate(
    model,
    params,
    pool.prompts,
    pool.example_ids,
    key,
    sampling,
    tokenizer.turn_markers,
  )
  return Replies(prompts=pool.prompts, **vars(generated))


def pack_replies(
  replies: Replies,
  examples: Sequence[int] | np.ndarray,
  tokenizer: Tokenizer,
  row_length: int,
  batch_size: int,
) -> ReplyBatch:
  """Packs the given examples of a rollout; missing ones are masked.

  Args:
    replies: The rollout.
    examples: Which of its rows.
    tokenizer: Of the ids.
    row_length: Tokens of a packed row (T).
    batch_size: E of the result.
  """
  items = [
    trees.rollout_tree(
      replies.prompts[e],
      replies.tokens[e, : replies.num_tokens[e]],
      tokenizer.eoc,
      tokenizer.eot,
      example_id=int(e),
    )
    for e in examples
  ]
  batch = packing.pack(
    items, row_length, batch_size=batch_size, num_candidates=1
  )
  columns = np.arange(replies.tokens.shape[1])
  reply_index = np.full((batch_size, len(columns)), -1, np.int32)
  example = np.zeros(batch_size, np.int32)
  for slot, e in enumerate(examples):
    row, column = batch.placements[slot][1]
    start = row * row_length + column
    is_sampled = columns < replies.num_tokens[e]
    reply_index[slot] = np.where(is_sampled, start + columns, -1)
    example[slot] = e
  return ReplyBatch(
    packed=batch.packed,
    reply_index=jnp.asarray(reply_index),
    example=jnp.asarray(example),
  )
