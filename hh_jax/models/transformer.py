"""A decoder-only Transformer over packed trees, with or without a cache.

1. Tokens are embedded; learned positions, where configured, are added.
2. Each block normalises, attends and runs an MLP, either one after the other
   or in parallel on the same stream. Blocks are stacked: every parameter of
   theirs has a leading layer axis, and one `nn.scan` runs them. Parameters
   that come as one tree a layer (`ladder.unstacked`) run one after the other.
3. Without a cache, queries read keys by the interval rule of the packed row.
4. With a cache, each row brings one new token. A layer writes its keys and
   values in place, at the row's own length, and reads the slots in use.
5. A final norm ends the stack. Logits are made by whoever reads them.

Reference: Bai et al. 2022, section 3.1 and Askell et al. 2021 give depth,
width, context and vocabulary; the options of a block are open there.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from hh_jax import sharding
from hh_jax.config import ModelConfig
from hh_jax.models import layers
from hh_jax.ops import attention, rotary
from hh_jax.types import KVCache, LMOutput

_ACTIVATIONS = {
  'gelu': lambda x: jax.nn.gelu(x, approximate=False),
  'gelu_tanh': lambda x: jax.nn.gelu(x, approximate=True),
  'swiglu': jax.nn.silu,
}


class View(NamedTuple):
  """What every block needs to know of the tokens."""

  positions: jax.Array  # [B, T] int32
  enter: jax.Array  # [B, T] int32
  leave: jax.Array  # [B, T] int32
  length: jax.Array | None  # [B] int32, cache slots used before this token


class LayerCache(NamedTuple):
  """What one layer keeps."""

  keys: jax.Array  # [B, K, S, H]
  values: jax.Array  # [B, K, S, H]
  prompts: attention.Prompts | None = None


class Block(nn.Module):
  """One layer. `keeps_keys` also returns its keys and values."""

  config: ModelConfig
  keeps_keys: bool = False

  @nn.compact
  def __call__(
    self, x: jax.Array, view: View, cache: LayerCache | None
  ) -> tuple[jax.Array, LayerCache | None]:
    """Runs the layer on the stream [B, T, D] float32, and on its cache."""
    cfg = self.config
    inputs = layers.Norm(cfg.norm, cfg.norm_eps, name='attention_norm')(x)
    attended, kept = self._attend(inputs, view, cache)
    norm = layers.Norm(cfg.norm, cfg.norm_eps, name='mlp_norm')
    if cfg.parallel_residual:
      x = x + attended + self._mlp(norm(x))
    else:
      x = x + attended
      x = x + self._mlp(norm(x))
    return sharding.constrain(x, 'batch', None, None), kept

  def _dense(
    self, name: str, features: int, use_bias: bool, std: float = 0.0
  ) -> layers.Dense:
    cfg = self.config
    std = std or cfg.init_std
    return layers.Dense(features, use_bias, std, cfg.compute_dtype, name=name)

  def _heads(
    self, name: str, inputs: jax.Array, num_heads: int, view: View
  ) -> jax.Array:
    """Queries, keys or values, [B, T, K, H]."""
    cfg = self.config
    width = cfg.width_of_head
    x = self._dense(name, num_heads * width, cfg.qkv_bias)(inputs)
    x = x.reshape(*inputs.shape[:2], num_heads, width)
    if name != 'value':
      if cfg.qk_norm:
        x = layers.Norm('rms', cfg.norm_eps, name=f'{name}_norm')(x)
      if cfg.positions == 'rotary':
        x = rotary.rotate(
          x,
          view.positions,
          fraction=cfg.rotary_fraction,
          theta=cfg.rotary_theta,
          scaling=cfg.rotary_scaling,
          layout=cfg.rotary_layout,
        )
    return sharding.constrain(x, 'batch', None, 'heads', None)

  def _attend(
    self, inputs: jax.Array, view: View, cache: LayerCache | None
  ) -> tuple[jax.Array, LayerCache | None]:
    cfg = self.config
    query = self._heads('query', inputs, cfg.num_heads, view)
    key, value = (
      self._heads(name, inputs, cfg.kv_heads, view).astype(cfg.type_of_cache)
      for name in ('key', 'value')
    )
    kept = None
    if cache is not None and view.length is not None:
      kept = _write(cache, view.length, key, value)
      attended = attention.cached_attention(
        query[:, 0],
        kept.keys,
        kept.values,
        view.length + 1,
        prompts=kept.prompts,
        compute_dtype=cfg.type_of_cache,
      )[:, None]
    else:
      attended = attention.packed_attention(
        query,
        key,
        value,
        view.enter,
        view.leave,
        compute_dtype=cfg.compute_dtype,
      )
      if self.keeps_keys:
        kept = LayerCache(key.swapaxes(1, 2), value.swapaxes(1, 2))
    attended = attended.reshape(*inputs.shape[:2], -1)
    out = self._dense('out', cfg.model_dim, cfg.out_bias, _residual_std(cfg))
    return out(attended), kept

  def _mlp(self, inputs: jax.Array) -> jax.Array:
    cfg = self.config
    activate = _ACTIVATIONS[cfg.mlp]
    up = self._dense('up', cfg.width_of_ffn, cfg.mlp_bias)(inputs)
    if cfg.mlp == 'swiglu':
      gate = self._dense('gate', cfg.width_of_ffn, cfg.mlp_bias)(inputs)
      hidden = activate(gate) * up
    else:
      hidden = activate(up)
    hidden = sharding.constrain(hidden, 'batch', None, 'ffn')
    down = self._dense('down', cfg.model_dim, cfg.mlp_bias, _residual_std(cfg))
    return down(hidden)


def _residual_std(cfg: ModelConfig) -> float:
  """Both outputs of every block are sums of 2 L terms in the stream."""
  return cfg.init_std / math.sqrt(2 * cfg.num_layers)


def _write(
  cache: LayerCache, slot: jax.Array, key: jax.Array, value: jax.Array
) -> LayerCache:
  """Puts one token's key and value [B, 1, K, H] at each row's own slot.

  A row whose cache is full writes nothing: a finished row may idle there.
  """
  rows = jnp.arange(slot.shape[0], dtype=jnp.int32)
  return cache._replace(
    keys=cache.keys.at[rows, :, slot].set(key[:, 0], mode='drop'),
    values=cache.values.at[rows, :, slot].set(value[:, 0], mode='drop'),
  )


def _layer(cache: KVCache, number: int) -> LayerCache:
  shared, prompts = cache.shared, None
  if shared is not None:
    prompts = attention.Prompts(
      shared.keys[number],
      shared.values[number],
      shared.length,
      shared.rows,
      shared.member,
    )
  return LayerCache(cache.keys[number], cache.values[number], prompts)


class Transformer(nn.Module):
  """The network of every policy, reference, value and preference model.

  `keeps_keys` makes a forward pass without a cache return one that holds the
  keys and values of its tokens, and `keeps_stream` the residual stream after
  every block; that needs parameters by `ladder.unstacked`.
  """

  config: ModelConfig
  keeps_keys: bool = False
  keeps_stream: bool = False

  @nn.compact
  def __call__(
    self,
    tokens: jax.Array,
    positions: jax.Array,
    enter: jax.Array,
    leave: jax.Array,
    cache: KVCache | None = None,
  ) -> LMOutput:
    """Hidden states of packed rows, or of one new token a row.

    Args:
      tokens: [B, T] int32; T is 1 with a cache.
      positions: [B, T] int32, depth of each token in its own path.
      enter: [B, T] int32, start of the interval of each token's segment.
      leave: [B, T] int32, exclusive end of that interval.
      cache: None in training; else the keys and values of earlier tokens.

    Returns:
      Hidden states after the final norm, and the cache with `length` advanced.
    """
    cfg = self.config
    if cache is not None and tokens.shape[1] != 1:
      raise ValueError(f'a cache takes one token a row, not {tokens.shape[1]}')
    x = self._embed(tokens, positions)
    view = View(positions, enter, leave, cache.length if cache else None)
    x, kept, stream = self._run_blocks(x, view, cache)
    final_norm = layers.Norm(cfg.norm, cfg.norm_eps, name='final_norm')
    hidden = final_norm(x)
    self._unembed_parameter()
    if kept is None:
      return LMOutput(hidden=hidden, stream=stream)
    keys, values = kept
    length = jnp.full(tokens.shape[:1], tokens.shape[1], jnp.int32)
    if cache is None:
      return LMOutput(hidden=hidden, cache=KVCache(keys, values, length))
    longer = cache.replace(
      keys=keys, values=values, length=cache.length + length
    )
    return LMOutput(hidden=hidden, cache=longer)

  def _embed(self, tokens: jax.Array, positions: jax.Array) -> jax.Array:
    cfg = self.config
    x = layers.Embedding(
      cfg.padded_vocab, cfg.model_dim, cfg.init_std, name='embed'
    )(tokens)
    if cfg.positions == 'learned':
      x = x + layers.Embedding(
        cfg.max_positions, cfg.model_dim, cfg.init_std, name='position'
      )(positions)
    return sharding.constrain(x, 'batch', None, None)

  def _run_blocks(
    self, x: jax.Array, view: View, cache: KVCache | None
  ) -> tuple[
    jax.Array,
    tuple[tuple[jax.Array, ...], ...] | None,
    tuple[jax.Array, ...] | None,
  ]:
    """The stream after all blocks; keys and values, and streams, if kept."""
    cfg = self.config
    blocks = self.variables.get('params', {}).get('blocks')
    if not isinstance(blocks, tuple):
      if cache is not None or self.keeps_stream:
        raise ValueError(
          'a cache and streams need parameters by `ladder.unstacked`'
        )
      x, stack = self._stack()(x, view, None)
      if not self.keeps_keys:
        return x, None, None
      return x, (tuple(stack.keys), tuple(stack.values)), None
    block = Block(cfg, self.keeps_keys, parent=None)
    kept: list[LayerCache] = []
    stream: list[jax.Array] = []
    for number, params in enumerate(blocks):
      own = _layer(cache, number) if cache else None
      found: Any = block.apply({'params': params}, x, view, own)
      x, layer = found
      kept += [layer] if layer else []
      stream += [x] if self.keeps_stream else []
    streams = tuple(stream) or None
    if not kept:
      return x, None, streams
    caches = tuple(c.keys for c in kept), tuple(c.values for c in kept)
    return x, caches, streams

  def _stack(self) -> nn.Module:
    cfg = self.config
    unroll = min(cfg.scan_unroll, cfg.num_layers)
    block: type[nn.Module] = Block
    if cfg.remat:
      # A loop keeps XLA from merging the recomputation with the first pass;
      # unrolled layers need a barrier for that.
      block = nn.remat(Block, prevent_cse=unroll > 1)
    stack = nn.scan(
      block,
      variable_axes={'params': 0},
      split_rngs={'params': True},
      in_axes=(nn.broadcast, nn.broadcast),
      length=cfg.num_layers,
      unroll=unroll,
    )
    return stack(cfg, self.keeps_keys, name='blocks')

  def _unembed_parameter(self) -> None:
    """Declares the output matrix, which only readers of logits use."""
    cfg = self.config
    if not cfg.tied_embedding:
      layers.Matrix(
        (cfg.padded_vocab, cfg.model_dim), cfg.init_std, name='unembed'
      )()
