"""Building, initialising and calling the models of the ladder.

Everything outside this package calls a model through `forward` (packed rows)
or `forward_cached` (one new token a row).
"""

from __future__ import annotations

import functools
import operator
import typing

import jax
import jax.numpy as jnp

from hh_jax import sharding
from hh_jax.config import ModelConfig
from hh_jax.models.sizes import LADDER, NANO, model_config
from hh_jax.models.transformer import Transformer
from hh_jax.types import (
  PAD_ENTER,
  PAD_LEAVE,
  KVCache,
  LMOutput,
  Packed,
  Params,
)

__all__ = [
  'LADDER',
  'NANO',
  'build',
  'cache_of',
  'forward',
  'forward_cached',
  'init',
  'model_config',
  'rectangle',
  'streams',
  'unstacked',
]


def build(config: ModelConfig) -> Transformer:
  """The network of a configuration, without parameters."""
  return Transformer(config)


@functools.partial(jax.jit, static_argnums=0)
def init(model: Transformer, key: jax.Array) -> Params:
  """Random parameters, laid out for training on the mesh in context.

  Kernels and embeddings are normal with `init_std`; the two outputs of a
  block are smaller by sqrt(2 L) [open].
  """
  token = jnp.zeros((1, 1), jnp.int32)
  params = model.init(key, token, token, token, token + 1)['params']
  return sharding.constrain_tree(params, 'train')


def forward(
  model: Transformer,
  params: Params,
  packed: Packed,
  *,
  keeps_keys: bool = False,
) -> LMOutput:
  """Hidden states of packed rows.

  Args:
    model: From `build`.
    params: Its parameters; a score head beside them is ignored.
    packed: Rows of token trees, see `Packed` and `rectangle`.
    keeps_keys: Also return keys and values of all tokens, as a cache.

  Returns:
    Hidden states [B, T, D] after the final norm, float32.
  """
  output = model.clone(keeps_keys=keeps_keys).apply(
    {'params': params},
    packed.tokens,
    packed.positions,
    packed.enter,
    packed.leave,
  )
  return typing.cast(LMOutput, output)


def streams(
  model: Transformer, params: Params, packed: Packed
) -> tuple[jax.Array, ...]:
  """The residual stream after every block, L times [B, T, D] float32.

  Args:
    model: From `build`.
    params: Its parameters, in any layout.
    packed: Rows of token trees, see `Packed` and `rectangle`.
  """
  output = model.clone(keeps_stream=True).apply(
    {'params': unstacked(params)},
    packed.tokens,
    packed.positions,
    packed.enter,
    packed.leave,
  )
  return typing.cast(LMOutput, output).stream or ()


def unstacked(params: Params) -> Params:
  """Parameters with one tree for each layer instead of a layer axis.

  A loop that runs the network once a token would slice every layer's weights
  out of the stack each time. Those that are unstacked come back as they are.
  """
  blocks = params['blocks']
  if isinstance(blocks, tuple):
    return params
  num_layers = len(jax.tree.leaves(blocks)[0])
  trees = [
    jax.tree.map(operator.itemgetter(layer), blocks)
    for layer in range(num_layers)
  ]
  return {**params, 'blocks': tuple(trees)}


def forward_cached(
  model: Transformer, params: Params, tokens: jax.Array, cache: KVCache
) -> LMOutput:
  """Hidden states of one new token a row, [B, 1, D], and the longer cache.

  Args:
    model: From `build`.
    params: Its parameters, best `unstacked`.
    tokens: [B] int32, the token that follows the `cache.depth` ones so far.
    cache: Keys and values so far; a row whose cache is full is not written.
  """
  column = tokens[:, None]
  positions = cache.depth[:, None]
  output = model.apply(
    {'params': unstacked(params)}, column, positions, column, column, cache
  )
  return typing.cast(LMOutput, output)


def cache_of(output: LMOutput) -> KVCache:
  """The cache of a forward pass that kept its keys and values."""
  if output.cache is None:
    raise ValueError('the forward pass kept no keys; pass keeps_keys=True')
  return output.cache


def rectangle(tokens: jax.Array, lengths: jax.Array) -> Packed:
  """Right-padded sequences as packed rows of one segment each.

  Args:
    tokens: [B, T] int32; what stands beyond the length is padding.
    lengths: [B] int32, real tokens of each row.

  Returns:
    Rows whose targets are all tokens but the first, and whose one scored
    position is the last token.
  """
  batch, num_columns = tokens.shape
  column = jnp.arange(num_columns, dtype=jnp.int32)[None]
  rows = jnp.arange(batch, dtype=jnp.int32)[:, None]
  lengths = lengths.astype(jnp.int32)[:, None]
  is_real = column < lengths
  last = jnp.where(lengths > 0, rows * num_columns + lengths - 1, -1)
  return Packed(
    tokens=tokens,
    positions=jnp.where(is_real, column, 0),
    parent=jnp.where(is_real, column - 1, -1),
    enter=jnp.where(is_real, 0, PAD_ENTER),
    leave=jnp.where(is_real, 1, PAD_LEAVE),
    example_id=jnp.where(is_real, rows, -1),
    loss_mask=is_real & (column > 0),
    score_index=last,
    pair_weight=jnp.ones((batch,), jnp.float32),
    pair_mask=lengths[:, 0] > 0,
  )
