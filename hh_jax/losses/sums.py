"""Masked sums, the numerators and denominators of losses and metrics."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from hh_jax import types


def masked(
  x: Float[Array, '*axes'], mask: Bool[Array, '*axes']
) -> Float[Array, '*axes']:
  """Float32 x with zeros where the mask is False, whatever was there.

  Losses mask their inputs, not only their output: a gradient through a masked
  infinity is otherwise not a number.
  """
  return jnp.where(mask, x.astype(jnp.float32), jnp.float32(0.0))


def count(mask: Bool[Array, '*axes']) -> Float[Array, '']:
  """How many entries are real, as float32."""
  return jnp.sum(mask, dtype=jnp.float32)


def metric(
  x: Float[Array, '*axes'], mask: Bool[Array, '*axes']
) -> Float[Array, '2']:
  """Masked sum and its weight; carries no gradient."""
  pair = jnp.stack([jnp.sum(masked(x, mask)), count(mask)])
  return jax.lax.stop_gradient(pair)


def loss_sum(
  name: str,
  losses: Float[Array, '*axes'],
  mask: Bool[Array, '*axes'],
  metrics: types.Metrics | None = None,
) -> types.LossSum:
  """The loss of the entries under the mask, itself a metric under `name`."""
  total, weight = jnp.sum(masked(losses, mask)), count(mask)
  own = jax.lax.stop_gradient(jnp.stack([total, weight]))
  return types.LossSum(
    total=total, weight=weight, metrics={name: own, **(metrics or {})}
  )
