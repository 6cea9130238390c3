"""Rotary positions: rotations, relativity, fractions, layouts, scaling."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hh_jax.ops import rotary


@pytest.fixture(autouse=True)
def strict_promotion():
  with jax.numpy_dtype_promotion('strict'):
    yield


def vectors(seed, num_tokens=6, width=8):
  rng = np.random.default_rng(seed)
  shape = (2, num_tokens, 3, width)
  return jnp.asarray(rng.normal(size=shape), jnp.float32)


def positions(num_tokens=6, start=0):
  row = start + jnp.arange(num_tokens, dtype=jnp.int32)
  return jnp.stack([row, 2 * row])


LAYOUTS = pytest.mark.parametrize('layout', ['half', 'interleaved'])


@LAYOUTS
def test_position_zero_stays_and_lengths_are_kept(layout):
  x = vectors(0)
  out = rotary.rotate(x, positions(), layout=layout)
  np.testing.assert_array_equal(out[:, 0], x[:, 0])
  assert np.abs(out[:, 1:] - x[:, 1:]).max() > 0.1
  np.testing.assert_allclose(
    jnp.linalg.norm(out, axis=-1), jnp.linalg.norm(x, axis=-1), rtol=1e-5
  )


@LAYOUTS
def test_products_depend_on_distance_only(layout):
  q, k = vectors(1), vectors(2)

  def products(start):
    turned = [
      rotary.rotate(x, positions(start=start), layout=layout) for x in (q, k)
    ]
    return jnp.einsum('BTKH,BSKH->BKTS', *turned)

  assert np.abs(products(0) - jnp.einsum('BTKH,BSKH->BKTS', q, k)).max() > 0.1
  np.testing.assert_allclose(products(0)[0], products(40)[0], atol=1e-4)


def test_one_pair_by_hand_in_both_layouts():
  x = jnp.asarray([1.0, 2.0, 3.0, 4.0], jnp.float32).reshape(1, 1, 1, 4)
  at_five = jnp.asarray([[5]], jnp.int32)
  angles = 5 * np.asarray([1.0, 100.0**-0.5])
  cos, sin = np.cos(angles), np.sin(angles)
  half = rotary.rotate(x, at_five, theta=100.0, layout='half')
  want = [
    1 * cos[0] - 3 * sin[0],
    2 * cos[1] - 4 * sin[1],
    1 * sin[0] + 3 * cos[0],
    2 * sin[1] + 4 * cos[1],
  ]
  np.testing.assert_allclose(half.ravel(), want, rtol=1e-5)
  mixed = rotary.rotate(x, at_five, theta=100.0, layout='interleaved')
  want = [
    1 * cos[0] - 2 * sin[0],
    1 * sin[0] + 2 * cos[0],
    3 * cos[1] - 4 * sin[1],
    3 * sin[1] + 4 * cos[1],
  ]
  np.testing.assert_allclose(mixed.ravel(), want, rtol=1e-5)


@LAYOUTS
@pytest.mark.parametrize('fraction', [0.0, 0.25, 0.5])
def test_a_fraction_is_rotary_of_a_narrower_head(layout, fraction):
  x, width = vectors(3), int(8 * fraction)
  out = rotary.rotate(x, positions(), fraction=fraction, layout=layout)
  np.testing.assert_array_equal(out[..., width:], x[..., width:])
  if width:
    alone = rotary.rotate(x[..., :width], positions(), layout=layout)
    np.testing.assert_allclose(out[..., :width], alone, rtol=1e-6)


def test_scaling_stretches_positions():
  x = vectors(4)
  stretched = rotary.rotate(x, 4 * positions(), scaling=4.0)
  np.testing.assert_allclose(
    stretched, rotary.rotate(x, positions()), atol=1e-5
  )


def test_odd_widths_and_unknown_layouts_are_refused():
  with pytest.raises(ValueError, match='rotary width 3'):
    rotary.rotate(vectors(0), positions(), fraction=0.375)
  with pytest.raises(ValueError, match='spiral'):
    rotary.rotate(vectors(0), positions(), layout='spiral')
