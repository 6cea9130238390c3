"""The size ladder: names, shapes and vocabularies of the models.

The paper's seven sizes follow one rule, `model_dim = 128 L`, so that the block
matrices hold exactly `12 L d²` weights; this number is what the paper's names
count. The nano ladder, for laptops and tests, is outside that rule.

Reference: Bai et al. 2022, section 3.1; vocabulary and context from Askell et
al. 2021. The number of heads is in neither [open]: heads are 128 wide on the
ladder and 32 wide on the nano ladder.
"""

from __future__ import annotations

import dataclasses
import difflib
import re

from hh_jax import config

LADDER_VOCAB = 65_536
NANO_VOCAB = 4_096
DEFAULT_NANO = 'nano2'

# Up to this depth the layers are unrolled: faster, and quick to compile.
MAX_UNROLLED_LAYERS = 10


@dataclasses.dataclass(frozen=True)
class Size:
  """Depth, width and heads of one rung."""

  num_layers: int
  model_dim: int
  num_heads: int
  vocab_size: int


def _rung(num_layers: int) -> Size:
  return Size(num_layers, 128 * num_layers, num_layers, LADDER_VOCAB)


LADDER: dict[str, Size] = {
  '13m': _rung(4),
  '42m': _rung(6),
  '197m': _rung(10),
  '810m': _rung(16),
  '2.7b': _rung(24),
  '13b': _rung(40),
  '52b': _rung(64),
}

NANO: dict[str, Size] = {
  'nano0': Size(2, 64, 2, NANO_VOCAB),
  'nano1': Size(3, 96, 3, NANO_VOCAB),
  'nano2': Size(4, 128, 4, NANO_VOCAB),
  'nano3': Size(6, 192, 6, NANO_VOCAB),
}

SIZES: dict[str, Size] = {**NANO, **LADDER}


def _weights(name: str) -> float | None:
  match = re.fullmatch(r'([\d.]*\d)([mb])', name.lower())
  if match is None:
    return None
  return float(match[1]) * {'m': 1e6, 'b': 1e9}[match[2]]


def nearest_size(name: str) -> str:
  """The known size closest to a name: by weights, else by spelling."""
  wanted = _weights(name)
  if wanted is None:
    return difflib.get_close_matches(name.lower(), SIZES, 1, 0.0)[0]

  def ratio(size: str) -> float:
    weights = _weights(size) or wanted
    return max(weights, wanted) / max(min(weights, wanted), 1.0)

  return min(LADDER, key=ratio)


def model_config(
  size: str, **overrides: int | float | str | bool
) -> config.ModelConfig:
  """The configuration of a named size.

  Args:
    size: A rung of the ladder, `'nano'` for `'nano2'`, in lower case.
    **overrides: Fields of `ModelConfig` that replace the size's own.

  Raises:
    ValueError: The size or a field is unknown; the nearest one is named.
  """
  name = DEFAULT_NANO if size == 'nano' else size
  if name not in SIZES:
    raise ValueError(
      f'unknown model size {size!r}; nearest is {nearest_size(size)!r} of '
      f'{sorted(SIZES)}'
    )
  known = [field.name for field in dataclasses.fields(config.ModelConfig)]
  for field in overrides:
    if field not in known:
      nearest = difflib.get_close_matches(field, known, 1, 0.0)[0]
      raise ValueError(f'no model field {field!r}; nearest is {nearest!r}')
  fields = {**dataclasses.asdict(SIZES[name]), **overrides}
  if fields['num_layers'] <= MAX_UNROLLED_LAYERS:
    fields.setdefault('scan_unroll', fields['num_layers'])
  return config.ModelConfig(**fields)


def resized(model: config.ModelConfig, size: str) -> config.ModelConfig:
  """A network of another size whose other options and vocabulary stay.

  Raises:
    ValueError: The size is unknown; the nearest one is named.
  """
  shape = model_config(size)
  names = ('num_layers', 'model_dim', 'num_heads', 'scan_unroll')
  return dataclasses.replace(
    model, **{name: getattr(shape, name) for name in names}
  )
