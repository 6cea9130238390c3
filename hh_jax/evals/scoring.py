"""Preference-model scores of many replies, packed.

1. Items are packed into rows of one length, many items at a time, because a
   row that is not full is read all the same.
2. Rows are read `TOKENS` at a time, so that few shapes are compiled; every
   token gets a score, and the host takes those that were asked for.
3. A row of replies to one prompt is doubled as long as the tree does not fit,
   up to the longest with dense attention: each piece of it repeats the prompt.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import jax
import numpy as np

from hh_jax import sharding
from hh_jax.data import packing, trees
from hh_jax.data.tokenizer import Tokenizer
from hh_jax.generation.plan import round_up
from hh_jax.models import heads, ladder
from hh_jax.models.transformer import Transformer
from hh_jax.ops.attention import DENSE_LIMIT
from hh_jax.types import Packed, Params

NUM_ITEMS = 512  # packed together
TOKENS = 8192  # read together
ROW_LENGTH = 512  # tokens, or as many multiples of ROW_MULTIPLE as a path needs
ROW_MULTIPLE = 128


@functools.partial(jax.jit, static_argnums=0)
def packed_scores(
  model: Transformer, params: Params, packed: Packed
) -> jax.Array:
  """Returns the scores of a packed batch, [P, C] float32."""
  hidden = ladder.forward(model, params, packed).hidden
  return heads.scores_at(params, hidden, packed.score_index)


@functools.partial(jax.jit, static_argnums=0)
def _scores_of_tokens(
  model: Transformer, params: Params, packed: Packed
) -> jax.Array:
  """The score of every token, [B, T] float32."""
  return heads.values(params, ladder.forward(model, params, packed).hidden)


def score_trees(
  model: Transformer,
  params: Params,
  items: Sequence[trees.Tree],
  row_length: int,
  num_candidates: int,
) -> np.ndarray:
  """Scores every scored leaf of every tree, [len(items), num_candidates]."""
  scores = [np.zeros((0, num_candidates), np.float32)]
  for start in range(0, len(items), NUM_ITEMS):
    chunk = items[start : start + NUM_ITEMS]
    batch = packing.pack(
      chunk,
      row_length,
      batch_size=len(chunk),
      num_candidates=num_candidates,
    )
    index = np.asarray(batch.packed.score_index)
    flat = _read_rows(model, params, batch)
    scores.append(np.where(index >= 0, flat[index], 0.0))
  return np.concatenate(scores)


def _read_rows(
  model: Transformer, params: Params, batch: packing.PackedBatch
) -> np.ndarray:
  """Scores of the tokens of all rows in use, one after the other."""
  num_used = batch.counts['rows_used']
  size = max(1, TOKENS // batch.packed.tokens.shape[1])
  parts = [np.zeros((0,), np.float32)]
  for start in range(0, num_used, size):
    stop = start + min(size, packing.row_bucket(num_used - start))
    rows = batch.rows(start, stop)
    scores = sharding.to_host(_scores_of_tokens(model, params, rows))
    parts.append(scores.reshape(-1))
  return np.concatenate(parts)


def score_candidates(
  model: Transformer,
  params: Params,
  tokenizer: Tokenizer,
  prompts: Sequence[np.ndarray],
  replies: Sequence[Sequence[np.ndarray]],
) -> np.ndarray:
  """Scores k replies for each prompt, the prompt read once, [N, k].

  Args:
    model: The preference model.
    params: Its parameters, with a score head.
    tokenizer: Of the ids.
    prompts: Ids up to and including the assistant's turn marker.
    replies: For each prompt, k lists of ids without end-of-text.
  """
  items = [
    trees.best_of_k_tree(prompt, group, tokenizer.eoc)
    for prompt, group in zip(prompts, replies, strict=True)
  ]
  num_candidates = max((len(group) for group in replies), default=1)
  length = _row_length(items)
  return score_trees(model, params, items, length, num_candidates)


def _row_length(items: Sequence[trees.Tree]) -> int:
  longest = max((item.longest_path for item in items), default=1)
  widest = max((item.num_tokens for item in items), default=1)
  length = ROW_LENGTH
  while length < min(widest, DENSE_LIMIT):
    length *= 2
  return max(length, round_up(longest, ROW_MULTIPLE))


def score_replies(
  model: Transformer,
  params: Params,
  tokenizer: Tokenizer,
  prompts: Sequence[np.ndarray],
  replies: Sequence[np.ndarray],
) -> np.ndarray:
  """Scores one reply for each prompt, [N]; see `score_candidates`."""
  groups = [[reply] for reply in replies]
  return score_candidates(model, params, tokenizer, prompts, groups)[:, 0]
