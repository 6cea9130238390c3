"""Norms: statistics of the output, parameters, extreme and constant rows."""

import jax
import jax.numpy as jnp
import jax.test_util
import numpy as np
import pytest

from hh_jax.ops import norms


@pytest.fixture(autouse=True)
def strict_promotion():
  with jax.numpy_dtype_promotion('strict'):
    yield


def inputs():
  rng = np.random.default_rng(0)
  x, scale, bias = (
    rng.normal(size=(2, 3, 8)),
    rng.normal(size=8),
    rng.normal(size=8),
  )
  return [jnp.asarray(a, jnp.float32) for a in (3 * x + 1, scale, bias)]


def test_layer_norm_has_mean_zero_and_variance_one_before_its_parameters():
  x, scale, bias = inputs()
  plain = norms.layer_norm(x, jnp.ones(8, jnp.float32), None, 1e-6)
  np.testing.assert_allclose(plain.mean(-1), 0, atol=1e-6)
  np.testing.assert_allclose(plain.var(-1), 1, atol=1e-4)
  out = norms.layer_norm(x, scale, bias, 1e-6)
  np.testing.assert_allclose(
    out, np.asarray(plain) * np.asarray(scale) + np.asarray(bias), atol=1e-5
  )


def test_rms_norm_has_power_one_and_keeps_the_mean():
  x, scale, _ = inputs()
  plain = norms.rms_norm(x, jnp.ones(8, jnp.float32), 1e-6)
  np.testing.assert_allclose(jnp.square(plain).mean(-1), 1, atol=1e-4)
  assert np.abs(plain.mean(-1)).max() > 0.1
  out = norms.rms_norm(x, scale, 1e-6)
  np.testing.assert_allclose(
    out, np.asarray(plain) * np.asarray(scale), atol=1e-5
  )


@pytest.mark.parametrize('size', [0.0, 1e-4, 1e4])
def test_constant_and_extreme_rows_stay_finite(size):
  one = jnp.ones(8, jnp.float32)
  x = jnp.full((1, 8), size, jnp.float32)
  assert np.isfinite(norms.rms_norm(x, one, 1e-5)).all()
  np.testing.assert_allclose(
    norms.layer_norm(x, one, one, 1e-5), 1.0, atol=1e-5
  )


def test_low_precision_input_is_normalised_in_float32():
  x, scale, bias = inputs()
  low = x.astype(jnp.bfloat16)
  out = norms.layer_norm(low, scale, bias, 1e-5)
  assert out.dtype == jnp.float32
  same = norms.layer_norm(low.astype(jnp.float32), scale, bias, 1e-5)
  np.testing.assert_array_equal(out, same)


def test_gradients():
  x, scale, bias = inputs()
  jax.test_util.check_grads(
    jax.jit(lambda *a: norms.layer_norm(*a, 1e-5)),
    (x, scale, bias),
    1,
    atol=1e-2,
    rtol=1e-2,
  )
  jax.test_util.check_grads(
    jax.jit(lambda *a: norms.rms_norm(*a, 1e-5)),
    (x, scale),
    1,
    atol=1e-2,
    rtol=1e-2,
  )
