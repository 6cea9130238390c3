"""Sampling replies: prefill, a resumable decode loop, and fixed slots.

1. `prefill` runs the prompts once and keeps their keys and values.
2. `decode` is one compiled loop: logits of the last hidden state, the shared
   filter, one token a row by inverse CDF, one cached forward pass. It leaves
   early when every row is done and can be called again on what it returned.
3. `generate` keeps a fixed number of slots busy: prompts are prefilled in
   groups of one size and of few lengths, so that few shapes are compiled, and
   take the slots of finished replies between short calls of `decode`. A prompt
   of several replies is read once a token for all of them (`prompts`).
4. A sample depends on parameters, prompt, key and example id. Slots, groups
   and order change no draw, and log-probs only in how sums are rounded.

Reference: Bai et al. 2022, section 4.1 and appendix B.1.
"""

from __future__ import annotations

import collections
import dataclasses
import functools
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from hh_jax import sharding
from hh_jax.config import ModelConfig, SamplingConfig
from hh_jax.data.tokenizer import PAD_ID
from hh_jax.generation import plan as plan_lib
from hh_jax.generation import prompts as prompts_lib
from hh_jax.generation import state as state_lib
from hh_jax.models import heads, ladder
from hh_jax.models.transformer import Transformer
from hh_jax.ops import linear
from hh_jax.ops import sampling as sampling_ops
from hh_jax.types import DecodeState, KVCache, Params

CHUNK_STEPS = 16  # tokens between two looks for finished slots

Progress = Callable[[int, int], None]  # replies finished, replies in all


@dataclasses.dataclass(frozen=True)
class Generated:
  """Sampled replies in the order they were asked for, as NumPy arrays."""

  tokens: np.ndarray  # [E, G] int32, pad beyond the reply
  num_tokens: np.ndarray  # [E] int32, end-of-text counted
  log_probs: np.ndarray  # [E, G] float32, nats; 0 beyond the reply
  has_eot: np.ndarray  # [E] bool

  @property
  def mask(self) -> np.ndarray:
    """[E, G] bool, True on sampled tokens."""
    columns = np.arange(self.tokens.shape[1])
    return columns[None] < self.num_tokens[:, None]

  def contents(self) -> list[np.ndarray]:
    """Ids of each reply without its end-of-text."""
    return [self.content(reply) for reply in range(len(self.tokens))]

  def content(self, reply: int) -> np.ndarray:
    """Ids of one reply without its end-of-text."""
    count = int(self.num_tokens[reply]) - int(self.has_eot[reply])
    return self.tokens[reply, :count]


@functools.partial(jax.jit, static_argnums=0)
def for_decoding(model: Transformer, params: Params) -> Params:
  """A copy in the decode layout, a tree for each layer.

  Block matrices are in the compute type; the embedding stays float32, because
  training reads it unrounded too.
  """
  dtype = jnp.dtype(model.config.compute_dtype)

  def cast(path: tuple[jax.tree_util.DictKey, ...], x: jax.Array) -> jax.Array:
    return x.astype(dtype) if path[-1].key == 'kernel' else x

  blocks = jax.tree_util.tree_map_with_path(cast, params['blocks'])
  params = sharding.constrain_tree({**params, 'blocks': blocks}, 'decode')
  return ladder.unstacked(params)


@functools.partial(jax.jit, static_argnums=0)
def read_prompts(
  model: Transformer, params: Params, prompts: jax.Array, lengths: jax.Array
) -> tuple[KVCache, jax.Array]:
  """Keys and values of the prompts, and the hidden state of the last token."""
  packed = ladder.rectangle(prompts, lengths)
  output = ladder.forward(model, params, packed, keeps_keys=True)
  last = jnp.take_along_axis(
    output.hidden, (lengths - 1)[:, None, None], axis=1
  )
  return ladder.cache_of(output).replace(length=lengths), last[:, 0]


# Apart from reading prompts, which takes far longer to compile and does not
# depend on how much room the slots have.
insert = jax.jit(state_lib.insert, donate_argnums=0)
empty_state = jax.jit(state_lib.empty_state, static_argnums=(0, 1, 2, 3, 4))
draw_uniforms = jax.jit(state_lib.draw_uniforms, static_argnums=2)


@functools.partial(jax.jit, static_argnums=0)
def prefill(
  model: Transformer,
  params: Params,
  prompts: jax.Array,
  lengths: jax.Array,
  uniforms: jax.Array,
) -> DecodeState:
  """Runs the prompts; `decode` continues from the returned state.

  Args:
    model: The policy.
    params: Its parameters.
    prompts: [B, P] int32, right-padded.
    lengths: [B] int32, tokens of each prompt, at least 1.
    uniforms: [B, G] float32, see `state.draw_uniforms`; G bounds the reply.
  """
  num_rows, width = prompts.shape
  num_draws = uniforms.shape[1]
  state = state_lib.empty_state(
    model.config, num_rows, width + num_draws, num_draws
  )
  rows = jnp.arange(num_rows, dtype=jnp.int32)
  cache, last_hidden = read_prompts(model, params, prompts, lengths)
  return state_lib.insert(state, cache, last_hidden, rows, rows, uniforms, rows)


@functools.partial(
  jax.jit,
  static_argnames=('model', 'sampling', 'stop_ids'),
  donate_argnames='state',
)
def decode(
  model: Transformer,
  params: Params,
  state: DecodeState,
  max_steps: int | jax.Array,
  sampling: SamplingConfig,
  stop_ids: state_lib.StopIds = (),
) -> DecodeState:
  """Samples up to `max_steps` more tokens a row, fewer if all rows are done.

  Args:
    model: The policy.
    params: Its parameters, best through `for_decoding`.
    state: Where to go on; donated, so use the returned one from then on.
    max_steps: Tokens to add; any number runs the same compiled program.
    sampling: Temperature and nucleus; the length is bounded by the state.
    stop_ids: Turn markers, each a tuple of ids, at which a reply ends.
  """
  dtype = jnp.dtype(model.config.compute_dtype)
  unembed = linear.transposed(heads.unembed_matrix(params).astype(dtype))

  def step(carry: tuple[jax.Array, DecodeState]):
    logits = linear.matmul(carry[1].last_hidden, unembed, compute_dtype=dtype)
    logits = sharding.constrain(logits, 'batch', 'vocab')
    state = _sample_next(model.config.vocab_size, logits, carry[1], sampling)
    state = state_lib.stop(state, stop_ids)
    return carry[0] + 1, _advance(model, params, state)

  def is_running(carry: tuple[jax.Array, DecodeState]) -> jax.Array:
    return (carry[0] < max_steps) & ~jnp.all(carry[1].is_done)

  start = (jnp.zeros((), jnp.int32), state)
  return jax.lax.while_loop(is_running, step, start)[1]


def _sample_next(
  num_valid: int,
  logits: jax.Array,
  state: DecodeState,
  sampling: SamplingConfig,
) -> DecodeState:
  logits = sampling_ops.filter_logits(
    logits,
    temperature=sampling.temperature,
    top_p=sampling.top_p,
    num_valid=num_valid,
  )
  tokens, log_probs = sampling_ops.sample(
    logits, state_lib.next_uniforms(state)
  )
  return state_lib.record(state, tokens, log_probs)


def _advance(
  model: Transformer, params: Params, state: DecodeState
) -> DecodeState:
  """Feeds the newest token of every row; rows that are done stay put.

  These write to a slot that nobody reads, and no row reads further than the
  longest that runs.
  """
  newest = jnp.maximum(state.num_sampled - 1, 0)[:, None]
  tokens = jnp.take_along_axis(state.tokens, newest, axis=1)[:, 0]
  running = jnp.where(state.is_done, 0, state.cache.length)
  output = ladder.forward_cached(
    model, params, tokens, state.cache.replace(length=running)
  )
  cache = ladder.cache_of(output)
  length = jnp.where(state.is_done, state.cache.length, cache.length)
  return state.replace(
    cache=cache.replace(length=length),
    last_hidden=jnp.where(
      state.is_done[:, None], state.last_hidden, output.hidden[:, 0]
    ),
  )


def generate(
  model: Transformer,
  params: Params,
  prompts: Sequence[np.ndarray],
  example_ids: np.ndarray,
  key: jax.Array,
  sampling: SamplingConfig,
  stop_sequences: Sequence[Sequence[int]] = (),
  progress: Progress | None = None,
) -> Generated:
  """Samples replies to prompts of any length, on a fixed number of slots.

  Args:
    model: The policy.
    params: Its parameters, in any layout.
    prompts: Token ids of each prompt.
    example_ids: Global ids, [N], that fix each reply's randomness together
      with `key`; or [N, k] for k replies to each prompt, which is prefilled
      once for all of them.
    key: Of this round of sampling.
    sampling: Length, temperature, nucleus and slots (at least k are used).
    stop_sequences: Turn markers; ignored unless `sampling.stop_at_turn`.
    progress: Called with the numbers of finished and of all replies.

  Returns:
    One reply for each id, those of one prompt side by side.
  """
  ids = np.asarray(example_ids)
  ids = ids[:, None] if ids.ndim == 1 else ids
  lengths = [len(prompt) for prompt in prompts]
  plan_lib.check(model.config, lengths, len(ids), sampling)
  results = _empty_results(ids.size, sampling.max_new_tokens)
  if not ids.size:
    return results
  plan = plan_lib.make_plan(lengths, ids.shape[1], sampling)
  uniforms = draw_uniforms(key, ids.reshape(-1), sampling.max_new_tokens)
  uniforms = np.asarray(uniforms).reshape(*ids.shape, -1)
  stop_ids: state_lib.StopIds = ()
  if sampling.stop_at_turn:
    stop_ids = tuple(tuple(int(i) for i in s) for s in stop_sequences)
  params = for_decoding(model, params)
  state = _start(model.config, plan, max(lengths), sampling)
  waiting = collections.deque(plan.groups)
  seats = plan.seats()
  while waiting or not seats.is_empty:
    while waiting and seats.has_room(waiting[0]):
      batch = plan.fill(waiting.popleft(), seats, prompts, uniforms)
      read = read_prompts(model, params, batch.tokens, batch.lengths)
      state = insert(state, *read, *batch[2:])
    state, seats = _trim(state, seats, plan, bool(waiting))
    state = decode(model, params, state, CHUNK_STEPS, sampling, stop_ids)
    _collect(state, seats.replies, results)
    if progress is not None:
      left = sum(len(group) for group in waiting) * plan.num_samples
      running = int(np.sum(seats.replies >= 0))
      progress(ids.size - left - running, ids.size)
  return results


def _start(
  config: ModelConfig,
  plan: plan_lib.Plan,
  longest: int,
  sampling: SamplingConfig,
) -> DecodeState:
  """Free slots; prompts come longest first, so no later one needs more."""
  reply = sampling.max_new_tokens
  if not plan.num_places:
    room = plan.room(longest + CHUNK_STEPS)
    return empty_state(config, plan.num_slots, room, reply, None)
  shared = prompts_lib.Room(
    plan.num_places, plan.num_samples, plan.room(longest)
  )
  return empty_state(config, plan.num_slots, reply, reply, shared)


def _empty_results(num_replies: int, num_columns: int) -> Generated:
  return Generated(
    tokens=np.full((num_replies, num_columns), PAD_ID, np.int32),
    num_tokens=np.zeros((num_replies,), np.int32),
    log_probs=np.zeros((num_replies, num_columns), np.float32),
    has_eot=np.zeros((num_replies,), bool),
  )


def _trim(
  state: DecodeState,
  seats: plan_lib.Seats,
  plan: plan_lib.Plan,
  is_waiting: bool,
) -> tuple[DecodeState, plan_lib.Seats]:
  """Slots, places and room for the next steps, no more; see `plan`."""
  slots, places = plan.keep(seats, is_waiting)
  shared = state.cache.shared
  if shared is None:
    longest = np.max(sharding.to_host(state.cache.length)[seats.replies >= 0])
    room, capacity = plan.room(int(longest) + CHUNK_STEPS), state.cache.capacity
  else:
    longest = np.max(sharding.to_host(shared.length)[seats.is_read])
    room, capacity = plan.room(int(longest)), shared.capacity
  before = len(seats.replies), len(seats.prompts), capacity
  if (len(slots), len(places), room) == before:
    return state, seats
  kept = jnp.asarray(slots), jnp.asarray(places)
  return state_lib.fit(state, *kept, room), seats.take(slots, places)


def _collect(state: DecodeState, owner: np.ndarray, results: Generated) -> None:
  """Moves finished replies to their rows of `results` and frees the slots."""
  slots = np.flatnonzero(sharding.to_host(state.is_done) & (owner >= 0))
  if not len(slots):
    return
  rows = owner[slots]
  results.tokens[rows] = sharding.to_host(state.tokens)[slots]
  results.num_tokens[rows] = sharding.to_host(state.num_sampled)[slots]
  results.log_probs[rows] = sharding.to_host(state.log_probs)[slots]
  results.has_eot[rows] = sharding.to_host(state.has_eot)[slots]
  owner[slots] = -1
