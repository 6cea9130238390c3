"""The configuration of a public model, as ours and back.

GPT-NeoX (Pythia), Llama, Qwen2 and Qwen3 are options of our block; an option
that it does not have is refused by name, and so, on the way back, is one of
ours that none of them has.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hh_jax.config import ModelConfig

FAMILIES = ('gpt_neox', 'llama', 'qwen2', 'qwen3')
ACTIVATIONS = {
  'gelu': 'gelu',
  'gelu_new': 'gelu_tanh',
  'gelu_fast': 'gelu_tanh',
  'gelu_pytorch_tanh': 'gelu_tanh',
}
_REQUIRED = (
  'num_hidden_layers',
  'hidden_size',
  'num_attention_heads',
  'intermediate_size',
  'vocab_size',
  'max_position_embeddings',
)


def model_config(public: Mapping[str, Any]) -> ModelConfig:
  """The configuration of a public model.

  Args:
    public: The contents of its `config.json`.

  Raises:
    ValueError: The family or one of its options is not supported.
  """
  family = public.get('model_type')
  if family not in FAMILIES:
    raise ValueError(f'model_type={family!r} is not one of {FAMILIES}')
  missing = [
    name for name in _REQUIRED if not isinstance(public.get(name), int)
  ]
  if missing:
    raise ValueError(f'{missing} must be there, as whole numbers')
  if public.get('quantization_config'):
    raise ValueError(
      'quantization_config is not supported; take the model in bfloat16'
    )
  rope = {**(public.get('rope_scaling') or {})}
  rope |= public.get('rope_parameters') or {}
  kind = rope.get('rope_type', rope.get('type', 'default'))
  if kind not in ('default', 'linear'):
    raise ValueError(
      f'rope_type={kind!r} is not supported; use default, linear'
    )
  # Old GPT-NeoX files call the base `rotary_emb_base`.
  theta = public.get('rope_theta', public.get('rotary_emb_base', 10_000.0))
  shared = {
    'num_layers': public['num_hidden_layers'],
    'model_dim': public['hidden_size'],
    'num_heads': public['num_attention_heads'],
    'ffn_dim': public['intermediate_size'],
    'vocab_size': public['vocab_size'],
    'max_positions': public['max_position_embeddings'],
    'rotary_scaling': rope['factor'] if kind == 'linear' else 1.0,
    'rotary_theta': rope.get('rope_theta', theta),
    'tied_embedding': public.get('tie_word_embeddings', False),
    'scan_unroll': public['num_hidden_layers'],
  }
  if family == 'gpt_neox':
    return _neox_config(public, rope, shared)
  return _llama_config(public, family, shared)


def _require(public: Mapping[str, Any], name: str, *supported: Any) -> None:
  value = public.get(name, supported[0])
  if value not in supported:
    raise ValueError(f'{name}={value!r} is not supported; only {supported}')


def _neox_config(
  public: Mapping[str, Any], rope: dict[str, Any], shared: dict[str, Any]
) -> ModelConfig:
  _require(public, 'hidden_act', *ACTIVATIONS)
  has_bias = public.get('attention_bias', True)
  fraction = rope.get('partial_rotary_factor', public.get('rotary_pct', 0.25))
  return ModelConfig(
    **shared,
    norm='layer',
    norm_eps=public.get('layer_norm_eps', 1e-5),
    mlp=ACTIVATIONS[public.get('hidden_act', 'gelu')],
    parallel_residual=public.get('use_parallel_residual', True),
    qkv_bias=has_bias,
    out_bias=has_bias,
    mlp_bias=True,
    rotary_fraction=fraction,
  )


def _llama_config(
  public: Mapping[str, Any], family: str, shared: dict[str, Any]
) -> ModelConfig:
  _require(public, 'hidden_act', 'silu')
  if public.get('use_sliding_window'):
    raise ValueError('use_sliding_window=True is not supported')
  has_bias = public.get('attention_bias', False)
  return ModelConfig(
    **shared,
    num_kv_heads=public.get('num_key_value_heads') or 0,
    head_dim=public.get('head_dim') or 0,
    norm='rms',
    norm_eps=public.get('rms_norm_eps', 1e-6),
    mlp='swiglu',
    qkv_bias=family == 'qwen2' or has_bias,
    out_bias=family != 'qwen2' and has_bias,
    mlp_bias=public.get('mlp_bias', False),
    qk_norm=family == 'qwen3',
  )


def family_of(config: ModelConfig) -> str:
  """The public family that has all options of one of our configurations.

  MLP biases are not asked: where a family insists on them, they are zeros.

  Raises:
    ValueError: None has.
  """
  has_one_bias = config.qkv_bias == config.out_bias
  is_plain = config.kv_heads == config.num_heads and not config.qk_norm
  is_plain &= config.head_dim in (0, config.model_dim // config.num_heads)
  is_rotary = config.positions == 'rotary' and config.rotary_layout == 'half'
  fits = {
    'gpt_neox': config.norm == 'layer'
    and config.mlp != 'swiglu'
    and is_plain
    and has_one_bias,
  }
  is_llama = config.norm == 'rms' and config.mlp == 'swiglu'
  is_llama &= config.rotary_fraction == 1 and not config.parallel_residual
  fits |= {
    'llama': is_llama and has_one_bias and not config.qk_norm,
    'qwen2': is_llama
    and config.qkv_bias
    and not (config.out_bias or config.mlp_bias or config.qk_norm),
    'qwen3': is_llama
    and has_one_bias
    and config.qk_norm
    and not config.mlp_bias,
  }
  for family, is_it in fits.items():
    if is_rotary and is_it:
      return family
  raise ValueError(
    f'none of {FAMILIES} has a block with norm={config.norm!r}, '
    f'mlp={config.mlp!r}, positions={config.positions!r} and its other options'
  )


def public_fields(config: ModelConfig) -> dict[str, Any]:
  """The contents of a `config.json` that `model_config` reads as `config`.

  Rotary options have the names of old and of new releases of transformers.
  """
  family = family_of(config)
  rope: dict[str, Any] = {
    'rope_type': 'default',
    'rope_theta': config.rotary_theta,
  }
  if config.rotary_scaling != 1:
    rope |= {'rope_type': 'linear', 'factor': config.rotary_scaling}
  fields = {
    'model_type': family,
    'num_hidden_layers': config.num_layers,
    'hidden_size': config.model_dim,
    'num_attention_heads': config.num_heads,
    'intermediate_size': config.width_of_ffn,
    'vocab_size': config.vocab_size,
    'max_position_embeddings': config.max_positions,
    'tie_word_embeddings': config.tied_embedding,
    'attention_bias': config.out_bias,
    'attention_dropout': 0.0,
    'rope_theta': config.rotary_theta,
  }
  if family == 'gpt_neox':
    fields |= _neox_fields(config)
    rope['partial_rotary_factor'] = config.rotary_fraction
  else:
    fields |= {
      'num_key_value_heads': config.kv_heads,
      'head_dim': config.width_of_head,
      'hidden_act': 'silu',
      'rms_norm_eps': config.norm_eps,
      'mlp_bias': config.mlp_bias,
      'use_sliding_window': False,
    }
  if config.rotary_scaling != 1:
    fields['rope_scaling'] = rope
  return {**fields, 'rope_parameters': rope}


def _neox_fields(config: ModelConfig) -> dict[str, Any]:
  names = {ours: name for name, ours in ACTIVATIONS.items()}
  return {
    'hidden_act': names[config.mlp],
    'layer_norm_eps': config.norm_eps,
    'use_parallel_residual': config.parallel_residual,
    'rotary_pct': config.rotary_fraction,
    'rotary_emb_base': config.rotary_theta,
    'hidden_dropout': 0.0,
  }
