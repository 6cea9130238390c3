"""Normalisation over the last axis, computed and returned in float32."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def layer_norm(
  x: Float[Array, '*batch D'],
  scale: Float[Array, 'D'],
  bias: Float[Array, 'D'] | None,
  eps: float,
) -> Float[Array, '*batch D']:
  """(x - mean) / sqrt(var + eps) * scale + bias; `bias` may be None."""
  x = x.astype(jnp.float32)
  centred = x - jnp.mean(x, axis=-1, keepdims=True)
  variance = jnp.mean(jnp.square(centred), axis=-1, keepdims=True)
  out = centred * jax.lax.rsqrt(variance + eps) * _last_axis(scale, x.ndim)
  return out if bias is None else out + _last_axis(bias, x.ndim)


def rms_norm(
  x: Float[Array, '*batch D'], scale: Float[Array, 'D'], eps: float
) -> Float[Array, '*batch D']:
  """X / sqrt(mean(x²) + eps) * scale."""
  x = x.astype(jnp.float32)
  power = jnp.mean(jnp.square(x), axis=-1, keepdims=True)
  return x * jax.lax.rsqrt(power + eps) * _last_axis(scale, x.ndim)


def _last_axis(weights: jax.Array, num_axes: int) -> jax.Array:
  weights = weights.astype(jnp.float32)
  return jax.lax.expand_dims(weights, range(num_axes - 1))
