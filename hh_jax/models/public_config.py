"""The configuration of a public model, as ours.

GPT-NeoX (Pythia), Llama, Qwen2 and Qwen3 are options of our block; an option
that it does not have is refused by name.
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
