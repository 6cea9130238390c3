"""Log-probabilities of tokens from hidden states, without whole logits.

1. Rows are cut into chunks; each chunk's logits [chunk, V] are made, reduced
   to what the caller reads, and dropped: never more than `CHUNK_LOGITS`.
2. `jax.checkpoint` makes the backward pass rebuild a chunk's logits too. A
   single chunk keeps them.
3. Logits go through `sampling.filter_logits`, so temperature, nucleus and
   vocabulary padding mean the same here as in the sampler.
4. On a mesh a chunk has rows of every device, which reads its own: row r is in
   chunk r mod n. Every device gets the output matrix before the first chunk and
   sums its gradient until the last; logits stay where their rows are, split
   over the vocabulary.

Options shared by all functions: `num_valid` is the true vocabulary size (rows
of `unembed` beyond it are padding), `temperature` divides the logits, `top_p`
is the sampler's nucleus, `compute_dtype` the operand type of the product, and
`chunk` the rows whose logits exist at once, as many as `CHUNK_LOGITS` allows
if 0. All results are in nats, float32.
"""

import math
from collections.abc import Callable
from typing import TypeVar

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int

from hh_jax import sharding
from hh_jax.ops import linear, sampling

# 256 MiB in float32 on each device: 1,024 rows of the ladder's vocabulary.
CHUNK_LOGITS = 2**26

Result = TypeVar('Result', jax.Array, tuple[jax.Array, jax.Array])


def token_log_probs(
  hidden: Float[Array, 'N D'],
  unembed: Float[Array, 'V D'],
  targets: Int[Array, 'N'],
  *,
  num_valid: int,
  temperature: float = 1.0,
  top_p: float = 1.0,
  compute_dtype: DTypeLike = jnp.float32,
  chunk: int = 0,
) -> Float[Array, 'N']:
  """Log-probability of one target token a row."""
  unembed = _spread(unembed)

  def reduce(hidden: jax.Array, targets: jax.Array) -> jax.Array:
    logits = _logits(hidden, unembed, compute_dtype)
    logits = sampling.filter_logits(
      logits, temperature=temperature, top_p=top_p, num_valid=num_valid
    )
    return _column(logits, targets) - _log_mass(logits)

  return _map_chunks(reduce, chunk, unembed, hidden, targets)


def token_log_probs_and_entropy(
  hidden: Float[Array, 'N D'],
  unembed: Float[Array, 'V D'],
  targets: Int[Array, 'N'],
  *,
  num_valid: int,
  temperature: float = 1.0,
  top_p: float = 1.0,
  compute_dtype: DTypeLike = jnp.float32,
  chunk: int = 0,
) -> tuple[Float[Array, 'N'], Float[Array, 'N']]:
  """Log-probability of the targets, and entropy of each distribution."""
  unembed = _spread(unembed)

  def reduce(
    hidden: jax.Array, targets: jax.Array
  ) -> tuple[jax.Array, jax.Array]:
    logits = _logits(hidden, unembed, compute_dtype)
    logits = sampling.filter_logits(
      logits, temperature=temperature, top_p=top_p, num_valid=num_valid
    )
    log_probs = jax.nn.log_softmax(logits, axis=-1)
    entropy = -jnp.sum(jnp.exp(log_probs) * log_probs, axis=-1)
    return _column(log_probs, targets), entropy

  return _map_chunks(reduce, chunk, unembed, hidden, targets)


def top_k_log_probs(
  hidden: Float[Array, 'N D'],
  unembed: Float[Array, 'V D'],
  k: int,
  *,
  num_valid: int,
  temperature: float = 1.0,
  compute_dtype: DTypeLike = jnp.float32,
  chunk: int = 0,
) -> tuple[Float[Array, 'N k'], Int[Array, 'N k']]:
  """The k largest log-probabilities, descending, and their tokens."""
  if k > num_valid:
    raise ValueError(f'k={k} exceeds the vocabulary, num_valid={num_valid}')
  unembed = _spread(unembed)

  def reduce(hidden: jax.Array) -> tuple[jax.Array, jax.Array]:
    logits = _logits(hidden, unembed, compute_dtype)
    logits = sampling.filter_logits(
      logits, temperature=temperature, num_valid=num_valid
    )
    best, tokens = jax.lax.top_k(logits, k)
    return best - _log_mass(logits)[:, None], tokens

  return _map_chunks(reduce, chunk, unembed, hidden)


def log_probs_at(
  hidden: Float[Array, 'N D'],
  unembed: Float[Array, 'V D'],
  indices: Int[Array, 'N k'],
  *,
  num_valid: int,
  temperature: float = 1.0,
  compute_dtype: DTypeLike = jnp.float32,
  chunk: int = 0,
) -> Float[Array, 'N k']:
  """Log-probabilities of k given tokens a row."""
  unembed = _spread(unembed)

  def reduce(hidden: jax.Array, indices: jax.Array) -> jax.Array:
    logits = _logits(hidden, unembed, compute_dtype)
    logits = sampling.filter_logits(
      logits, temperature=temperature, num_valid=num_valid
    )
    chosen = jnp.take_along_axis(logits, indices, axis=-1)
    return chosen - _log_mass(logits)[:, None]

  return _map_chunks(reduce, chunk, unembed, hidden, indices)


def exact_kl(
  hidden_p: Float[Array, 'N Dp'],
  unembed_p: Float[Array, 'V Dp'],
  hidden_q: Float[Array, 'N Dq'],
  unembed_q: Float[Array, 'V Dq'],
  *,
  num_valid: int,
  temperature: float = 1.0,
  compute_dtype: DTypeLike = jnp.float32,
  chunk: int = 0,
) -> Float[Array, 'N']:
  """KL(p || q) of next-token distributions over the full vocabulary."""
  unembed_p, unembed_q = _spread(unembed_p), _spread(unembed_q)

  def log_probs(hidden: jax.Array, unembed: jax.Array) -> jax.Array:
    logits = _logits(hidden, unembed, compute_dtype)
    logits = sampling.filter_logits(
      logits, temperature=temperature, num_valid=num_valid
    )
    return jax.nn.log_softmax(logits, axis=-1)

  def reduce(hidden_p: jax.Array, hidden_q: jax.Array) -> jax.Array:
    log_p = log_probs(hidden_p, unembed_p)
    log_q = log_probs(hidden_q, unembed_q)
    return jnp.sum(jnp.exp(log_p) * (log_p - log_q), axis=-1)

  return _map_chunks(reduce, chunk, unembed_p, hidden_p, hidden_q)


@jax.custom_vjp
def _spread(unembed: jax.Array) -> jax.Array:
  """The output matrix for the rows of every part of the batch, [W, V, D].

  W copies, of which each device holds its own, so that gradients are summed
  over chunks where they are made and over devices once, into the parts that
  the parameter is kept in. Of one matrix a loop would sum them every time.
  """
  copies = jnp.broadcast_to(
    unembed[None], (sharding.num_ways('batch'), *unembed.shape)
  )
  return sharding.constrain(copies, 'batch', 'vocab', None)


def _spread_fwd(unembed):
  return _spread(unembed), None


def _spread_bwd(_, grad):
  return (sharding.constrain(jnp.sum(grad, axis=0), 'vocab', 'embed'),)


_spread.defvjp(_spread_fwd, _spread_bwd)


def _logits(
  hidden: jax.Array, unembed: jax.Array, compute_dtype: DTypeLike
) -> jax.Array:
  """Logits [N, V] of rows [N, D], those of each device by its own copy."""
  num_copies, vocab_size, width = unembed.shape
  if num_copies == 1:
    logits = linear.matmul_transposed(
      hidden, unembed[0], compute_dtype=compute_dtype
    )
    return sharding.constrain(logits, None, 'vocab')
  logits = linear.matmul_transposed(
    hidden.reshape(num_copies, -1, width), unembed, compute_dtype=compute_dtype
  )
  logits = sharding.constrain(logits, 'batch', None, 'vocab')
  return logits.reshape(-1, vocab_size)


def _column(x: jax.Array, index: jax.Array) -> jax.Array:
  """x[n, index[n]] by comparison: its gradient fuses, a scatter does not."""
  columns = jnp.arange(x.shape[-1], dtype=index.dtype)[None]
  return jnp.sum(jnp.where(columns == index[:, None], x, 0.0), axis=-1)


def _log_mass(logits: jax.Array) -> jax.Array:
  return jax.nn.logsumexp(logits, axis=-1)


def _map_chunks(
  reduce: Callable[..., Result],
  chunk: int,
  unembed: jax.Array,
  *rows: jax.Array,
) -> Result:
  """Applies `reduce` to chunks of the rows and joins what it returns.

  What is missing in the last chunk is filled up with zero rows, whose results
  are cut off.
  """
  num_rows = rows[0].shape[0]
  num_copies, vocab_size, _ = unembed.shape
  at_once = CHUNK_LOGITS // vocab_size * sharding.num_ways('vocab')
  chunk = chunk or max(1, at_once) * num_copies
  num_chunks = max(1, math.ceil(num_rows / chunk))
  # Equal chunks, so that little of the last one is filled up.
  chunk = math.ceil(num_rows / (num_chunks * num_copies)) * num_copies
  fill = num_chunks * chunk - num_rows

  def cut(x: jax.Array) -> jax.Array:
    x = jnp.pad(x, ((0, fill), *((0, 0),) * (x.ndim - 1)))
    x = x.reshape(chunk, num_chunks, *x.shape[1:]).swapaxes(0, 1)
    return sharding.constrain(x, None, 'batch', *(None,) * (x.ndim - 2))

  def join(x: jax.Array) -> jax.Array:
    x = x.swapaxes(0, 1)
    return x.reshape(-1, *x.shape[2:])[:num_rows]

  pieces = tuple(map(cut, rows))
  if num_chunks == 1:
    outputs = jax.tree.map(lambda x: x[None], reduce(*(x[0] for x in pieces)))
  else:
    reduce = jax.checkpoint(reduce)
    outputs = jax.lax.map(lambda piece: reduce(*piece), pieces)
  return jax.tree.map(join, outputs)
