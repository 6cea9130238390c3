"""Rotary positions (Su et al. 2021).

1. The first `fraction` of every head is cut into pairs of coordinates.
2. Pair i turns by the angle position / scaling * theta^(-2i / width).
3. Layout 'half' pairs coordinate i with i + width / 2, 'interleaved' pairs 2i
   with 2i + 1; weights trained with one cannot be run with the other.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int


def rotate(
  x: Float[Array, 'B T K H'],
  positions: Int[Array, 'B T'],
  *,
  fraction: float = 1.0,
  theta: float = 10_000.0,
  scaling: float = 1.0,
  layout: str = 'half',
) -> Float[Array, 'B T K H']:
  """Queries or keys turned by their positions, in float32.

  Args:
    x: Queries or keys.
    positions: Depth of each token in its own path.
    fraction: Share of the head that turns; the rest passes through.
    theta: Base of the geometric ladder of frequencies.
    scaling: Positions are divided by this (linear context extension).
    layout: 'half' or 'interleaved'.
  """
  width = int(x.shape[-1] * fraction)
  if width % 2:
    raise ValueError(
      f'rotary width {width} (fraction={fraction} of {x.shape[-1]}) is odd; '
      'choose a fraction that gives an even width'
    )
  x = x.astype(jnp.float32)
  pairs = jnp.arange(width // 2, dtype=jnp.float32)
  frequencies = theta ** (-2.0 * pairs / max(width, 1)) / scaling
  angles = positions.astype(jnp.float32)[:, :, None, None]
  angles = angles * frequencies[None, None, None]
  turned = _turn(x[..., :width], jnp.cos(angles), jnp.sin(angles), layout)
  return jnp.concatenate([turned, x[..., width:]], axis=-1)


def _turn(
  x: jax.Array, cos: jax.Array, sin: jax.Array, layout: str
) -> jax.Array:
  if layout == 'half':
    first, second = jnp.split(x, 2, axis=-1)
  elif layout == 'interleaved':
    first, second = x[..., 0::2], x[..., 1::2]
  else:
    raise ValueError(f"layout={layout!r} is not 'half' or 'interleaved'")
  turned = (first * cos - second * sin, first * sin + second * cos)
  if layout == 'half':
    return jnp.concatenate(turned, axis=-1)
  return jnp.stack(turned, axis=-1).reshape(x.shape)
