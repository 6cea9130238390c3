"""Matrix products with low-precision operands and float32 results.

1. Operands are cast to `compute_dtype`; products accumulate in float32.
2. Below float32 the backward pass casts the incoming gradient too. Plain
   differentiation would multiply a float32 gradient by a low-precision
   operand, which neither tensor cores nor the matrix units of a CPU execute.
3. On a CPU low-precision operands lie row by row in memory: a transposed one is
   copied. XLA would hand over a column-major view, and its fast kernels take
   none: half the speed.
4. `linear` flattens activations to rows first: with three axes XLA writes
   transposed copies on CPU.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.experimental import layout
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from hh_jax import sharding


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
    return _product(x, y)
  return _rounded(jnp.dtype(compute_dtype), False, x, y)


def matmul_transposed(
  x: Float[Array, '*batch M K'],
  y: Float[Array, '*batch N K'],
  *,
  compute_dtype: DTypeLike = jnp.float32,
) -> Float[Array, '*batch M N']:
  """Batched x @ yᵀ, otherwise as `matmul`."""
  x, y = x.astype(jnp.float32), y.astype(jnp.float32)
  if jnp.dtype(compute_dtype) == jnp.float32:
    return _product(x, y.swapaxes(-1, -2))
  return _rounded(jnp.dtype(compute_dtype), True, x, y)


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


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _rounded(
  dtype: DTypeLike, is_transposed: bool, x: jax.Array, y: jax.Array
) -> jax.Array:
  return _rounded_fwd(dtype, is_transposed, x, y)[0]


def _rounded_fwd(dtype, is_transposed, x, y):
  x, y = x.astype(dtype), y.astype(dtype)
  return _product(x, transposed(y) if is_transposed else y), (x, y)


def _rounded_bwd(dtype, is_transposed, residuals, grad):
  x, y = residuals
  grad = grad.astype(dtype)
  if is_transposed:
    return _product(grad, y), _product(transposed(grad), x)
  return _product(grad, transposed(y)), _product(transposed(x), grad)


_rounded.defvjp(_rounded_fwd, _rounded_bwd)


def _product(x: jax.Array, y: jax.Array) -> jax.Array:
  # On accelerators the default would silently run float32 in fewer bits.
  exact = x.dtype == jnp.float32
  return jnp.matmul(
    x,
    y,
    precision=jax.lax.Precision.HIGHEST if exact else None,
    preferred_element_type=jnp.float32,
  )


def transposed(x: jax.Array) -> jax.Array:
  """The last two axes exchanged; below float32 a CPU gets a copy, see above.

  On a mesh it does not: a layout that is asked for is not partitioned, so that
  every device would be sent the whole operand.
  """
  if x.dtype == jnp.float32 or sharding.is_spread():
    return x.swapaxes(-1, -2)
  return jax.lax.platform_dependent(
    x.swapaxes(-1, -2), cpu=_row_by_row, default=lambda x: x
  )


def _row_by_row(x: jax.Array) -> jax.Array:
  return layout.with_layout_constraint(x, layout.Layout(tuple(range(x.ndim))))
