"""Reading scattered positions."""

import jax.numpy as jnp
import numpy as np

from hh_jax.ops import arrays


def test_index_is_row_times_length_plus_column_and_absent_reads_zero():
  x = jnp.arange(2 * 3 * 4, dtype=jnp.float32).reshape(2, 3, 4)
  index = jnp.asarray([[5, 0], [-1, 3]], jnp.int32)
  got = arrays.gather_positions(x, index)
  want = np.stack([[x[1, 2], x[0, 0]], [x[0, 0], x[1, 0]]])
  np.testing.assert_array_equal(got, want)


def test_scalars_of_a_position_can_be_read_too():
  x = jnp.asarray([[1, 2], [3, 4]], jnp.int32)
  got = arrays.gather_positions(x, jnp.asarray([3, 1], jnp.int32))
  np.testing.assert_array_equal(got, [4, 2])
