"""The device side of sampling: making, filling and advancing a DecodeState.

1. The uniforms of an example come from its global id alone, one for each token
   of the reply, so that neither slot nor batch nor order changes a sample.
2. Rows are independent: a finished row idles until another takes its slot.
3. A reply ends at end-of-text, which it keeps, or at a turn marker, which it
   does not; the marker is looked for among sampled tokens only.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PyTree

from hh_jax.config import ModelConfig
from hh_jax.data.tokenizer import EOT_ID, PAD_ID
from hh_jax.generation import prompts as prompts_lib
from hh_jax.types import DecodeState, KVCache

StopIds = tuple[tuple[int, ...], ...]


def draw_uniforms(
  key: jax.Array, example_ids: Int[Array, 'E'], num_draws: int
) -> Float[Array, 'E G']:
  """Uniforms in [0, 1), row e from `key` folded with `example_ids[e]`."""

  def draw(example_id: jax.Array) -> jax.Array:
    return jax.random.uniform(
      jax.random.fold_in(key, example_id), (num_draws,), jnp.float32
    )

  return jax.vmap(draw)(example_ids)


def empty_state(
  config: ModelConfig,
  num_slots: int,
  capacity: int,
  max_new_tokens: int,
  shared: prompts_lib.Room | None = None,
) -> DecodeState:
  """Slots that are all done, to be filled by `insert`.

  Args:
    config: Of the model.
    num_slots: Rows decoded at once (B).
    capacity: Tokens a row can hold, prompt and reply (S).
    max_new_tokens: Longest reply (G).
    shared: Room for prompts that several rows continue; rows hold their
      prompts themselves without it.
  """
  shape = (num_slots, config.kv_heads, capacity, config.width_of_head)

  def room() -> tuple[jax.Array, ...]:
    empty = jnp.zeros(shape, jnp.dtype(config.type_of_cache))
    return tuple(
      prompts_lib.constrain_cache(empty) for _ in range(config.num_layers)
    )

  length = jnp.zeros((num_slots,), jnp.int32)
  prompts = shared and prompts_lib.empty(config, num_slots, shared)
  cache = KVCache(keys=room(), values=room(), length=length, shared=prompts)
  reply = (num_slots, max_new_tokens)
  return DecodeState(
    cache=cache,
    last_hidden=jnp.zeros((num_slots, config.model_dim), jnp.float32),
    tokens=jnp.full(reply, PAD_ID, jnp.int32),
    log_probs=jnp.zeros(reply, jnp.float32),
    uniforms=jnp.zeros(reply, jnp.float32),
    num_sampled=jnp.zeros((num_slots,), jnp.int32),
    is_done=jnp.ones((num_slots,), bool),
    has_eot=jnp.zeros((num_slots,), bool),
  )


def insert(
  state: DecodeState,
  prompts: KVCache,
  last_hidden: Float[Array, 'R D'],
  source: Int[Array, 'W'],
  slots: Int[Array, 'W'],
  uniforms: Float[Array, 'W G'],
  places: Int[Array, 'R'],
) -> DecodeState:
  """Starts new replies in slots that are free.

  Args:
    state: Its rows `slots` are overwritten.
    prompts: Keys and values of R prompts of P tokens, P <= S.
    last_hidden: Hidden state of the last token of each prompt.
    source: The prompt that each new reply continues; one may start several.
    slots: Where each reply goes; an index >= B drops it.
    uniforms: One draw for each token of each reply.
    places: Where each prompt goes that is kept for all its replies.
  """
  width = prompts.capacity

  def place(rows: jax.Array, new: jax.Array | float | bool) -> jax.Array:
    return rows.at[slots].set(new, mode='drop')

  def place_prompt(rows: jax.Array, new: jax.Array) -> jax.Array:
    rows = rows.at[slots, :, :width].set(new[source], mode='drop')
    return prompts_lib.constrain_cache(rows)

  cache, shared = state.cache, state.cache.shared
  if shared is None:
    cache = KVCache(
      keys=tuple(map(place_prompt, cache.keys, prompts.keys)),
      values=tuple(map(place_prompt, cache.values, prompts.values)),
      length=place(cache.length, prompts.length[source]),
    )
  else:
    cache = cache.replace(
      length=place(cache.length, 0),
      shared=prompts_lib.put(shared, prompts, places, slots),
    )
  return DecodeState(
    cache=cache,
    last_hidden=place(state.last_hidden, last_hidden[source]),
    tokens=place(state.tokens, PAD_ID),
    log_probs=place(state.log_probs, 0.0),
    uniforms=place(state.uniforms, uniforms),
    num_sampled=place(state.num_sampled, 0),
    is_done=place(state.is_done, False),
    has_eot=place(state.has_eot, False),
  )


def fit(
  state: DecodeState,
  slots: Int[Array, 'W'],
  places: Int[Array, 'M'],
  capacity: int,
) -> DecodeState:
  """Keeps some slots, and room for `capacity` tokens in each of them.

  Decoding costs as much as there are slots and room, used or not.

  Args:
    state: Its other slots are lost, and its keys and values are gone.
    slots: Which slots the rows of the result are.
    places: Which prompts are kept that several rows continue.
    capacity: At least the length of every kept sequence that runs, or of
      every kept prompt where they are apart.
  """
  cache, shared = state.cache, state.cache.shared
  fields = {name: x for name, x in vars(state).items() if name != 'cache'}
  length, fields = _rows_of((cache.length, fields), slots)
  if shared is not None:
    shared = prompts_lib.fit(shared, slots, places, capacity)
    capacity = cache.capacity
  keys = prompts_lib.resized(cache.keys, slots, capacity)
  values = prompts_lib.resized(cache.values, slots, capacity)
  return DecodeState(cache=KVCache(keys, values, length, shared), **fields)


@jax.jit
def _rows_of(tree: PyTree, rows: Int[Array, 'W']) -> PyTree:
  return jax.tree.map(lambda x: x[rows], tree)


def next_uniforms(state: DecodeState) -> Float[Array, 'B']:
  """The draw that belongs to each row's next token."""
  column = jnp.minimum(state.num_sampled, state.uniforms.shape[1] - 1)
  return jnp.take_along_axis(state.uniforms, column[:, None], axis=1)[:, 0]


def record(
  state: DecodeState, tokens: Int[Array, 'B'], log_probs: Float[Array, 'B']
) -> DecodeState:
  """Appends one sampled token to every row that is not done."""
  is_active = ~state.is_done
  columns = jnp.arange(state.tokens.shape[1], dtype=jnp.int32)[None]
  is_new = (columns == state.num_sampled[:, None]) & is_active[:, None]
  return state.replace(
    tokens=jnp.where(is_new, tokens[:, None], state.tokens),
    log_probs=jnp.where(is_new, log_probs[:, None], state.log_probs),
    num_sampled=state.num_sampled + is_active,
    has_eot=state.has_eot | (is_active & (tokens == EOT_ID)),
  )


def stop(state: DecodeState, stop_ids: StopIds) -> DecodeState:
  """Ends rows at end-of-text, at a turn marker, or when they are full."""
  columns = jnp.arange(state.tokens.shape[1], dtype=jnp.int32)[None]
  num_marker = jnp.zeros(state.num_sampled.shape, jnp.int32)
  for marker in stop_ids:
    is_here = _ends_with(state, marker) & ~state.is_done
    num_marker = jnp.where(
      is_here, jnp.maximum(num_marker, len(marker)), num_marker
    )
  is_full = state.num_sampled >= state.tokens.shape[1]
  num_sampled = state.num_sampled - num_marker
  is_cut = (columns >= num_sampled[:, None]) & (num_marker[:, None] > 0)
  return state.replace(
    tokens=jnp.where(is_cut, PAD_ID, state.tokens),
    log_probs=jnp.where(is_cut, 0.0, state.log_probs),
    num_sampled=num_sampled,
    is_done=state.is_done | state.has_eot | is_full | (num_marker > 0),
  )


def _ends_with(state: DecodeState, marker: tuple[int, ...]) -> jax.Array:
  """True where the last sampled tokens are the marker, [B] bool."""
  wanted = jnp.asarray(marker, jnp.int32)[None]
  offsets = jnp.arange(len(marker), dtype=jnp.int32)[None] - len(marker)
  columns = state.num_sampled[:, None] + offsets
  found = jnp.take_along_axis(state.tokens, jnp.maximum(columns, 0), axis=1)
  return jnp.all((found == wanted) & (columns >= 0), axis=1)
