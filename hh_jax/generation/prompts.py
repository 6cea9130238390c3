"""Prompts of several replies, kept once for all of them.

1. A prompt has a place of its own; the slots of its k replies point to it, and
   hold only what was sampled.
2. Replies of one prompt end at different times, and other prompts' replies
   take their slots. So places and slots are freed independently, and two
   tables say who belongs to whom (`types.SharedPrompts`).
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

from hh_jax import sharding
from hh_jax.config import ModelConfig
from hh_jax.types import KVCache, SharedPrompts


class Room(NamedTuple):
  """Sizes of the prompts kept."""

  num_places: int  # (N)
  num_samples: int  # (k)
  capacity: int  # tokens of a prompt (P)


def constrain_cache(x: jax.Array) -> jax.Array:
  """A cache [B, K, S, H] spread over the mesh."""
  return sharding.constrain(x, 'batch', 'heads', None, None)


@functools.partial(jax.jit, static_argnums=2)
def _resized(
  cache: jax.Array, kept: Int[Array, 'M'], capacity: int
) -> jax.Array:
  rows = cache[kept, :, :capacity]
  fill = capacity - rows.shape[2]
  return constrain_cache(jnp.pad(rows, ((0, 0), (0, 0), (0, fill), (0, 0))))


def resized(
  caches: tuple[jax.Array, ...], kept: Int[Array, 'M'], capacity: int
) -> tuple[jax.Array, ...]:
  """Some rows of each layer, with room for `capacity` tokens.

  Each layer is gone once its copy is made, so that never more than one is held
  twice.

  Args:
    caches: [B, K, S, H] of each layer; deleted.
    kept: The rows that stay.
    capacity: Columns of the result, empty beyond S.
  """
  found = []
  for cache in caches:
    found.append(jax.block_until_ready(_resized(cache, kept, capacity)))
    cache.delete()
  return tuple(found)


def empty(config: ModelConfig, num_slots: int, room: Room) -> SharedPrompts:
  """Places without prompts."""
  shape = (
    room.num_places,
    config.kv_heads,
    room.capacity,
    config.width_of_head,
  )
  layers = range(config.num_layers)
  dtype = jnp.dtype(config.type_of_cache)
  table = (room.num_places, room.num_samples)
  return SharedPrompts(
    keys=tuple(constrain_cache(jnp.zeros(shape, dtype)) for _ in layers),
    values=tuple(constrain_cache(jnp.zeros(shape, dtype)) for _ in layers),
    length=jnp.zeros((room.num_places,), jnp.int32),
    rows=jnp.full(table, num_slots, jnp.int32),
    member=jnp.zeros((num_slots,), jnp.int32),
  )


def put(
  shared: SharedPrompts,
  prompts: KVCache,
  places: Int[Array, 'R'],
  slots: Int[Array, 'W'],
) -> SharedPrompts:
  """Keeps R prompts, each with k replies that start in given slots.

  Args:
    shared: Its prompts in `places` are overwritten.
    prompts: Keys and values of the prompts, no longer than a place.
    places: Where each prompt goes; an index >= N drops it.
    slots: Where the replies go, those of one prompt side by side.
  """
  num_samples = shared.rows.shape[1]
  width = prompts.capacity
  sample = jnp.arange(num_samples, dtype=jnp.int32)
  member = places[:, None] * num_samples + sample[None]

  def place(kept: jax.Array, new: jax.Array) -> jax.Array:
    return constrain_cache(kept.at[places, :, :width].set(new, mode='drop'))

  return SharedPrompts(
    keys=tuple(map(place, shared.keys, prompts.keys)),
    values=tuple(map(place, shared.values, prompts.values)),
    length=shared.length.at[places].set(prompts.length, mode='drop'),
    rows=shared.rows.at[places].set(
      slots.reshape(-1, num_samples), mode='drop'
    ),
    member=shared.member.at[slots].set(member.reshape(-1), mode='drop'),
  )


def fit(
  shared: SharedPrompts,
  slots: Int[Array, 'W'],
  places: Int[Array, 'M'],
  capacity: int,
) -> SharedPrompts:
  """Keeps some places and slots, which get the numbers of their order.

  Args:
    shared: Its other places and slots are lost, and its keys and values gone.
    slots: The slots that stay.
    places: The places that stay, those of every slot that runs among them.
    capacity: At least the length of every prompt that is still read.
  """
  tables = _renumbered(shared.replace(keys=(), values=()), slots, places)
  return tables.replace(
    keys=resized(shared.keys, places, capacity),
    values=resized(shared.values, places, capacity),
  )


@jax.jit
def _renumbered(
  shared: SharedPrompts, slots: Int[Array, 'W'], places: Int[Array, 'M']
) -> SharedPrompts:
  """The tables of who belongs to whom, in the new numbers."""
  num_samples = shared.rows.shape[1]
  num_slots = len(slots)

  def renumber(old: jax.Array, count: int) -> jax.Array:
    """New number of each old one; lost ones get one that does not exist."""
    lost = jnp.full((count + 1,), len(old), jnp.int32)
    return lost.at[old].set(jnp.arange(len(old), dtype=jnp.int32))

  new_slot = renumber(slots, len(shared.member))
  new_place = renumber(places, len(shared.length))
  member = shared.member[slots]
  # A slot that lost its place is idle and may read any prompt.
  place = jnp.minimum(new_place[member // num_samples], len(places) - 1)
  rows = new_slot[jnp.minimum(shared.rows[places], len(shared.member))]
  return shared.replace(
    length=shared.length[places],
    rows=jnp.minimum(rows, num_slots),
    member=place * num_samples + member % num_samples,
  )
