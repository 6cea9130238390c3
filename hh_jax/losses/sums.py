"""Masked sums, the numerators and denominators of losses and metrics.

Everything is float32, or float64 where a caller gives that.
"""

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float

from hh_jax import types


def masked(
  x: Float[Array, '*axes'], mask: Bool[Array, '*axes']
) -> Float[Array, '*axes']:
  """X with zeros where the mask is False, whatever was there.

  Losses mask their inputs, not only their output: a gradient through a masked
  infinity is otherwise not a number.
  """
  dtype = jnp.promote_types(x.dtype, jnp.float32)
  return jnp.where(mask, x.astype(dtype), jnp.zeros((), dtype))


def count(
  mask: Bool[Array, '*axes'], dtype: DTypeLike = jnp.float32
) -> Float[Array, '']:
  """How many entries are real."""
  return jnp.sum(mask, dtype=dtype)


def metric(
  x: Float[Array, '*axes'], mask: Bool[Array, '*axes']
) -> Float[Array, '2']:
  """Masked sum and its weight; carries no gradient."""
  total = jnp.sum(masked(x, mask))
  pair = jnp.stack([total, count(mask, total.dtype)])
  return jax.lax.stop_gradient(pair)


def loss_sum(
  name: str,
  losses: Float[Array, '*axes'],
  mask: Bool[Array, '*axes'],
  metrics: types.Metrics | None = None,
) -> types.LossSum:
  """The loss of the entries under the mask, itself a metric under `name`."""
  total = jnp.sum(masked(losses, mask))
  weight = count(mask, total.dtype)
  own = jax.lax.stop_gradient(jnp.stack([total, weight]))
  return types.LossSum(
    total=total, weight=weight, metrics={name: own, **(metrics or {})}
  )
