"""How likely a language model finds replies, for choices between them.

A reply is read after its prompt alone; its mean log-probability a token decides
between replies of different lengths [open].

Reference: Bai et al. 2022, section 3.4.1 and appendix B.3.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import jax
import numpy as np

from hh_jax.data.tokenizer import PAD_ID
from hh_jax.generation.plan import round_up
from hh_jax.models import ladder, readout
from hh_jax.models.transformer import Transformer
from hh_jax.types import Params

BATCH_SIZE = 16


@functools.partial(jax.jit, static_argnums=0)
def _token_log_probs(
  model: Transformer, params: Params, tokens: jax.Array, lengths: jax.Array
) -> jax.Array:
  """Log-probability of every token but the first, [B, T] float32."""
  packed = ladder.rectangle(tokens, lengths)
  hidden = ladder.forward(model, params, packed).hidden
  return readout.token_log_probs(model, params, hidden, packed)


def mean_log_probs(
  model: Transformer,
  params: Params,
  prompts: Sequence[np.ndarray],
  replies: Sequence[np.ndarray],
  longest: int,
) -> np.ndarray:
  """Mean log-probability of the tokens of each reply, [N] float32, nats.

  Args:
    model: The language model.
    params: Its parameters.
    prompts: Ids up to and including the assistant's turn marker.
    replies: Ids of the replies, none empty.
    longest: Tokens of a prompt with its reply; a longer one loses its left end.
  """
  whole = [
    np.concatenate([prompt, reply])[-longest:]
    for prompt, reply in zip(prompts, replies, strict=True)
  ]
  found = np.zeros(len(whole), np.float32)
  order = sorted(range(len(whole)), key=lambda i: len(whole[i]))
  for start in range(0, len(order), BATCH_SIZE):
    chosen = order[start : start + BATCH_SIZE]
    width = round_up(max(len(whole[i]) for i in chosen))
    tokens = np.full((BATCH_SIZE, width), PAD_ID, np.int32)
    lengths = np.ones(BATCH_SIZE, np.int32)
    for row, i in enumerate(chosen):
      lengths[row] = len(whole[i])
      tokens[row, : lengths[row]] = whole[i]
    log_probs = np.asarray(_token_log_probs(model, params, tokens, lengths))
    for row, i in enumerate(chosen):
      # The first token of a cut sequence has nothing before it.
      count = min(len(replies[i]), lengths[row] - 1)
      found[i] = log_probs[row, lengths[row] - count : lengths[row]].mean()
  return found
