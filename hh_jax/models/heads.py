"""Readers of hidden states: the scalar head and the output matrix.

A preference or value network is a language model's tree with a `score_head`
beside it; the same head gives the score of a dialogue at its end-of-context
token and the value of every state of a reply.

Reference: Bai et al. 2022, sections 3 and 4.1.
"""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from hh_jax.config import ModelConfig
from hh_jax.ops import arrays, linear
from hh_jax.types import Params


def init_score_head(key: jax.Array, config: ModelConfig) -> Params:
  """A new head, to be stored as `params['score_head']`.

  The kernel has variance 1 / (D + 1) [open], so that the first scores of
  normalised hidden states have a spread of about one.
  """
  std = 1 / math.sqrt(config.model_dim + 1)
  kernel = std * jax.random.normal(key, (config.model_dim, 1), jnp.float32)
  return {'kernel': kernel, 'bias': jnp.zeros((1,), jnp.float32)}


def values(
  params: Params, hidden: Float[Array, '*batch D']
) -> Float[Array, '*batch']:
  """Scalar of every hidden state, in nats of preference; float32."""
  head = params['score_head']
  return linear.linear(hidden, head['kernel'], head['bias'])[..., 0]


def scores_at(
  params: Params,
  hidden: Float[Array, 'B T D'],
  flat_index: Int[Array, 'P C'],
) -> Float[Array, 'P C']:
  """Scores of the candidates of each item, 0 where one is absent.

  Args:
    params: A tree with a `score_head`.
    hidden: Hidden states of packed rows.
    flat_index: row * T + column of each end-of-context token, -1 where absent.
  """
  scores = values(params, arrays.gather_positions(hidden, flat_index))
  return jnp.where(flat_index >= 0, scores, 0.0)


def unembed_matrix(params: Params) -> Float[Array, 'V D']:
  """The output matrix: its own, or the embedding where the two are tied."""
  if 'unembed' in params:
    return params['unembed']['kernel']
  return params['embed']['embedding']
