"""Log-probabilities of packed tokens, read only where somebody asks.

The log-probability of a packed token reads the logits at its parent, which is
the token before it on its own path and not always the one before it in the
row. Logits exist for a chunk of positions at a time (`ops.logprobs`).
"""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from hh_jax.models import heads
from hh_jax.models.transformer import Transformer
from hh_jax.ops import arrays, logprobs
from hh_jax.types import Packed, Params


def parents_of(
  packed: Packed, flat_index: Int[Array, '*items']
) -> Int[Array, '*items']:
  """Flat index of the token before each indexed one; absent stays absent.

  Args:
    packed: Rows the indices point into.
    flat_index: row * T + column of tokens, -1 where absent.
  """
  row_length = packed.tokens.shape[1]
  safe = jnp.maximum(flat_index, 0)
  column = packed.parent.reshape(-1)[safe]
  parent = safe // row_length * row_length + column
  return jnp.where((flat_index >= 0) & (column >= 0), parent, -1)


def token_log_probs(
  model: Transformer,
  params: Params,
  hidden: Float[Array, 'B T D'],
  packed: Packed,
) -> Float[Array, 'B T']:
  """Log-probability of every packed token; meaningless off `loss_mask`."""
  parents = arrays.gather_columns(hidden, packed.parent)
  log_probs = logprobs.token_log_probs(
    parents.reshape(-1, parents.shape[-1]),
    heads.unembed_matrix(params),
    packed.tokens.reshape(-1),
    num_valid=model.config.vocab_size,
    compute_dtype=jnp.dtype(model.config.compute_dtype),
  )
  return log_probs.reshape(packed.tokens.shape)


def reply_log_probs(
  model: Transformer,
  params: Params,
  hidden: Float[Array, 'B T D'],
  packed: Packed,
  reply_index: Int[Array, 'E G'],
  temperature: float,
) -> tuple[Float[Array, 'E G'], Float[Array, 'E G']]:
  """Log-probability of reply tokens, and the entropy before each of them.

  Args:
    model: The language model.
    params: Its parameters.
    hidden: Its hidden states of `packed`.
    packed: Rows that hold the replies.
    reply_index: row * T + column of each reply token, -1 where absent.
    temperature: The one the sampler divided its logits by.
  """
  parents = parents_of(packed, reply_index).reshape(-1)
  tokens = packed.tokens.reshape(-1)[jnp.maximum(reply_index, 0)]
  log_probs, entropy = logprobs.token_log_probs_and_entropy(
    arrays.gather_positions(hidden, parents),
    heads.unembed_matrix(params),
    tokens.reshape(-1),
    num_valid=model.config.vocab_size,
    temperature=temperature,
    compute_dtype=jnp.dtype(model.config.compute_dtype),
  )
  shape = reply_index.shape
  return log_probs.reshape(shape), entropy.reshape(shape)
