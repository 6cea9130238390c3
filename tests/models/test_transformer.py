import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hh_jax.config import ModelConfig
from hh_jax.models import heads, ladder
from hh_jax.types import Packed

CONFIG = ModelConfig(
  num_layers=3,
  model_dim=24,
  num_heads=2,
  vocab_size=20,
  init_std=0.3,
  scan_unroll=3,
)
PAD = (np.iinfo(np.int32).max - 1, np.iinfo(np.int32).max)

forward = jax.jit(ladder.forward, static_argnums=0)


@pytest.fixture(scope='module')
def params():
  return ladder.init(ladder.build(CONFIG), jax.random.key(0))


def tree_batch():
  """One row: a prefix of 4 with branches of 3 and 2, a tree of 3, 2 pads."""
  segments = [  # start, length, parent column, first position, enter, leave
    (0, 4, -1, 0, 0, 3),
    (4, 3, 3, 4, 1, 2),
    (7, 2, 3, 4, 2, 3),
    (9, 3, -1, 0, 3, 4),
  ]
  row = {
    'tokens': np.zeros(14, np.int32),
    'positions': np.zeros(14, np.int32),
    'parent': np.full(14, -1, np.int32),
    'enter': np.full(14, PAD[0], np.int32),
    'leave': np.full(14, PAD[1], np.int32),
  }
  for start, length, parent, position, enter, leave in segments:
    span = slice(start, start + length)
    row['tokens'][span] = np.arange(start, start + length) + 1
    row['positions'][span] = position + np.arange(length)
    row['parent'][span] = [parent, *range(start, start + length - 1)]
    row['enter'][span], row['leave'][span] = enter, leave
  return Packed(
    **{name: jnp.asarray(values[None]) for name, values in row.items()},
    example_id=jnp.zeros((1, 14), jnp.int32),
    loss_mask=jnp.ones((1, 14), bool),
    score_index=jnp.array([[6, 8]], jnp.int32),
    pair_weight=jnp.ones(1, jnp.float32),
    pair_mask=jnp.ones(1, bool),
  )


PATHS = ([0, 1, 2, 3, 4, 5, 6], [0, 1, 2, 3, 7, 8], [9, 10, 11])


def influence(model, params, packed):
  """[T, T] bool: does the input at column k change the output at column q."""
  probe = jax.random.normal(jax.random.key(5), (CONFIG.model_dim,))

  def outputs(embedding):
    tree = {**params, 'embed': {'embedding': embedding}}
    return ladder.forward(model, tree, packed).hidden[0] @ probe

  gradient = jax.jit(jax.jacrev(outputs))(params['embed']['embedding'])
  strength = np.abs(np.asarray(gradient)).sum(-1)  # [T, V]
  return strength[:, np.asarray(packed.tokens[0])] > 0


def test_causality_by_gradient(params):
  tokens = jnp.arange(8, dtype=jnp.int32)[None]
  packed = ladder.rectangle(tokens, jnp.array([8]))
  reads = influence(ladder.build(CONFIG), params, packed)
  np.testing.assert_array_equal(reads, np.tril(np.ones((8, 8), bool)))


@pytest.mark.slow
def test_tree_tokens_read_exactly_their_own_path(params):
  reads = influence(ladder.build(CONFIG), params, tree_batch())
  expected = np.zeros((12, 12), bool)
  for path in PATHS:
    for i, q in enumerate(path):
      expected[q, path[: i + 1]] = True
  np.testing.assert_array_equal(reads[:12, :12], expected)
  assert not reads[:12, 12:].any()


def test_packed_tree_equals_separate_sequences(params):
  model = ladder.build(CONFIG)
  packed = tree_batch()
  together = np.asarray(forward(model, params, packed).hidden[0])
  assert np.isfinite(together).all()
  rows = np.zeros((3, 7), np.int32)
  for row, path in zip(rows, PATHS, strict=True):
    row[: len(path)] = np.asarray(packed.tokens)[0, path]
  apart = ladder.rectangle(jnp.asarray(rows), jnp.array([7, 6, 3]))
  apart = np.asarray(forward(model, params, apart).hidden)
  for row, path in zip(apart, PATHS, strict=True):
    np.testing.assert_allclose(together[path], row[: len(path)], atol=1e-5)
  wrong = packed.replace(enter=packed.enter * 0, leave=packed.leave * 0 + 1)
  chained = np.asarray(forward(model, params, wrong).hidden[0])
  assert np.abs(chained[7:9] - together[7:9]).max() > 1e-2


@pytest.mark.slow
def test_padding_and_row_order_change_nothing(params):
  model = ladder.build(CONFIG)
  tokens = jax.random.randint(jax.random.key(2), (2, 6), 0, 20, jnp.int32)
  lengths = jnp.array([6, 4])
  hidden = forward(model, params, ladder.rectangle(tokens, lengths)).hidden
  other = jnp.pad(tokens.at[1, 4:].set(7), ((0, 0), (0, 3)))[::-1]
  moved = forward(model, params, ladder.rectangle(other, lengths[::-1])).hidden
  np.testing.assert_allclose(moved[1, :6], hidden[0], atol=1e-6)
  np.testing.assert_allclose(moved[0, :4], hidden[1, :4], atol=1e-6)


def loss_and_gradient(config, params):
  model = ladder.build(config)

  @jax.jit
  def run(params):
    probe = jnp.sin(jnp.arange(14 * 24.0)).reshape(14, 24)

    def loss(params):
      hidden = ladder.forward(model, params, tree_batch()).hidden[0]
      return jnp.sum(jnp.sin(hidden) * probe)

    return jax.value_and_grad(loss)(params)

  return run, run(params)


def assert_trees_close(left, right):
  jax.tree.map(
    lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-4, atol=2e-5),
    left,
    right,
  )


@pytest.mark.slow
def test_remat_equals_plain(params):
  plain, expected = loss_and_gradient(CONFIG, params)
  config = dataclasses.replace(CONFIG, remat=True)
  remat, found = loss_and_gradient(config, params)

  def num_products(step):
    return str(jax.make_jaxpr(step)(params)).count('dot_general')

  assert num_products(remat) > num_products(plain)
  assert_trees_close(found, expected)


@pytest.mark.parametrize('unroll', [1, 2])
@pytest.mark.slow
def test_unrolling_changes_nothing(params, unroll):
  full, expected = loss_and_gradient(CONFIG, params)
  config = dataclasses.replace(CONFIG, scan_unroll=unroll)
  partial, found = loss_and_gradient(config, params)
  assert 'while' in partial.lower(params).as_text()
  assert 'while' not in full.lower(params).as_text()
  assert_trees_close(found, expected)


@pytest.mark.slow
def test_residual_outputs_start_smaller():
  config = dataclasses.replace(CONFIG, model_dim=128, init_std=0.02)
  model = ladder.build(config)
  blocks = ladder.init(model, jax.random.key(1))['blocks']
  for name in ('query', 'up'):
    np.testing.assert_allclose(blocks[name]['kernel'].std(), 0.02, rtol=0.03)
  for name in ('out', 'down'):
    small = 0.02 / np.sqrt(2 * 3)
    np.testing.assert_allclose(blocks[name]['kernel'].std(), small, rtol=0.03)
  first, second = blocks['up']['kernel'][:2]
  assert jnp.abs(first - second).max() > 0.01


def test_bfloat16_operands_stay_close_and_return_float32(params):
  model = ladder.build(CONFIG)
  low = ladder.build(dataclasses.replace(CONFIG, compute_dtype='bfloat16'))
  exact = forward(model, params, tree_batch()).hidden[0, :12]
  rounded = forward(low, params, tree_batch()).hidden[0, :12]
  assert rounded.dtype == jnp.float32
  difference = jnp.abs(exact - rounded)
  assert 1e-5 < difference.mean() < 0.1


def test_score_head_beside_the_tree_is_ignored_by_forward(params):
  model = ladder.build(CONFIG)
  head = heads.init_score_head(jax.random.key(4), CONFIG)
  with_head = {**params, 'score_head': head}
  np.testing.assert_array_equal(
    forward(model, params, tree_batch()).hidden,
    forward(model, with_head, tree_batch()).hidden,
  )


def test_cache_takes_one_token_a_row(params):
  model = ladder.build(CONFIG)
  tokens = jnp.ones((1, 2), jnp.int32)
  packed = ladder.rectangle(tokens, jnp.array([2]))
  cache = ladder.forward(model, params, packed, keeps_keys=True).cache
  with pytest.raises(ValueError, match='one token a row, not 2'):
    model.apply({'params': params}, tokens, tokens, tokens, tokens, cache)
