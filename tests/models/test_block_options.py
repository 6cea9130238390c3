"""Every pair of block options, cached against uncached."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hh_jax.config import ModelConfig
from hh_jax.models import heads, ladder
from hh_jax.types import KVCache

OPTIONS = {
  'norm': ('layer', 'rms'),
  'mlp': ('gelu', 'gelu_tanh', 'swiglu'),
  'parallel_residual': (False, True),
  'qkv_bias': (False, True),
  'out_bias': (False, True),
  'mlp_bias': (False, True),
  'qk_norm': (False, True),
  'place': (
    {'positions': 'learned', 'max_positions': 16},
    {'rotary_fraction': 0.5, 'rotary_theta': 500.0},
    {'rotary_layout': 'interleaved', 'rotary_scaling': 2.0},
  ),
  'num_kv_heads': (0, 1),
  'tied_embedding': (False, True),
  'vocab_multiple': (1, 16),
  'head_dim': (0, 4),
}


def covering_rows():
  """Few rows of options in which every pair of values occurs, greedily."""
  names = list(OPTIONS)
  rng = np.random.default_rng(0)
  missing = {
    (i, x, j, y)
    for i, j in itertools.combinations(range(len(names)), 2)
    for x in range(len(OPTIONS[names[i]]))
    for y in range(len(OPTIONS[names[j]]))
  }

  def pairs(row):
    ranked = itertools.combinations(enumerate(row), 2)
    return {(i, x, j, y) for (i, x), (j, y) in ranked}

  rows = []
  while missing:
    candidates = [
      tuple(int(rng.integers(len(OPTIONS[name]))) for name in names)
      for _ in range(60)
    ]
    best = max(candidates, key=lambda row: len(pairs(row) & missing))
    missing -= pairs(best)
    rows.append({n: OPTIONS[n][x] for n, x in zip(names, best, strict=True)})
  return rows


def make(options):
  fields = dict(options)
  fields |= fields.pop('place')
  return ModelConfig(
    num_layers=2,
    model_dim=16,
    num_heads=2,
    vocab_size=20,
    init_std=0.3,
    **fields,
  )


@pytest.mark.parametrize('options', covering_rows(), ids=itertools.count())
@pytest.mark.slow
def test_cached_decode_equals_the_full_forward(options):
  config = make(options)
  model = ladder.build(config)
  params = ladder.init(model, jax.random.key(0))
  params = jax.tree.map(  # biases start at zero: make them count
    lambda x: (
      x + 0.1 * jnp.cos(jnp.arange(x.size, dtype=x.dtype)).reshape(x.shape)
    ),
    params,
  )
  rows = 32 if options['vocab_multiple'] == 16 else 20
  assert heads.unembed_matrix(params).shape == (rows, 16)
  tokens = jax.random.randint(jax.random.key(1), (2, 7), 0, 20, jnp.int32)
  lengths = jnp.array([3, 4])

  @jax.jit
  def full(params):
    packed = ladder.rectangle(tokens, jnp.array([7, 7]))
    return ladder.forward(model, params, packed, keeps_keys=True)

  @jax.jit
  def cached(params, cache):
    def step(cache, _):
      column = cache.length[:, None]
      token = jnp.take_along_axis(tokens, column, axis=1)[:, 0]
      output = ladder.forward_cached(model, params, token, cache)
      return output.cache, output.hidden[:, 0]

    return jax.lax.scan(step, cache, length=3)

  output = full(params)
  assert output.cache.keys[0].shape[1] == config.kv_heads
  is_prompt = (jnp.arange(7)[None] < lengths[:, None])[:, None, :, None]
  keys, values = (
    tuple(jnp.where(is_prompt, layer, 1e3) for layer in kept)
    for kept in (output.cache.keys, output.cache.values)
  )
  cache = KVCache(keys, values, lengths)
  cache, hidden = cached(params, cache)
  for row, length in enumerate((3, 4)):
    np.testing.assert_allclose(
      hidden[:, row], output.hidden[row, length : length + 3], atol=1e-5
    )
  np.testing.assert_array_equal(cache.length, lengths + 3)


@pytest.mark.parametrize('name', OPTIONS)
@pytest.mark.slow
def test_each_option_changes_the_network(name):
  """The comparisons above would mean little if an option were ignored."""
  base = {n: values[0] for n, values in OPTIONS.items()}
  models = [ladder.build(make({**base, name: v})) for v in OPTIONS[name]]
  for left, right in itertools.combinations(models, 2):
    if shapes(left) == shapes(right):
      assert np.abs(hidden_of(left) - hidden_of(right)).max() > 1e-4


def shapes(model):
  params = jax.eval_shape(lambda: ladder.init(model, jax.random.key(0)))
  return jax.tree.map(lambda x: x.shape, params)


@functools.cache
def hidden_of(model):
  packed = ladder.rectangle(
    jnp.arange(6, dtype=jnp.int32)[None], jnp.array([6])
  )

  @jax.jit
  def run():
    params = ladder.init(model, jax.random.key(0))
    return ladder.forward(model, params, packed).hidden

  return np.asarray(run())
