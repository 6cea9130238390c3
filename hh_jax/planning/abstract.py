"""Arguments of steps without their numbers: shapes, types and places.

Nothing here allocates: states come out of `jax.eval_shape` of the very
functions that stages start with, laid out by the table of `hh_jax.sharding`.
"""

from __future__ import annotations

import math
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jax.typing import DTypeLike

from hh_jax import sharding
from hh_jax.config import ModelConfig
from hh_jax.generation import state as decode_state
from hh_jax.models import heads, ladder
from hh_jax.training import state as state_lib
from hh_jax.types import DecodeState, Packed, Params

TreeT = TypeVar('TreeT')


def array(
  *shape: int, dtype: DTypeLike = 'int32', where: NamedSharding | None = None
) -> jax.Array:
  """An argument that every chip holds whole, unless it is said where."""
  return jax.ShapeDtypeStruct(shape, dtype, sharding=where)  # type: ignore[return-value]


def placed(tree: TreeT, mesh: Mesh, layout: str = 'train') -> TreeT:
  """A tree of shapes, laid out as `session.place` does."""
  leaves = state_lib.leaves_by_path(tree)
  where = sharding.tree_shardings(leaves, mesh, layout)
  return state_lib.replace_leaves(
    tree,
    {
      path: array(*leaf.shape, dtype=leaf.dtype, where=where[path])
      for path, leaf in leaves.items()
    },
  )


def params_of(config: ModelConfig, has_head: bool = False) -> Params:
  """Shapes of a network, with a score head if asked for."""

  def build() -> Params:
    params = ladder.init(ladder.build(config), jax.random.key(0))
    if not has_head:
      return params
    head = heads.init_score_head(jax.random.key(0), config)
    return {**params, 'score_head': head}

  return jax.eval_shape(build)


def for_decoding(config: ModelConfig, mesh: Mesh) -> Params:
  """Shapes of what `decode.for_decoding` returns: one tree a layer."""

  def cast(path: tuple[jax.tree_util.DictKey, ...], leaf: jax.Array):
    is_cast = path[-1].key == 'kernel' and path[0].key == 'blocks'
    dtype = jnp.dtype(config.compute_dtype) if is_cast else leaf.dtype
    return jax.ShapeDtypeStruct(leaf.shape, dtype)

  params = jax.tree_util.tree_map_with_path(cast, params_of(config))
  stacked = placed(params, mesh, 'decode')

  def one_layer(leaf: Any) -> jax.Array:
    spec = PartitionSpec(*leaf.sharding.spec[1:])
    where = NamedSharding(mesh, spec)
    return array(*leaf.shape[1:], dtype=leaf.dtype, where=where)

  layer = jax.tree.map(one_layer, stacked['blocks'])
  return {**stacked, 'blocks': (layer,) * config.num_layers}


def decode_state_of(
  config: ModelConfig, mesh: Mesh, slots: int, capacity: int, reply: int
) -> DecodeState:
  """Slots with their caches, spread as `generation.prompts` spreads them."""
  state = jax.eval_shape(
    lambda: decode_state.empty_state(config, slots, capacity, reply)
  )

  def place(leaf: jax.Array) -> jax.Array:
    axes: tuple[str | None, ...] = (None,) * leaf.ndim
    if leaf.ndim == 4:  # keys and values
      axes = ('batch', 'heads', None, None)
    where = sharding.activation_sharding(leaf.shape, mesh, *axes)
    return array(*leaf.shape, dtype=leaf.dtype, where=where)

  return jax.tree.map(place, state)


def packed(
  rows: int, row_length: int, items: int, num_candidates: int
) -> Packed:
  """A batch as the host hands it over: every chip holds it whole."""

  def table() -> jax.Array:
    return array(rows, row_length)

  return Packed(
    tokens=table(),
    positions=table(),
    parent=table(),
    enter=table(),
    leave=table(),
    example_id=table(),
    loss_mask=array(rows, row_length, dtype='bool'),
    score_index=array(items, num_candidates),
    pair_weight=array(items, dtype='float32'),
    pair_mask=array(items, dtype='bool'),
  )


def bytes_a_chip(tree: Any) -> int:
  """Bytes of a tree's arrays that the fullest chip holds."""
  total = 0
  for leaf in jax.tree.leaves(tree):
    shape = leaf.shape
    if leaf.sharding is not None:
      shape = leaf.sharding.shard_shape(leaf.shape)
    total += math.prod(shape) * jnp.dtype(leaf.dtype).itemsize
  return total


def num_parameters(tree: Any) -> int:
  """Numbers in all arrays of a tree."""
  return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(tree))


def unsplit(tree: Any) -> list[str]:
  """Paths of large arrays that every chip holds whole."""
  return [
    path
    for path, leaf in state_lib.leaves_by_path(tree).items()
    if math.prod(leaf.shape) >= LARGE
    and leaf.sharding.shard_shape(leaf.shape) == leaf.shape
  ]


LARGE = 2**20  # numbers; norms and biases are smaller
