"""Weights in the layouts of public models, into our tree and back.

1. A family says what its tensors are called and which of our leaves each one
   is (`public_layout`).
2. Public kernels are [outputs, inputs], ours [inputs, outputs] with a leading
   layer axis.
3. Rows of the vocabulary that only pad our matrices are zeros on the way in
   and are left out on the way back.
4. A reward model is such a network with `score.weight`; it needs no output
   matrix. Its scores have no bias, which no comparison of them would see.

Tensors are NumPy float32 here; `read` and `write` go through safetensors.
"""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Mapping

import numpy as np

from hh_jax.config import ModelConfig
from hh_jax.models import public_folder, public_layout
from hh_jax.models.public_folder import SCORE
from hh_jax.models.public_layout import PARTS, Leaf
from hh_jax.types import Params

Tensors = dict[str, np.ndarray]


def from_public(
  family: str, config: ModelConfig, tensors: Mapping[str, np.ndarray]
) -> Params:
  """Parameters of our model from the tensors of a public one.

  Args:
    family: One of `public_config.FAMILIES`.
    config: From `public_config.model_config`; a `vocab_multiple` pads the
      vocabulary.
    tensors: Name -> array, as in its safetensors files.

  Raises:
    ValueError: A tensor is missing, has another shape or has no place here.
  """
  shapes = {name: np.shape(tensor) for name, tensor in tensors.items()}
  return load(family, config, shapes, tensors.__getitem__)


def load(
  family: str,
  config: ModelConfig,
  shapes: Mapping[str, tuple[int, ...]],
  take: Callable[[str], np.ndarray],
) -> Params:
  """As `from_public`, of tensors that are read one at a time.

  Args:
    family: One of `public_config.FAMILIES`.
    config: As there.
    shapes: Of all tensors, by name.
    take: Reads the tensor of a name.
  """
  public_layout.require_fit(family, config, shapes)
  ours = public_layout.our_shapes(config)
  params: Params = {}
  for leaf in public_layout.leaves_of(family, config):
    shape = public_layout.at(ours, leaf.path).shape
    _put(params, leaf.path, _read_leaf(leaf, shape, take))
  if family == 'gpt_neox':
    _read_fused(params, config, ours, take)
  if SCORE in shapes:
    kernel = np.ascontiguousarray(take(SCORE).T, np.float32)
    bias = np.zeros((1,), np.float32)
    params['score_head'] = {'kernel': kernel, 'bias': bias}
  return params


def _read_leaf(
  leaf: Leaf, shape: tuple[int, ...], take: Callable[[str], np.ndarray]
) -> np.ndarray:
  """One leaf; rows that only pad the vocabulary stay zeros."""
  value = np.zeros(shape, np.float32)
  for layer, part in enumerate(value if leaf.is_stacked else [value]):
    tensor = take(leaf.name.format(layer=layer))
    tensor = tensor.T if leaf.is_kernel else tensor
    part[: len(tensor)] = tensor
  return value


def _read_fused(
  params: Params,
  config: ModelConfig,
  ours: Params,
  take: Callable[[str], np.ndarray],
) -> None:
  """Query, key and value of GPT-NeoX, out of one tensor a layer."""
  for part in PARTS:
    for kind, leaf in ours['blocks'][part].items():
      _put(params, ('blocks', part, kind), np.zeros(leaf.shape, np.float32))
  shape = (config.num_heads, len(PARTS), config.width_of_head)
  for layer in range(config.num_layers):
    for kind, name in public_layout.fused_names(config, layer).items():
      tensor = take(name)
      parts = tensor.reshape(*shape, *tensor.shape[1:])
      for index, part in enumerate(PARTS):
        rows = parts[:, index].reshape(-1, *tensor.shape[1:])
        params['blocks'][part][kind][layer] = rows.T


def to_public(family: str, config: ModelConfig, params: Params) -> Tensors:
  """Tensors of the public model, the reverse of `from_public`.

  Raises:
    ValueError: The score head has a bias, for which there is no place.
  """
  tensors: Tensors = {}
  if 'score_head' in params:
    bias = float(params['score_head']['bias'][0])
    if bias:
      raise ValueError(
        f'the score head has a bias of {bias:g} and public ones have none; '
        'scores mean differences, so set it to 0'
      )
    score = np.asarray(params['score_head']['kernel'], np.float32)
    tensors[SCORE] = np.ascontiguousarray(score.T)
  for leaf in public_layout.leaves_of(family, config):
    array = np.asarray(public_layout.at(params, leaf.path), np.float32)
    if leaf.path[0] in ('embed', 'unembed'):
      array = array[: config.vocab_size]
    for layer, part in enumerate(array if leaf.is_stacked else [array]):
      part = part.T if leaf.is_kernel else part
      tensors[leaf.name.format(layer=layer)] = np.ascontiguousarray(part)
  if family == 'gpt_neox':
    tensors |= _fuse(config, params['blocks'])
  return tensors


def _fuse(config: ModelConfig, blocks: Params) -> Tensors:
  """The reverse of `_read_fused`."""
  fused: Tensors = {}
  shape = (config.num_heads, config.width_of_head)
  for layer in range(config.num_layers):
    for kind, name in public_layout.fused_names(config, layer).items():
      own = [np.asarray(blocks[p][kind][layer], np.float32).T for p in PARTS]
      parts = [part.reshape(*shape, *part.shape[1:]) for part in own]
      rows = np.stack(parts, axis=1)
      rows = rows.reshape(-1, *own[0].shape[1:])
      fused[name] = np.ascontiguousarray(rows)
  return fused


def _put(params: Params, path: tuple[str, ...], value: np.ndarray) -> None:
  *folders, last = path
  for name in folders:
    params = params.setdefault(name, {})
  params[last] = value


def read(folder: str | pathlib.Path) -> tuple[ModelConfig, Params]:
  """Opens a folder with `config.json` and safetensors files.

  Raises:
    FileNotFoundError: One of them is not there.
  """
  found = public_folder.open_folder(folder)
  params = load(found.family, found.config, found.shapes, found.tensor)
  return found.config, params


def write(
  folder: str | pathlib.Path, family: str, config: ModelConfig, params: Params
) -> None:
  """Writes `model.safetensors`, to stand beside the public `config.json`."""
  from safetensors import numpy as safetensors

  tensors = to_public(family, config, params)
  path = pathlib.Path(folder) / public_folder.WHOLE
  if path.exists():
    raise FileExistsError(f'{path} exists; it is not written over')
  safetensors.save_file(tensors, path, metadata={'format': 'pt'})
