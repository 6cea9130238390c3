"""Masks: the interval rule by hand, offsets, empty and full lengths."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hh_jax.ops import masking

PAD = (2**31 - 2, 2**31 - 1)


def test_prefix_with_two_leaves_another_tree_and_padding():
  # Prefix a a, leaves b and c, then a separate document d, then two pads.
  segments = [(0, 3), (0, 3), (1, 2), (2, 3), (3, 4), PAD, PAD]
  enter, leave = (jnp.asarray([x], jnp.int32) for x in zip(*segments))
  got = masking.interval_mask(enter, enter, leave, 0)[0]
  want = [
    [1, 0, 0, 0, 0, 0, 0],
    [1, 1, 0, 0, 0, 0, 0],
    [1, 1, 1, 0, 0, 0, 0],
    [1, 1, 0, 1, 0, 0, 0],
    [0, 0, 0, 0, 1, 0, 0],
    [0, 0, 0, 0, 0, 1, 0],
    [0, 0, 0, 0, 0, 1, 1],
  ]
  np.testing.assert_array_equal(got, np.asarray(want, bool))


@pytest.mark.parametrize('offset', [-3, 0, 2])
def test_offset_is_the_column_of_the_first_query_from_the_first_key(offset):
  got = masking.causal_mask(3, 5, offset)
  want = [[k <= q + offset for k in range(5)] for q in range(3)]
  np.testing.assert_array_equal(got, want)
  traced = jax.jit(lambda o: masking.causal_mask(3, 5, o))(jnp.int32(offset))
  np.testing.assert_array_equal(got, traced)


def test_a_block_of_keys_is_those_columns_of_the_whole_mask():
  rng = np.random.default_rng(0)
  enter = jnp.asarray(rng.integers(0, 4, (2, 9)), jnp.int32)
  leave = enter + jnp.asarray(rng.integers(1, 4, (2, 9)), jnp.int32)
  whole = masking.interval_mask(enter, enter, leave, 0)
  block = masking.interval_mask(enter, enter[:, 4:7], leave[:, 4:7], -4)
  np.testing.assert_array_equal(block, whole[:, :, 4:7])
  rows = masking.interval_mask(enter[:, 5:], enter, leave, 5)
  np.testing.assert_array_equal(rows, whole[:, 5:])


def test_lengths_mask_counts_from_the_left():
  got = masking.lengths_mask(jnp.asarray([0, 2, 4], jnp.int32), 4)
  want = np.arange(4)[None] < np.asarray([0, 2, 4])[:, None]
  np.testing.assert_array_equal(got, want)
