"""Dense layers: shapes, precision of both passes, low-rank updates."""

import jax
import jax.numpy as jnp
import jax.test_util
import numpy as np
import pytest
from jax.extend import core

from hh_jax.ops import linear


@pytest.fixture(autouse=True)
def strict_promotion():
  with jax.numpy_dtype_promotion('strict'):
    yield


def normal(seed, *shape):
  return jnp.asarray(
    np.random.default_rng(seed).normal(size=shape), jnp.float32
  )


def dot_operands(function, *args):
  """Operand types of every matrix product in the traced function."""
  found = []

  def visit(jaxpr):
    for eqn in jaxpr.eqns:
      if eqn.primitive.name == 'dot_general':
        found.append({v.aval.dtype.name for v in eqn.invars})
      for value in jax.tree.leaves(
        eqn.params, is_leaf=lambda x: isinstance(x, core.ClosedJaxpr)
      ):
        if isinstance(value, core.ClosedJaxpr):
          visit(value.jaxpr)

  visit(jax.make_jaxpr(function)(*args).jaxpr)
  return found


@pytest.mark.parametrize('leading', [(), (1,), (3,), (2, 3), (2, 1, 4)])
@pytest.mark.parametrize('dtype', [jnp.float32, jnp.bfloat16])
def test_any_leading_axes_give_the_rows_of_a_matrix_product(leading, dtype):
  x, kernel, bias = normal(0, *leading, 5), normal(1, 5, 7), normal(2, 7)
  out = linear.linear(x, kernel, bias, compute_dtype=dtype)
  assert out.shape == (*leading, 7)
  assert out.dtype == jnp.float32
  want = np.asarray(x) @ np.asarray(kernel) + np.asarray(bias)
  tolerance = 1e-5 if dtype == jnp.float32 else 5e-2
  np.testing.assert_allclose(out, want, atol=tolerance)


def test_low_precision_rounds_operands_but_not_the_sum():
  x, kernel = normal(0, 4, 512), normal(1, 512, 3)
  out = linear.linear(x, kernel, compute_dtype=jnp.bfloat16)
  rounded = [a.astype(jnp.bfloat16).astype(jnp.float32) for a in (x, kernel)]
  np.testing.assert_allclose(out, rounded[0] @ rounded[1], atol=1e-4)
  assert np.abs(out - x @ kernel).max() > 1e-3


def test_a_low_precision_kernel_is_accepted():
  x, kernel = normal(0, 2, 3, 8), normal(1, 8, 4)
  low = linear.linear(
    x, kernel.astype(jnp.bfloat16), compute_dtype=jnp.bfloat16
  )
  full = linear.linear(x, kernel, compute_dtype=jnp.bfloat16)
  np.testing.assert_array_equal(low, full)


def test_backward_products_have_low_precision_operands_too():
  x, kernel = normal(0, 2, 3, 8), normal(1, 8, 4)

  def loss(x, kernel):
    out = linear.linear(x, kernel, compute_dtype=jnp.bfloat16)
    return jnp.sum(jnp.square(out))

  operands = dot_operands(jax.grad(loss, (0, 1)), x, kernel)
  assert operands == [{'bfloat16'}] * 3
  grads = jax.grad(loss, (0, 1))(x, kernel)
  assert all(g.dtype == jnp.float32 for g in grads)
  rows, out = x.reshape(-1, 8), x.reshape(-1, 8) @ kernel
  exact = ((2 * out @ kernel.T).reshape(x.shape), rows.T @ (2 * out))
  for got, want in zip(grads, exact, strict=True):
    np.testing.assert_allclose(got, want, atol=0.02 * np.abs(want).max())


@pytest.mark.parametrize('has_bias', [False, True])
def test_gradients(has_bias):
  bias = normal(2, 3) if has_bias else None
  adapter = (normal(3, 4, 2), normal(4, 2, 3))

  @jax.jit
  def function(x, kernel, bias, a, b):
    return jnp.sin(linear.linear(x, kernel, bias, adapter=(a, b, 0.5)))

  args = (normal(0, 2, 2, 4), normal(1, 4, 3), bias, *adapter)
  jax.test_util.check_grads(function, args, order=1, atol=1e-2, rtol=1e-2)


@pytest.mark.parametrize('dtype', [jnp.float32, jnp.bfloat16])
def test_an_adapter_is_a_change_of_the_kernel(dtype):
  x, kernel = normal(0, 2, 3, 6), normal(1, 6, 5)
  a, b = normal(2, 6, 2), normal(3, 2, 5)
  adapter = linear.LowRank(a, b, 0.25)
  got = linear.linear(x, kernel, compute_dtype=dtype, adapter=adapter)
  merged = linear.linear(x, kernel + 0.25 * (a @ b), compute_dtype=dtype)
  plain = linear.linear(x, kernel, compute_dtype=dtype)
  tolerance = 1e-5 if dtype == jnp.float32 else 0.1
  assert np.abs(merged - plain).max() > 0.5
  np.testing.assert_allclose(got, merged, atol=tolerance)


def test_a_zero_adapter_changes_nothing():
  x, kernel = normal(0, 2, 6), normal(1, 6, 5)
  adapter = (normal(2, 6, 2), jnp.zeros((2, 5), jnp.float32), 4.0)
  np.testing.assert_array_equal(
    linear.linear(x, kernel, adapter=adapter), linear.linear(x, kernel)
  )
