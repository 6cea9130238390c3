"""Attention over packed token trees and over a cache.

1. Short rows: dense scores [B, K, T, T], masked by the interval rule. They
   are taken a block of queries at a time, and a block reads no key beyond its
   last query: with four blocks this saves 3/8 of the work.
2. Long rows: a scan over blocks of keys with an online softmax. Each block
   rescales what was summed so far to the new running maximum, so scores never
   exceed [B, K, T, block].
3. The long backward pass is a second scan. It rebuilds each block's weights
   from the saved log-sum-exp, so memory stays linear in T; differentiating
   the first scan would store the running sums of every block.
4. A cache is read whole, its unused slots masked: whoever decodes keeps it no
   longer than the sequences in it, because reading is what decoding costs.
5. Rows that continue one prompt read its keys together; the softmax over the
   prompt and a row's own tokens is put together from two parts.
6. Grouped-query heads: query head h reads key head h // (heads per group).
"""

import functools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int

from hh_jax.ops import linear, masking

DENSE_LIMIT = 1024  # rows up to this many tokens use dense scores
DEFAULT_BLOCK = 512  # keys of one block beyond it
QUERY_BLOCKS = 4  # blocks of queries in a dense row


class Prompts(NamedTuple):
  """Keys and values of one layer that several rows read; `SharedPrompts`."""

  keys: jax.Array  # [N, Kkv, P, H]
  values: jax.Array  # [N, Kkv, P, H]
  length: jax.Array  # [N] int32
  rows: jax.Array  # [N, k] int32, absent where >= B
  member: jax.Array  # [B] int32


class Part(NamedTuple):
  """A softmax over some of the keys, not yet normalised."""

  peak: jax.Array  # [..., T], largest score
  mass: jax.Array  # [..., T], sum of exp(score - peak)
  total: jax.Array  # [..., T, H], values weighted by exp(score - peak)


def packed_attention(
  q: Float[Array, 'B T K H'],
  k: Float[Array, 'B T Kkv H'],
  v: Float[Array, 'B T Kkv H'],
  enter: Int[Array, 'B T'],
  leave: Int[Array, 'B T'],
  *,
  compute_dtype: DTypeLike = jnp.float32,
  block: int = 0,
) -> Float[Array, 'B T K H']:
  """Softmax attention in which each token reads its own path of the tree.

  Args:
    q: Queries; scaled by 1/sqrt(H) here.
    k: Keys.
    v: Values.
    enter: Start of the pre-order interval of each token's segment.
    leave: Exclusive end of that interval.
    compute_dtype: Operand type of both products; softmax is float32.
    block: Keys per block of the online softmax; 0 takes dense scores up to
      `DENSE_LIMIT` tokens and `DEFAULT_BLOCK` beyond.

  Returns:
    Float32 weighted values, [B, T, K, H].
  """
  dtype = jnp.dtype(compute_dtype)
  queries, keys, values = _grouped(q, k.shape[2]), _by_head(k), _by_head(v)
  num_tokens = q.shape[1]
  if block == 0 and num_tokens > DENSE_LIMIT:
    block = DEFAULT_BLOCK
  if block == 0:
    out = _causal(queries, keys, values, enter, leave, dtype)
  else:
    out = _blocked(dtype, block, queries, keys, values, enter, leave)
  out = out.reshape(q.shape[0], q.shape[2], num_tokens, q.shape[3])
  return out.swapaxes(1, 2)


def cached_attention(
  q: Float[Array, 'B K H'],
  keys: Float[Array, 'B Kkv S H'],
  values: Float[Array, 'B Kkv S H'],
  length: Int[Array, 'B'],
  *,
  prompts: Prompts | None = None,
  compute_dtype: DTypeLike = jnp.float32,
) -> Float[Array, 'B K H']:
  """Attention of one new token to the first `length` slots of a cache.

  Args:
    q: Query of the new token; scaled by 1/sqrt(H) here.
    keys: Cached keys, the new token's own included.
    values: Cached values, likewise.
    length: Slots in use, the new token's own included.
    prompts: What the rows continue, if that is kept apart.
    compute_dtype: Operand type of both products; softmax is float32.
  """
  dtype = jnp.dtype(compute_dtype)
  queries = _grouped(q[:, None], keys.shape[1])
  mask = masking.lengths_mask(length, keys.shape[2])[:, None]
  if prompts is None:
    out = _dense(queries, keys, values, mask, dtype)
  else:
    own = _part(queries, keys, values, mask, dtype)
    out = _joined(own, _prompt_part(q, prompts, dtype))
  return out.reshape(q.shape)


def _prompt_part(q: jax.Array, prompts: Prompts, dtype: DTypeLike) -> Part:
  """Attention of the new token of every row to its prompt."""
  num_rows = q.shape[0]
  # A sample that is not there computes what some row does, and is not read.
  rows = jnp.minimum(prompts.rows, num_rows - 1)
  queries = _grouped(q[rows], prompts.keys.shape[1])
  mask = masking.lengths_mask(prompts.length, prompts.keys.shape[2])[:, None]
  part = _part(queries, prompts.keys, prompts.values, mask, dtype)

  def by_row(x: jax.Array) -> jax.Array:
    """[N, Kkv, G, k, ...] to [B, Kkv, G, 1, ...]."""
    x = jnp.moveaxis(x, 3, 1)
    return x.reshape(-1, *x.shape[2:])[prompts.member][:, :, :, None]

  return Part(*map(by_row, part))


def _part(
  q: jax.Array, k: jax.Array, v: jax.Array, mask: jax.Array, dtype: DTypeLike
) -> Part:
  scores = _scores(q, k, mask, dtype)
  peak = jnp.max(scores, axis=-1)
  weights = jnp.exp(scores - peak[..., None])
  total = _heads_product(weights, v, dtype)
  return Part(peak, jnp.sum(weights, axis=-1), total)


def _joined(one: Part, other: Part) -> jax.Array:
  """Weighted values over the keys of both parts."""
  peak = jnp.maximum(one.peak, other.peak)
  scale, other_scale = jnp.exp(one.peak - peak), jnp.exp(other.peak - peak)
  mass = one.mass * scale + other.mass * other_scale
  total = one.total * scale[..., None] + other.total * other_scale[..., None]
  return total / mass[..., None]


def _by_head(x: jax.Array) -> jax.Array:
  """[B, T, K, H] to [B, K, T, H]: batch axes first, one product a head."""
  return x.swapaxes(1, 2)


def _grouped(q: jax.Array, num_kv_heads: int) -> jax.Array:
  """Scaled queries, [B, T, K, H] to [B, Kkv, G, T, H]."""
  batch, num_tokens, num_heads, width = q.shape
  if num_heads % num_kv_heads:
    raise ValueError(
      f'{num_kv_heads} key heads do not divide {num_heads} query heads'
    )
  q = _by_head(q.astype(jnp.float32) / math.sqrt(width))
  group = num_heads // num_kv_heads
  return q.reshape(batch, num_kv_heads, group, num_tokens, width)


def _heads_product(
  x: jax.Array, y: jax.Array, dtype: DTypeLike, is_transposed: bool = False
) -> jax.Array:
  """[B, Kkv, G, T, I] @ [B, Kkv, I, O], the groups merged into the rows.

  `is_transposed` takes y as [B, Kkv, O, I].
  """
  batch, heads, group, num_rows, width = x.shape
  rows = x.reshape(batch, heads, group * num_rows, width)
  product = linear.matmul_transposed if is_transposed else linear.matmul
  out = product(rows, y, compute_dtype=dtype)
  return out.reshape(batch, heads, group, num_rows, out.shape[-1])


def _scores(
  q: jax.Array, k: jax.Array, mask: jax.Array, dtype: DTypeLike
) -> jax.Array:
  """Masked scores [B, Kkv, G, Tq, Tk]; `mask` is [B, Tq, Tk]."""
  scores = _heads_product(q, k, dtype, is_transposed=True)
  return masking.masked_logits(scores, mask[:, None, None])


def _dense(
  q: jax.Array,
  k: jax.Array,
  v: jax.Array,
  mask: jax.Array,
  dtype: DTypeLike,
) -> jax.Array:
  weights = jax.nn.softmax(_scores(q, k, mask, dtype), axis=-1)
  return _heads_product(weights, v, dtype)


def _causal(
  q: jax.Array,
  k: jax.Array,
  v: jax.Array,
  enter: jax.Array,
  leave: jax.Array,
  dtype: DTypeLike,
) -> jax.Array:
  """Dense attention, each block of queries over the keys up to its end."""
  num_tokens = q.shape[3]
  size = -(-num_tokens // QUERY_BLOCKS)
  blocks = []
  for start in range(0, num_tokens, size):
    stop = min(start + size, num_tokens)
    seen = enter[:, :stop], leave[:, :stop]
    mask = masking.interval_mask(enter[:, start:stop], *seen, start)
    part = q[..., start:stop, :], k[..., :stop, :], v[..., :stop, :]
    blocks.append(_dense(*part, mask, dtype))
  return jnp.concatenate(blocks, axis=3)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _blocked(
  dtype: DTypeLike,
  block: int,
  q: jax.Array,
  k: jax.Array,
  v: jax.Array,
  enter: jax.Array,
  leave: jax.Array,
) -> jax.Array:
  return _blocked_forward(dtype, block, q, k, v, enter, leave)[0]


def _blocked_forward(dtype, block, q, k, v, enter, leave):
  """Output and log-sum-exp of every query, by a scan over key blocks."""

  def step(carry, piece):
    peak, mass, total = carry
    k_block, v_block, mask = _open_block(piece, enter)
    scores = _scores(q, k_block, mask, dtype)
    new_peak = jnp.maximum(peak, jnp.max(scores, axis=-1))
    weights = jnp.exp(scores - new_peak[..., None])
    rescale = jnp.exp(peak - new_peak)
    mass = mass * rescale + jnp.sum(weights, axis=-1)
    total = total * rescale[..., None]
    total = total + _heads_product(weights, v_block, dtype)
    return (new_peak, mass, total), None

  start = (
    jnp.full(q.shape[:-1], masking.MASKED_LOGIT, jnp.float32),
    jnp.zeros(q.shape[:-1], jnp.float32),
    jnp.zeros((*q.shape[:-1], v.shape[-1]), jnp.float32),
  )
  pieces = _key_blocks(block, k, v, enter, leave)
  (peak, mass, total), _ = jax.lax.scan(step, start, pieces)
  return total / mass[..., None], peak + jnp.log(mass)


def _blocked_fwd(dtype, block, q, k, v, enter, leave):
  out, log_mass = _blocked_forward(dtype, block, q, k, v, enter, leave)
  return out, (q, k, v, enter, leave, out, log_mass)


def _blocked_bwd(dtype, block, residuals, grad):
  """Softmax backward per key block: dS = W * (dW - sum(dO * O))."""
  q, k, v, enter, leave, out, log_mass = residuals
  shift = jnp.sum(grad * out, axis=-1, keepdims=True)

  def step(grad_q, piece):
    k_block, v_block, mask = _open_block(piece, enter)
    scores = _scores(q, k_block, mask, dtype)
    weights = jnp.exp(scores - log_mass[..., None])
    grad_weights = _heads_product(grad, v_block, dtype, True)
    grad_scores = jnp.where(
      mask[:, None, None], weights * (grad_weights - shift), 0.0
    )
    grad_q = grad_q + _heads_product(grad_scores, k_block, dtype)
    grad_k = _sum_rows(grad_scores, q, dtype)
    return grad_q, (grad_k, _sum_rows(weights, grad, dtype))

  start = jnp.zeros(q.shape, jnp.float32)
  pieces = _key_blocks(block, k, v, enter, leave)
  grad_q, (grad_k, grad_v) = jax.lax.scan(step, start, pieces)
  grad_k, grad_v = (_join_blocks(g, k.shape[2]) for g in (grad_k, grad_v))
  grads = (grad_q, grad_k.astype(k.dtype), grad_v.astype(v.dtype))
  return *grads, None, None


_blocked.defvjp(_blocked_fwd, _blocked_bwd)


def _sum_rows(x: jax.Array, y: jax.Array, dtype: DTypeLike) -> jax.Array:
  """[B, Kkv, G, T, S], [B, Kkv, G, T, H] to [B, Kkv, S, H]."""
  x, y = (a.reshape(*a.shape[:2], -1, a.shape[-1]) for a in (x, y))
  turned = linear.transposed(x.astype(dtype))
  return linear.matmul(turned, y, compute_dtype=dtype)


def _key_blocks(
  block: int,
  k: jax.Array,
  v: jax.Array,
  enter: jax.Array,
  leave: jax.Array,
) -> tuple[jax.Array, ...]:
  """Column of each block, its keys, values and intervals; blocks lead.

  Columns that fill up the last block get the empty interval [0, 0).
  """
  num_blocks = -(-k.shape[2] // block)
  fill = num_blocks * block - k.shape[2]

  def cut(x: jax.Array, axis: int) -> jax.Array:
    widths = [(0, fill if i == axis else 0) for i in range(x.ndim)]
    shape = (*x.shape[:axis], num_blocks, block, *x.shape[axis + 1 :])
    return jnp.moveaxis(jnp.pad(x, widths).reshape(shape), axis, 0)

  starts = block * jnp.arange(num_blocks, dtype=jnp.int32)
  return starts, cut(k, 2), cut(v, 2), cut(enter, 1), cut(leave, 1)


def _open_block(
  piece: tuple[jax.Array, ...], enter: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
  start, k_block, v_block, enter_block, leave_block = piece
  mask = masking.interval_mask(enter, enter_block, leave_block, -start)
  return k_block, v_block, mask


def _join_blocks(x: jax.Array, num_tokens: int) -> jax.Array:
  """[N, B, Kkv, block, H] to [B, Kkv, T, H]."""
  x = jnp.moveaxis(x, 0, 2)
  x = x.reshape(*x.shape[:2], -1, x.shape[-1])
  return x[:, :, :num_tokens]
