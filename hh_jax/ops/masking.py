"""Who may attend to whom.

1. Rows hold token trees: a token belongs to a segment whose descendants are
   the pre-order interval [enter, leave).
2. A query sees a key that is not after it in the row and whose segment is its
   own or an ancestor's.
3. Ordinary packing and plain causal attention are the special cases of one
   segment a document and one segment a row.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int

# Finite, so that a row that sees nothing stays finite too; far below any
# logit, so that its exponential is exactly zero beside a visible one.
MASKED_LOGIT = -1e30


def interval_mask(
  enter_q: Int[Array, 'B Tq'],
  enter_k: Int[Array, 'B Tk'],
  leave_k: Int[Array, 'B Tk'],
  offset: int | Int[Array, ''] = 0,
) -> Bool[Array, 'B Tq Tk']:
  """True where query q may read key k of a packed tree.

    k <= q + offset  and  enter_k[k] <= enter_q[q] < leave_k[k]

  Args:
    enter_q: Start of the interval of each query's segment.
    enter_k: Start of the interval of each key's segment.
    leave_k: Exclusive end of the interval of each key's segment.
    offset: Column of the first query minus column of the first key.
  """
  causal = causal_mask(enter_q.shape[1], enter_k.shape[1], offset)
  enter_q = enter_q[:, :, None]
  inside = (enter_k[:, None] <= enter_q) & (enter_q < leave_k[:, None])
  return causal[None] & inside


def causal_mask(
  num_queries: int, num_keys: int, offset: int | Int[Array, ''] = 0
) -> Bool[Array, 'Tq Tk']:
  """True where k <= q + offset; offset as in `interval_mask`."""
  query = jnp.arange(num_queries, dtype=jnp.int32) + offset
  key = jnp.arange(num_keys, dtype=jnp.int32)
  return key[None, :] <= query[:, None]


def lengths_mask(
  lengths: Int[Array, '*batch'], num_slots: int
) -> Bool[Array, '*batch S']:
  """True on the first `lengths` of `num_slots` slots."""
  slots = jnp.arange(num_slots, dtype=lengths.dtype)
  slots = jax.lax.expand_dims(slots, range(lengths.ndim))
  return slots < lengths[..., None]


def masked_logits(logits: jax.Array, mask: jax.Array) -> jax.Array:
  """Logits with `MASKED_LOGIT` where the mask is False; unit axes repeat."""
  return jnp.where(mask, logits, jnp.asarray(MASKED_LOGIT, logits.dtype))
