"""Filtering logits and drawing tokens.

1. `filter_logits` is the only place temperature and nucleus are applied; the
   sampler and every log-probability go through it.
2. `sample` inverts the cumulative distribution with one uniform a row, in two
   levels: first a block of the vocabulary by its mass, then a token inside the
   block. That reads the weights twice, where Gumbel noise over the vocabulary
   would draw as many random numbers as there are tokens.
3. Cumulative sums round, so each level takes the first entry that exceeds the
   target and has mass of its own, and the last entry with mass if none does.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from hh_jax.ops import masking


def filter_logits(
  logits: Float[Array, 'B V'],
  *,
  temperature: float | Float[Array, ''] = 1.0,
  top_p: float = 1.0,
  num_valid: int,
) -> Float[Array, 'B V']:
  """Logits of the distribution that is sampled from, in float32.

  Args:
    logits: Output of the unembedding.
    temperature: Logits are divided by this.
    top_p: Keep the most likely tokens until their mass reaches this; the token
      that reaches it is kept, ties with the last kept token are kept. 1 keeps
      all and skips the sort; the value is read when tracing.
    num_valid: True vocabulary size; columns beyond it are removed.

  Returns:
    Logits in which removed tokens hold a large negative number.
  """
  logits = logits.astype(jnp.float32) / temperature
  columns = jnp.arange(logits.shape[-1], dtype=jnp.int32)[None]
  logits = masking.masked_logits(logits, columns < num_valid)
  if top_p >= 1.0:
    return logits
  return masking.masked_logits(logits, logits >= _nucleus_edge(logits, top_p))


def sample(
  logits: Float[Array, 'B V'], uniforms: Float[Array, 'B']
) -> tuple[Int[Array, 'B'], Float[Array, 'B']]:
  """Draws one token a row by inverting the cumulative distribution.

  Args:
    logits: Filtered logits, see `filter_logits`.
    uniforms: One draw from [0, 1) a row.

  Returns:
    Tokens (int32) and their log-probabilities in nats under `logits`. A token
    whose probability is zero in float32 is never returned.
  """
  num_rows, vocab = logits.shape
  block = _block_width(vocab)
  peak = jnp.max(logits, axis=-1, keepdims=True)
  weights = jnp.exp(logits - peak)
  blocks = jnp.pad(weights, ((0, 0), (0, -vocab % block)))
  blocks = blocks.reshape(num_rows, -1, block)
  masses = jnp.sum(blocks, axis=-1)
  edges = jnp.cumsum(masses, axis=-1)
  total = edges[:, -1:]
  target = uniforms[:, None].astype(jnp.float32) * total
  outer = _first_beyond(edges, masses, target)
  below = _pick(jnp.pad(edges[:, :-1], ((0, 0), (1, 0))), outer)
  inside = jnp.take_along_axis(blocks, outer[:, :, None], axis=1)[:, 0]
  inner = _first_beyond(jnp.cumsum(inside, axis=-1), inside, target - below)
  token = outer * block + inner
  log_prob = _pick(logits, token) - peak - jnp.log(total)
  return token[:, 0], log_prob[:, 0]


def _nucleus_edge(logits: jax.Array, top_p: float) -> jax.Array:
  """The smallest kept logit of each row, [B, 1]."""
  ordered = jax.lax.stop_gradient(-jnp.sort(-logits, axis=-1))
  probs = jax.nn.softmax(ordered, axis=-1)
  mass_before = jnp.cumsum(probs, axis=-1) - probs
  is_kept = (mass_before < top_p).at[:, 0].set(True)
  return jnp.min(jnp.where(is_kept, ordered, jnp.inf), axis=-1, keepdims=True)


def _block_width(vocab: int) -> int:
  """A power of two near the square root of the vocabulary."""
  return 1 << ((max(vocab - 1, 1).bit_length() + 1) // 2)


def _pick(x: jax.Array, index: jax.Array) -> jax.Array:
  return jnp.take_along_axis(x, index, axis=-1)


def _first_beyond(
  edges: jax.Array, masses: jax.Array, target: jax.Array
) -> jax.Array:
  """First index with mass whose edge exceeds the target, [B, 1] int32.

  If rounding puts the target at or past the last edge: the last with mass. If
  nothing has mass, because the logits are not finite: index 0, which is a
  token; what is then computed from it is NaN and the update is skipped.
  """
  has_mass = masses > 0.0
  is_beyond = has_mass & (edges > target)
  first = jnp.argmax(is_beyond, axis=-1, keepdims=True)
  places = jnp.arange(masses.shape[-1], dtype=jnp.int32)[None]
  last = jnp.max(jnp.where(has_mass, places, 0), axis=-1, keepdims=True)
  found = jnp.any(is_beyond, axis=-1, keepdims=True)
  return jnp.where(found, first, last).astype(jnp.int32)
