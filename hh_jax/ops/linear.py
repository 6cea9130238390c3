"""Matrix products with low-precision operands and float32 results.

1. Operands are cast to `compute_dtype`; products accumulate in float32.
2. Below float32 the backward pass casts the incoming gradient too. Plain
   differentiation would multiply a float32 gradient by a low-precision
   operand, which neither tensor cores nor AMX execute.
3. `linear` flattens activations to rows first: with three axes XLA writes
   transposed copies on CPU.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float


class LowRank(NamedTuple):
  """An additive low-rank update of a kernel: scale * a @ b."""

  a: jax.Array  # [I, R]
  b: jax.Array  # [R, O]
  scale: float | jax.Array


def matmul(
  x: Float[Array, '*batch M K'],
  y: Float[Array, '*batch K N'],
  *,
  compute_dtype: DTypeLike = jnp.float32,
) -> Float[Array, '*batch M N']:
  """Batched x @ y in float32, from operands rounded to `compute_dtype`."""
  x, y = x.astype(jnp.float32), y.astype(jnp.float32)
  if jnp.dtype(compute_dtype) == jnp.float32:
    return _product(x, y, jnp.float32)
  return _rounded_matmul(jnp.dtype(compute_dtype), x, y)


def linear(
  x: Float[Array, '*batch I'],
  kernel: Float[Array, 'I O'],
  bias: Float[Array, 'O'] | None = None,
  *,
  compute_dtype: DTypeLike = jnp.float32,
  adapter: LowRank | tuple[jax.Array, jax.Array, float] | None = None,
) -> Float[Array, '*batch O']:
  """Dense layer x @ (kernel + scale * a @ b) + bias, in float32.

  Args:
    x: Activations.
    kernel: Weights, stored [inputs, outputs].
    bias: Added after the product, or None.
    compute_dtype: Type both operands are rounded to.
    adapter: Low-rank update (a [I, R], b [R, O], scale), or None.

  Returns:
    Float32 activations.
  """
  rows = x.reshape(-1, x.shape[-1])
  out = matmul(rows, kernel, compute_dtype=compute_dtype)
  if adapter is not None:
    a, b, scale = adapter
    low = matmul(rows, a, compute_dtype=compute_dtype)
    out = out + scale * matmul(low, b, compute_dtype=compute_dtype)
  if bias is not None:
    out = out + bias.astype(jnp.float32)[None]
  return out.reshape(*x.shape[:-1], kernel.shape[-1])


def _product(x: jax.Array, y: jax.Array, dtype: DTypeLike) -> jax.Array:
  # On accelerators the default would silently run float32 in fewer bits.
  exact = jnp.dtype(dtype) == jnp.float32
  return jnp.matmul(
    x.astype(dtype),
    y.astype(dtype),
    precision=jax.lax.Precision.HIGHEST if exact else None,
    preferred_element_type=jnp.float32,
  )


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _rounded_matmul(dtype: DTypeLike, x: jax.Array, y: jax.Array) -> jax.Array:
  return _product(x, y, dtype)


def _rounded_matmul_fwd(dtype, x, y):
  x, y = x.astype(dtype), y.astype(dtype)
  return _product(x, y, dtype), (x, y)


def _rounded_matmul_bwd(dtype, residuals, grad):
  x, y = residuals
  grad_x = _product(grad, y.swapaxes(-1, -2), dtype)
  grad_y = _product(x.swapaxes(-1, -2), grad, dtype)
  return grad_x, grad_y


_rounded_matmul.defvjp(_rounded_matmul_fwd, _rounded_matmul_bwd)
