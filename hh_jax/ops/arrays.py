"""Reading scattered positions of a batch."""

import jax.numpy as jnp
from jaxtyping import Array, Int, Shaped


def gather_positions(
  x: Shaped[Array, 'B T *width'], flat_index: Int[Array, '*items']
) -> Shaped[Array, '...']:
  """The vectors at row * T + column; a negative index reads position 0.

  Callers mask what they read at absent (-1) positions.
  """
  rows = x.reshape(x.shape[0] * x.shape[1], *x.shape[2:])
  return rows[jnp.maximum(flat_index, 0)]


def gather_columns(
  x: Shaped[Array, 'B T *width'], columns: Int[Array, 'B S']
) -> Shaped[Array, 'B S *width']:
  """The vectors at some columns of the same row; a negative one reads 0.

  Rows that are spread over devices stay where they are.
  """
  index = jnp.maximum(columns, 0)
  index = index.reshape(*index.shape, *(1,) * (x.ndim - 2))
  return jnp.take_along_axis(x, index, axis=1)
