"""What public models call their tensors, and which of our leaves each one is.

1. Three of the four families are one table with a few rows more or less.
2. GPT-NeoX keeps query, key and value in one tensor, head by head.
3. The table says name and shape of every tensor that a configuration needs, so
   that a folder is known to fit before a weight of it is read.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator, Mapping
from typing import Any

import jax

from hh_jax.config import ModelConfig
from hh_jax.models import ladder, public_config
from hh_jax.models.public_folder import OUTPUTS, SCORE
from hh_jax.types import Params

Shape = tuple[int, ...]

# The parts of GPT-NeoX's one tensor, in its order.
FUSED = 'gpt_neox.layers.{layer}.attention.query_key_value.'
PARTS = ('query', 'key', 'value')

# Masks and rotary tables that old files keep among the weights.
_BUFFERS = ('attention.bias', 'masked_bias', 'rotary_emb.inv_freq')


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


def leaves_of(family: str, config: ModelConfig) -> list[Leaf]:
  """Leaves that are one public tensor each (one a layer in the blocks)."""
  if family not in public_config.FAMILIES:
    raise ValueError(
      f'family={family!r} is not one of {public_config.FAMILIES}'
    )
  leaves = _neox_leaves if family == 'gpt_neox' else _llama_leaves
  return list(leaves(config))


def fused_names(config: ModelConfig, layer: int) -> dict[str, str]:
  """GPT-NeoX's fused tensors of a layer, under what our leaves call them."""
  name = FUSED.format(layer=layer)
  names = {'kernel': f'{name}weight', 'bias': f'{name}bias'}
  return names if config.qkv_bias else {'kernel': names['kernel']}


def our_shapes(config: ModelConfig) -> Params:
  """The shape of every leaf, without making one."""
  init = functools.partial(ladder.init, ladder.build(config))
  return jax.eval_shape(init, jax.random.key(0))


def public_shapes(family: str, config: ModelConfig) -> dict[str, Shape]:
  """Name and shape of every tensor that a model of this family has."""
  ours = our_shapes(dataclasses.replace(config, vocab_multiple=1))
  shapes: dict[str, Shape] = {}
  for leaf in leaves_of(family, config):
    shape = at(ours, leaf.path).shape
    shape = shape[1:] if leaf.is_stacked else shape
    for layer in range(config.num_layers if leaf.is_stacked else 1):
      name = leaf.name.format(layer=layer)
      shapes[name] = shape[::-1] if leaf.is_kernel else shape
  if family == 'gpt_neox':
    rows = len(PARTS) * config.num_heads * config.width_of_head
    for layer in range(config.num_layers):
      for kind, name in fused_names(config, layer).items():
        columns = (config.model_dim,) if kind == 'kernel' else ()
        shapes[name] = (rows, *columns)
  return shapes


def require_fit(
  family: str, config: ModelConfig, shapes: Mapping[str, Shape]
) -> None:
  """Raises ValueError unless tensors are those of a configuration.

  Args:
    family: One of `public_config.FAMILIES`.
    config: From `public_config.model_config`.
    shapes: Of the tensors that are there, by name.
  """
  wanted = public_shapes(family, config)
  if SCORE in shapes:
    wanted[SCORE] = (1, config.model_dim)
    if shapes[SCORE] != wanted[SCORE]:
      raise ValueError(
        f'tensor {SCORE!r} has shape {shapes[SCORE]}; a preference model has '
        f'one score, {wanted[SCORE]}'
      )
  for name, shape in wanted.items():
    if name not in shapes:
      raise ValueError(f'tensor {name!r} is missing')
    if shapes[name] != shape:
      raise ValueError(
        f'tensor {name!r} has shape {shapes[name]}; the configuration needs '
        f'{shape}'
      )
  strangers = sorted(
    name
    for name in shapes.keys() - wanted.keys()
    if not name.endswith(_BUFFERS)
    # Some files repeat a tied embedding as the output.
    and not (config.tied_embedding and name in OUTPUTS)
  )
  if strangers:
    raise ValueError(f'{family}: no place for tensors {strangers[:3]}')


def at(tree: Params, path: tuple[str, ...]) -> Any:
  """The branch or leaf of a tree that a path leads to."""
  return functools.reduce(lambda branch, name: branch[name], path, tree)
