"""Weights in the layouts of public models, into our tree and back.

1. A family says what its tensors are called and which of our leaves each one
   is; three of the four are one table with a few rows more or less.
2. Public kernels are [outputs, inputs], ours [inputs, outputs] with a leading
   layer axis. GPT-NeoX keeps query, key and value in one tensor, head by head.
3. Rows of the vocabulary that only pad our matrices are zeros on the way in
   and are left out on the way back.
4. A reward model is such a network with `score.weight`; it needs no output
   matrix. Its scores have no bias, which no comparison of them would see.

Tensors are NumPy float32 here; `read` and `write` go through safetensors.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import numpy as np

from hh_jax.config import ModelConfig
from hh_jax.models import ladder, public_config
from hh_jax.types import Params

Tensors = dict[str, np.ndarray]
SCORE = 'score.weight'
_OUTPUTS = ('lm_head.weight', 'embed_out.weight')


@dataclasses.dataclass(frozen=True)
class Leaf:
  """One of our leaves: its path, the public name, and how it is stored."""

  path: tuple[str, ...]
  name: str  # with {layer} for a leaf of the blocks
  is_kernel: bool  # stored transposed

  @property
  def is_stacked(self) -> bool:
    return '{layer}' in self.name


def _dense(path: str, name: str, use_bias: bool) -> Iterator[Leaf]:
  yield Leaf(('blocks', path, 'kernel'), f'{name}.weight', True)
  if use_bias:
    yield Leaf(('blocks', path, 'bias'), f'{name}.bias', False)


def _norm(path: tuple[str, ...], name: str, kind: str) -> Iterator[Leaf]:
  yield Leaf((*path, 'scale'), f'{name}.weight', False)
  if kind == 'layer':
    yield Leaf((*path, 'bias'), f'{name}.bias', False)


def _llama_leaves(config: ModelConfig) -> Iterator[Leaf]:
  layer = 'model.layers.{layer}.'
  attention, mlp = layer + 'self_attn.', layer + 'mlp.'
  yield Leaf(('embed', 'embedding'), 'model.embed_tokens.weight', False)
  for ours, theirs in (
    ('query', 'q_proj'),
    ('key', 'k_proj'),
    ('value', 'v_proj'),
  ):
    yield from _dense(ours, attention + theirs, config.qkv_bias)
  yield from _dense('out', attention + 'o_proj', config.out_bias)
  for part in ('up', 'gate', 'down'):
    yield from _dense(part, f'{mlp}{part}_proj', config.mlp_bias)
  if config.qk_norm:
    for ours, theirs in (('query', 'q_norm'), ('key', 'k_norm')):
      yield from _norm(('blocks', f'{ours}_norm'), attention + theirs, 'rms')
  yield from _norm(
    ('blocks', 'attention_norm'), layer + 'input_layernorm', 'rms'
  )
  yield from _norm(
    ('blocks', 'mlp_norm'), layer + 'post_attention_layernorm', 'rms'
  )
  yield from _norm(('final_norm',), 'model.norm', 'rms')
  if not config.tied_embedding:
    yield Leaf(('unembed', 'kernel'), 'lm_head.weight', False)


def _neox_leaves(config: ModelConfig) -> Iterator[Leaf]:
  """All leaves but query, key and value, which are one tensor there."""
  layer = 'gpt_neox.layers.{layer}.'
  yield Leaf(('embed', 'embedding'), 'gpt_neox.embed_in.weight', False)
  yield from _dense('out', layer + 'attention.dense', config.out_bias)
  yield from _dense('up', layer + 'mlp.dense_h_to_4h', config.mlp_bias)
  yield from _dense('down', layer + 'mlp.dense_4h_to_h', config.mlp_bias)
  yield from _norm(
    ('blocks', 'attention_norm'), layer + 'input_layernorm', 'layer'
  )
  yield from _norm(
    ('blocks', 'mlp_norm'), layer + 'post_attention_layernorm', 'layer'
  )
  yield from _norm(('final_norm',), 'gpt_neox.final_layer_norm', 'layer')
  if not config.tied_embedding:
    yield Leaf(('unembed', 'kernel'), 'embed_out.weight', False)


_FUSED = 'gpt_neox.layers.{layer}.attention.query_key_value.'
_PARTS = ('query', 'key', 'value')


def _leaves(family: str, config: ModelConfig) -> list[Leaf]:
  """Leaves that are one public tensor each (one a layer in the blocks)."""
  if family not in public_config.FAMILIES:
    raise ValueError(
      f'family={family!r} is not one of {public_config.FAMILIES}'
    )
  leaves = _neox_leaves if family == 'gpt_neox' else _llama_leaves
  return list(leaves(config))


def _split_fused(tensors: Tensors, config: ModelConfig) -> Tensors:
  """Query, key and value as tensors of their own, in the order of ours."""
  split = dict(tensors)
  shape = (config.num_heads, len(_PARTS), config.width_of_head)
  for layer in range(config.num_layers):
    for kind in ('weight', 'bias') if config.qkv_bias else ('weight',):
      name = _FUSED.format(layer=layer) + kind
      if name not in split:
        raise ValueError(f'tensor {name!r} is missing')
      fused = split.pop(name)
      wanted = (math.prod(shape), *(config.model_dim,) * (kind == 'weight'))
      if fused.shape != wanted:
        raise ValueError(
          f'tensor {name!r} has shape {fused.shape}; the configuration needs '
          f'{wanted}'
        )
      parts = fused.reshape(*shape, *fused.shape[1:])
      for index, part in enumerate(_PARTS):
        rows = parts[:, index].reshape(-1, *fused.shape[1:])
        split[f'{part}.{layer}.{kind}'] = rows
  return split


def _fuse(tensors: Tensors, config: ModelConfig) -> Tensors:
  """The reverse of `_split_fused`."""
  fused = dict(tensors)
  shape = (config.num_heads, config.width_of_head)
  for layer in range(config.num_layers):
    for kind in ('weight', 'bias') if config.qkv_bias else ('weight',):
      parts = [fused.pop(f'{part}.{layer}.{kind}') for part in _PARTS]
      rows = np.stack([p.reshape(*shape, *p.shape[1:]) for p in parts], axis=1)
      fused[_FUSED.format(layer=layer) + kind] = rows.reshape(
        -1, *parts[0].shape[1:]
      )
  return fused


def _all_leaves(family: str, config: ModelConfig) -> list[Leaf]:
  leaves = _leaves(family, config)
  if family == 'gpt_neox':
    for part in _PARTS:
      leaves += _dense(part, part + '.{layer}', config.qkv_bias)
  return leaves


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
  named = {n: t for n, t in tensors.items() if not n.endswith(_BUFFERS)}
  if config.tied_embedding:  # some files repeat the embedding as the output
    for name in _OUTPUTS:
      named.pop(name, None)
  score = named.pop(SCORE, None)
  if family == 'gpt_neox':
    named = _split_fused(named, config)
  params: Params = {}
  shapes = _shapes(dataclasses.replace(config, vocab_multiple=1))
  num_fill = config.padded_vocab - config.vocab_size
  for leaf in _all_leaves(family, config):
    shape = _at(shapes, leaf.path).shape
    layers = range(config.num_layers) if leaf.is_stacked else range(1)
    wanted = shape[1:] if leaf.is_stacked else shape
    found = [_take(named, leaf, layer, wanted) for layer in layers]
    value = np.stack(found) if leaf.is_stacked else found[0]
    if leaf.path[0] in ('embed', 'unembed'):
      value = np.pad(value, ((0, num_fill), (0, 0)))
    _put(params, leaf.path, value)
  if named:
    raise ValueError(f'{family}: no place for tensors {sorted(named)[:3]}')
  if score is not None:
    params['score_head'] = _score_head(score, config.model_dim)
  return params


def _score_head(score: np.ndarray, model_dim: int) -> Params:
  if score.shape != (1, model_dim):
    raise ValueError(
      f'tensor {SCORE!r} has shape {score.shape}; a preference model has one '
      f'score, {(1, model_dim)}'
    )
  kernel = np.ascontiguousarray(score.T, np.float32)
  return {'kernel': kernel, 'bias': np.zeros((1,), np.float32)}


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
  for leaf in _all_leaves(family, config):
    array = np.asarray(_at(params, leaf.path), np.float32)
    if leaf.path[0] in ('embed', 'unembed'):
      array = array[: config.vocab_size]
    for layer, part in enumerate(array if leaf.is_stacked else [array]):
      part = part.T if leaf.is_kernel else part
      tensors[leaf.name.format(layer=layer)] = np.ascontiguousarray(part)
  return _fuse(tensors, config) if family == 'gpt_neox' else tensors


# Masks and rotary tables that old files keep among the weights.
_BUFFERS = ('attention.bias', 'masked_bias', 'rotary_emb.inv_freq')


def _shapes(config: ModelConfig) -> Params:
  """The shape of every leaf, without making one."""
  init = functools.partial(ladder.init, ladder.build(config))
  return jax.eval_shape(init, jax.random.key(0))


def _at(tree: Params, path: tuple[str, ...]) -> Any:
  return functools.reduce(lambda branch, name: branch[name], path, tree)


def _take(
  named: Tensors, leaf: Leaf, layer: int, shape: tuple[int, ...]
) -> np.ndarray:
  name = leaf.name.format(layer=layer)
  if name not in named:
    raise ValueError(f'tensor {name!r} is missing')
  array = np.asarray(named.pop(name), np.float32)
  array = array.T if leaf.is_kernel else array
  if array.shape != shape:
    raise ValueError(
      f'tensor {name!r} has shape {array.shape} as [inputs, outputs]; the '
      f'configuration needs {shape}'
    )
  return array


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
  from safetensors import numpy as safetensors

  folder = pathlib.Path(folder)
  public = json.loads((folder / 'config.json').read_text('utf-8'))
  config = public_config.model_config(public)
  files = sorted(folder.glob('*.safetensors'))
  if not files:
    raise FileNotFoundError(f'{folder} holds no .safetensors file')
  tensors: Tensors = {}
  for file in files:
    tensors |= safetensors.load_file(file)
  if SCORE in tensors and not tensors.keys() & set(_OUTPUTS):
    config = dataclasses.replace(config, tied_embedding=True)
  return config, from_public(public['model_type'], config, tensors)


def write(
  folder: str | pathlib.Path, family: str, config: ModelConfig, params: Params
) -> None:
  """Writes `model.safetensors`, to stand beside the public `config.json`."""
  from safetensors import numpy as safetensors

  tensors = to_public(family, config, params)
  path = pathlib.Path(folder) / 'model.safetensors'
  if path.exists():
    raise FileExistsError(f'{path} exists; it is not written over')
  safetensors.save_file(tensors, path, metadata={'format': 'pt'})
