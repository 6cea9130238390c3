"""Random and edge-case inputs, and the one comparison all parity tests use.

Arrays have fixed shapes, so that a jitted function compiles once; hypothesis
varies lengths through masks. Numbers come from a mixture that favours ties,
zeros and the magnitudes at which careless float32 formulas break.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import hypothesis
import jax
import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

FLOAT32_TOLERANCE = 1e-5
FLOAT64_TOLERANCE = 1e-12

# Two hundred cases a formula, each in both precisions, or what the long
# profile asks for.
num_examples = hypothesis.settings.default.max_examples
parity_settings = hypothesis.settings(
  max_examples=200 if num_examples == 100 else num_examples,
  deadline=None,
  suppress_health_check=list(hypothesis.HealthCheck),
)


# Two such numbers differ by 2**-24 of it or not at all: 6e-38, which is normal.
SMALLEST = 1e-30


def floats(limit: float) -> st.SearchStrategy[float]:
  """Float32 numbers up to a limit, with ties and the limits themselves.

  XLA flushes subnormal numbers to zero, which makes ties where NumPy sees none:
  numbers so small that their differences could be subnormal are zero.
  """
  return st.one_of(
    st.sampled_from([0.0, 1.0, -1.0, limit, -limit]),
    st.floats(-limit, limit, width=32).map(_without_dust),
    st.floats(-2.0, 2.0, width=32).map(_without_dust),
  )


def _without_dust(value: float) -> float:
  return value if abs(value) > SMALLEST else 0.0


def arrays(
  shape: tuple[int, ...], limit: float
) -> st.SearchStrategy[np.ndarray]:
  """Float32 arrays; `fill` off, so that entries are drawn one by one."""
  limit = float(np.float32(limit))
  return hnp.arrays(
    np.float32, shape, elements=floats(limit), fill=st.nothing()
  )


def lengths_mask(rows: int, columns: int) -> st.SearchStrategy[np.ndarray]:
  """Masks whose rows are true up to a length, 0 and full length included."""
  lengths = st.lists(st.integers(0, columns), min_size=rows, max_size=rows)
  return lengths.map(
    lambda ns: np.arange(columns)[None, :] < np.asarray(ns)[:, None]
  )


def masks(size: int) -> st.SearchStrategy[np.ndarray]:
  return hnp.arrays(np.bool_, (size,))


def log_prob_arrays(shape: tuple[int, ...]) -> st.SearchStrategy[np.ndarray]:
  """Log-probabilities: at most 0, down to -30."""
  return arrays(shape, 30.0).map(lambda x: -np.abs(x))


def assert_close(
  actual: object,
  expected: object,
  *,
  scale: float = 1.0,
  tolerance: float = FLOAT32_TOLERANCE,
  floor: float = 1.0,
) -> None:
  """Compares with an error allowed relative to what was added up.

  Args:
    actual: The library's array.
    expected: The oracle's, same shape.
    scale: Largest magnitude that entered a sum; errors below
      `tolerance * max(floor, scale, |expected|)` pass.
    tolerance: Relative tolerance.
    floor: Below this the tolerance is absolute.
  """
  actual = np.asarray(actual, np.float64)
  expected = np.asarray(expected, np.float64)
  assert actual.shape == expected.shape, (actual.shape, expected.shape)
  assert np.isfinite(actual).all(), f'not finite: {actual}'
  bound = tolerance * np.maximum(np.abs(expected), max(floor, scale))
  error = np.abs(actual - expected)
  if not error.size:
    return
  worst = np.unravel_index(np.argmax(error - bound), error.shape)
  assert (error <= bound).all(), (
    f'at {worst}: {actual[worst]!r} is not {expected[worst]!r} '
    f'(error {error[worst]:.3g} > {bound[worst]:.3g})'
  )


def magnitude(*xs: object) -> float:
  """Sum of absolute values, the scale against which a sum is exact."""
  total = math.fsum(float(np.abs(np.asarray(x, np.float64)).sum()) for x in xs)
  return max(1.0, total)


def nearby(base: np.ndarray, gap: np.ndarray) -> np.ndarray:
  """Log-probabilities whose ratio to `base` stays within e^±3."""
  return np.float32(base + np.clip(gap, -3, 3))


def in_both_precisions(
  function: Callable, *args: object, **kwargs: object
) -> Iterator[tuple[object, float]]:
  """What the library says in float32 and in float64, and how exact it must be.

  The arguments are float32 numbers, so that both have the same right answer.
  """
  yield function(*args, **kwargs), FLOAT32_TOLERANCE
  with jax.enable_x64(True):
    found = function(*map(_as_float64, args), **kwargs)
    for leaf in jax.tree.leaves(found):
      assert leaf.dtype == np.float64, 'the library must not round to float32'
    yield found, FLOAT64_TOLERANCE


def _as_float64(x: object) -> object:
  is_float = np.issubdtype(np.asarray(x).dtype, np.floating)
  return np.asarray(x, np.float64) if is_float else x


def random_rollout(
  rows: int, columns: int, seed: int
) -> tuple[np.ndarray, ...]:
  """float64 (log_probs, old, ref, rewards, values, returns) and a mask."""
  rng = np.random.default_rng(seed)
  log_p, old, ref = -rng.uniform(0.1, 4, (3, rows, columns))
  rewards, values, returns = rng.normal(0, 1, (3, rows, columns))
  lengths = np.resize([columns, 1, columns // 2 + 1], rows)
  mask = np.arange(columns)[None] < lengths[:, None]
  return log_p, old, ref, rewards, values, returns, mask
