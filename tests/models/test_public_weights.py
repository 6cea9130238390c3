"""Weights of public models against what transformers says of them.

The files come from `tests/parity/golden/make_public_models.py`.
"""

import dataclasses
import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors import numpy as safetensors

from hh_jax.models import heads, ladder, public_config, public_weights

GOLDEN = pathlib.Path(__file__).parents[1] / 'parity/golden/public_models'
FAMILIES = public_config.FAMILIES

forward = jax.jit(ladder.forward, static_argnums=0)


def public(family):
  config = json.loads((GOLDEN / family / 'config.json').read_text())
  return config, safetensors.load_file(GOLDEN / family / 'model.safetensors')


def logits_of(config, params, tokens):
  params = jax.tree.map(jnp.asarray, params)
  lengths = jnp.full(len(tokens), tokens.shape[1])
  packed = ladder.rectangle(jnp.asarray(tokens, jnp.int32), lengths)
  hidden = forward(ladder.build(config), params, packed).hidden
  return np.asarray(hidden @ heads.unembed_matrix(params).T)


@pytest.mark.parametrize('family', FAMILIES)
def test_logits_are_those_of_transformers(family):
  said = np.load(GOLDEN / family / 'said.npz')
  config, params = public_weights.read(GOLDEN / family)
  logits = logits_of(config, params, said['tokens'])
  assert np.ptp(said['logits']) > 1
  np.testing.assert_allclose(logits, said['logits'], atol=1e-5, rtol=0)


@pytest.mark.parametrize('family', FAMILIES)
def test_our_tree_is_the_whole_network(family):
  config, params = public_weights.read(GOLDEN / family)
  own = ladder.init(ladder.build(config), jax.random.key(0))
  assert jax.tree.map(np.shape, own) == jax.tree.map(np.shape, params)


@pytest.mark.parametrize('family', FAMILIES)
@pytest.mark.parametrize('vocab_multiple', [1, 32])
def test_back_to_the_same_file(family, vocab_multiple, tmp_path):
  named, tensors = public(family)
  config = public_config.model_config(named)
  config = dataclasses.replace(config, vocab_multiple=vocab_multiple)
  params = public_weights.from_public(family, config, tensors)
  assert len(params['embed']['embedding']) == config.padded_vocab
  public_weights.write(tmp_path, family, config, params)
  back = safetensors.load_file(tmp_path / 'model.safetensors')
  assert back.keys() == tensors.keys()
  for name, tensor in tensors.items():
    np.testing.assert_array_equal(back[name], tensor, strict=True)
  with pytest.raises(FileExistsError, match='not written over'):
    public_weights.write(tmp_path, family, config, params)


def test_shards_and_half_precision_are_read(tmp_path):
  named, tensors = public('llama')
  half = {name: x.astype(jnp.bfloat16) for name, x in tensors.items()}
  (tmp_path / 'config.json').write_text(json.dumps(named))
  for shard in range(2):
    names = sorted(half)[shard::2]
    safetensors.save_file(
      {name: half[name] for name in names}, tmp_path / f'{shard}.safetensors'
    )
  _, params = public_weights.read(tmp_path)
  np.testing.assert_array_equal(
    params['embed']['embedding'],
    half['model.embed_tokens.weight'].astype(np.float32),
  )


def test_a_repeated_tied_output_is_no_stranger():
  named, tensors = public('qwen2')
  config = public_config.model_config(named)
  repeated = {**tensors, 'lm_head.weight': tensors['model.embed_tokens.weight']}
  params = public_weights.from_public('qwen2', config, repeated)
  assert 'unembed' not in params


def test_a_reward_model_has_a_score_and_needs_no_output_matrix(tmp_path):
  named, tensors = public('gpt_neox')
  del tensors['embed_out.weight']
  tensors['score.weight'] = np.arange(16, dtype=np.float32)[None]
  (tmp_path / 'config.json').write_text(json.dumps(named))
  safetensors.save_file(tensors, tmp_path / 'model.safetensors')
  config, params = public_weights.read(tmp_path)
  hidden = np.random.default_rng(0).normal(size=(3, 16)).astype(np.float32)
  head = jax.tree.map(jnp.asarray, params)
  scores = heads.values(head, jnp.asarray(hidden))
  np.testing.assert_allclose(scores, hidden @ np.arange(16), rtol=1e-5)
  back = public_weights.to_public('gpt_neox', config, params)
  np.testing.assert_array_equal(back['score.weight'], tensors['score.weight'])
  params['score_head']['bias'] = np.ones(1, np.float32)
  with pytest.raises(ValueError, match='score head has a bias of 1 and'):
    public_weights.to_public('gpt_neox', config, params)
  tensors['score.weight'] = np.zeros((2, 16), np.float32)
  with pytest.raises(ValueError, match=r'has shape \(2, 16\); a preference'):
    public_weights.from_public('gpt_neox', config, tensors)


@pytest.mark.parametrize(
  ('change', 'message'),
  [
    ({'model.norm.weight': None}, r"tensor 'model.norm.weight' is missing"),
    ({'model.norm.weight': np.ones(3)}, r'has shape \(3,\).*needs \(16,\)'),
    ({'model.strange': np.ones(3)}, r'no place for tensors .*model.strange'),
  ],
)
def test_what_does_not_fit_is_named(change, message):
  named, tensors = public('llama')
  config = public_config.model_config(named)
  changed = {**tensors, **change}
  changed = {name: x for name, x in changed.items() if x is not None}
  with pytest.raises(ValueError, match=message):
    public_weights.from_public('llama', config, changed)


FUSED = 'gpt_neox.layers.0.attention.query_key_value.weight'


@pytest.mark.parametrize(
  ('tensor', 'message'),
  [
    (None, 'query_key_value.weight. is missing'),
    (
      np.ones((3, 16)),
      r'has shape \(3, 16\); the configuration needs \(48, 16',
    ),
  ],
)
def test_a_fused_tensor_that_does_not_fit_is_named(tensor, message):
  named, tensors = public('gpt_neox')
  tensors[FUSED] = tensor
  tensors = {name: x for name, x in tensors.items() if x is not None}
  config = public_config.model_config(named)
  with pytest.raises(ValueError, match=message):
    public_weights.from_public('gpt_neox', config, tensors)


@pytest.mark.parametrize('family', FAMILIES)
def test_tables_that_old_files_hold_are_no_weights(family):
  named, tensors = public(family)
  config = public_config.model_config(named)
  own = public_weights.from_public(family, config, tensors)
  old = {
    'model.layers.0.self_attn.rotary_emb.inv_freq': np.ones(4),
    'gpt_neox.layers.0.attention.bias': np.ones((1, 1, 8, 8)),
    'gpt_neox.layers.0.attention.masked_bias': np.ones(()),
  }
  found = public_weights.from_public(family, config, {**tensors, **old})
  jax.tree.map(np.testing.assert_array_equal, own, found)


def test_rotary_options_by_their_old_names():
  named, _ = public('gpt_neox')
  del named['rope_parameters']
  old = {**named, 'rotary_emb_base': 500.0, 'rotary_pct': 0.5}
  config = public_config.model_config(old)
  assert (config.rotary_theta, config.rotary_fraction) == (500.0, 0.5)
  for kind, scaling in (('linear', 4.0), ('default', 1.0)):
    scaled = {**old, 'rope_scaling': {'type': kind, 'factor': 4.0}}
    assert public_config.model_config(scaled).rotary_scaling == scaling


@pytest.mark.parametrize(
  ('family', 'change', 'message'),
  [
    ('llama', {'model_type': 'mamba'}, "model_type='mamba' is not one of"),
    ('llama', {'hidden_act': 'relu'}, "hidden_act='relu' is not supported"),
    ('gpt_neox', {'hidden_act': 'relu'}, "hidden_act='relu' is not supported"),
    ('llama', {'rope_scaling': {'rope_type': 'llama3'}}, "rope_type='llama3'"),
    ('qwen2', {'use_sliding_window': True}, 'use_sliding_window=True is not'),
  ],
)
def test_options_we_do_not_have_are_refused(family, change, message):
  named, _ = public(family)
  named.pop('rope_parameters', None)
  with pytest.raises(ValueError, match=message):
    public_config.model_config({**named, **change})


def test_a_folder_without_weights_is_said(tmp_path):
  (tmp_path / 'config.json').write_text(json.dumps(public('llama')[0]))
  with pytest.raises(FileNotFoundError, match='holds no .safetensors file'):
    public_weights.read(tmp_path)


@pytest.mark.parametrize('family', FAMILIES)
def test_a_configuration_comes_back(family):
  config = public_config.model_config(public(family)[0])
  for change in ({}, {'rotary_scaling': 4.0}):
    changed = dataclasses.replace(config, **change)
    back = public_config.model_config(public_config.public_fields(changed))
    filled = dataclasses.replace(
      changed,
      head_dim=back.head_dim,
      num_kv_heads=back.num_kv_heads,
    )
    assert back == filled
    assert back.width_of_head == config.width_of_head
    assert back.kv_heads == config.kv_heads
