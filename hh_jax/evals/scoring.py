"""Preference-model scores of many replies, packed and in one jit.

Items of one call are cut into batches of a fixed size, and every batch is
packed into rows of one length, so that few shapes are compiled. Only a path
needs to fit: many replies to one prompt fill several rows, each with it.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import jax
import numpy as np

from hh_jax.data import packing, trees
from hh_jax.data.tokenizer import Tokenizer
from hh_jax.generation.plan import round_up
from hh_jax.models import heads, ladder
from hh_jax.models.transformer import Transformer
from hh_jax.types import Packed, Params

BATCH_SIZE = 64
ROW_LENGTH = 512  # tokens, or as many multiples of ROW_MULTIPLE as a path needs
ROW_MULTIPLE = 128


@functools.partial(jax.jit, static_argnums=0)
def packed_scores(
  model: Transformer, params: Params, packed: Packed
) -> jax.Array:
  """Returns the scores of a packed batch, [P, C] float32."""
  hidden = ladder.forward(model, params, packed).hidden
  return heads.scores_at(params, hidden, packed.score_index)


def score_trees(
  model: Transformer,
  params: Params,
  items: Sequence[trees.Tree],
  row_length: int,
  num_candidates: int,
  batch_size: int = BATCH_SIZE,
) -> np.ndarray:
  """Scores every scored leaf of every tree, [len(items), num_candidates]."""
  scores = []
  for start in range(0, len(items), batch_size):
    chunk = items[start : start + batch_size]
    batch = packing.pack(
      chunk,
      row_length,
      batch_size=batch_size,
      num_candidates=num_candidates,
    )
    scores.append(
      np.asarray(packed_scores(model, params, batch.packed))[: len(chunk)]
    )
  if not scores:
    return np.zeros((0, num_candidates), np.float32)
  return np.concatenate(scores)


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
  longest = max((item.longest_path for item in items), default=1)
  num_candidates = max((len(group) for group in replies), default=1)
  return score_trees(
    model,
    params,
    items,
    max(ROW_LENGTH, round_up(longest, ROW_MULTIPLE)),
    num_candidates,
    batch_size=max(1, BATCH_SIZE // num_candidates),
  )


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
