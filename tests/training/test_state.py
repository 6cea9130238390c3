import hashlib
import json

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from hh_jax.training import state as state_lib
from hh_jax.types import LossSum


def make_params(seed=0):
  rng = np.random.default_rng(seed)
  return {
    'w': jnp.asarray(rng.normal(size=(3, 2)), jnp.float32),
    'b': jnp.zeros(2, jnp.float32),
  }


def make_batch(rows=8, seed=1):
  rng = np.random.default_rng(seed)
  return {
    'x': jnp.asarray(rng.normal(size=(rows, 3)), jnp.float32),
    'y': jnp.asarray(rng.normal(size=(rows, 2)), jnp.float32),
    'mask': jnp.asarray(rng.random(rows) < 0.7),
  }


def squared_error(params, batch):
  # Scaled rows make the weight of every part different.
  predicted = batch['x'] @ params['w'] + params['b'][None]
  errors = jnp.square(predicted - batch['y']).sum(-1)
  total = jnp.where(batch['mask'], errors, 0.0).sum()
  weight = batch['mask'].sum().astype(jnp.float32)
  return LossSum(
    total=total,
    weight=weight,
    metrics={'toy/error': jnp.stack([total, weight])},
  )


def bytes_of(tree):
  return [np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(tree)]


def test_hash_is_that_of_the_documented_bytes():
  tree = {'b': jnp.int32(5), 'a': {'x': jnp.asarray([1.5, -2.0], jnp.float32)}}
  expected = hashlib.sha256()
  for path, array in (
    ('a/x', np.asarray([1.5, -2.0], '<f4')),
    ('b', np.asarray(5, '<i4')),
  ):
    header = [path, array.dtype.name, list(array.shape)]
    expected.update(json.dumps(header).encode() + b'\n' + array.tobytes())
  assert state_lib.state_sha256(tree) == expected.hexdigest()


def test_hash_ignores_order_host_and_byte_order():
  one = {'a': jnp.arange(3), 'b': jnp.ones(2, jnp.bfloat16)}
  two = {'b': np.ones(2, jnp.bfloat16), 'a': np.arange(3, dtype='>i4')}
  assert list(one) != list(two)
  assert state_lib.state_sha256(one) == state_lib.state_sha256(two)


def test_hash_sees_one_bit_names_types_and_shapes():
  base = np.ones((2, 3), np.float32)
  flipped = base.copy()
  flipped.view(np.uint8)[1, 5] ^= 1
  trees = [
    {'a': base},
    {'a': flipped},
    {'b': base},
    {'a': base.reshape(3, 2)},
    {'a': base.view(np.int32)},
    {'a': base, 'b': np.zeros(0, np.float32)},
  ]
  assert len({state_lib.state_sha256(tree) for tree in trees}) == len(trees)


def test_clashing_paths_are_refused():
  with pytest.raises(ValueError, match='share one path'):
    state_lib.state_sha256({'a/b': np.ones(1), 'a': {'b': np.ones(1)}})


def test_init_state_starts_at_step_zero():
  tx = optax.adam(0.1)
  state = state_lib.init_state(make_params(), tx, {'kl': jnp.float32(0.1)})
  assert state.step.dtype == jnp.int32
  assert not state.step.weak_type
  assert int(state.step) == 0
  assert set(state.stats) == {'kl'}


@pytest.mark.parametrize('parts', [2, 4])
def test_micro_batches_change_nothing(parts):
  tx = optax.adam(0.1)
  batch = make_batch()
  split = jax.tree.map(
    lambda leaf: leaf.reshape(parts, -1, *leaf.shape[1:]), batch
  )
  weights = np.asarray(split['mask']).sum(1)
  assert len(set(weights)) > 1, 'a mean of means would pass'
  whole, whole_metrics = state_lib.loss_step(
    squared_error, state_lib.init_state(make_params(), tx), batch, tx
  )
  pieces, metrics = jax.jit(
    lambda state, batch: state_lib.loss_step(
      squared_error, state, batch, tx, micro_batches=parts
    )
  )(state_lib.init_state(make_params(), tx), split)
  for one, other in zip(
    jax.tree.leaves(whole), jax.tree.leaves(pieces), strict=True
  ):
    np.testing.assert_allclose(one, other, atol=1e-6)
  assert set(metrics) == set(whole_metrics)
  for name, value in metrics.items():
    np.testing.assert_allclose(value, whole_metrics[name], rtol=1e-6)


def test_step_divides_once_by_the_weight():
  tx = optax.sgd(1.0)
  params, batch = make_params(), make_batch()
  state, metrics = state_lib.loss_step(
    squared_error, state_lib.init_state(params, tx), batch, tx
  )
  rows = np.asarray(batch['mask'])
  x, y = np.asarray(batch['x'])[rows], np.asarray(batch['y'])[rows]
  error = x @ np.asarray(params['w']) - y
  grad = 2 * x.T @ error / rows.sum()
  grad_b = 2 * error.sum(0) / rows.sum()
  np.testing.assert_allclose(
    state.params['w'], np.asarray(params['w']) - grad, atol=1e-5
  )
  loss = (error**2).sum() / rows.sum()
  np.testing.assert_allclose(metrics['train/loss'], loss, rtol=1e-5)
  np.testing.assert_allclose(metrics['toy/error'], loss, rtol=1e-5)
  norm = np.sqrt((grad**2).sum() + (grad_b**2).sum())
  np.testing.assert_allclose(metrics['train/grad_norm'], norm, rtol=1e-5)
  assert float(metrics['train/skipped']) == 0
  assert int(state.step) == 1


def test_wrong_number_of_micro_batches_is_refused():
  tx = optax.sgd(1.0)
  with pytest.raises(ValueError, match='micro_batches=3'):
    state_lib.loss_step(
      squared_error,
      state_lib.init_state(make_params(), tx),
      make_batch(),
      tx,
      micro_batches=3,
    )


def spoiled_loss(params, batch):
  # The loss is finite, its gradient is not: the derivative of sqrt at 0.
  return LossSum(
    total=jnp.sqrt(jnp.square(params['w']).sum() * 0.0),
    weight=batch['mask'].sum().astype(jnp.float32),
    metrics={},
  )


@pytest.mark.parametrize('fault', ['nan', 'inf', 'gradient', 'no weight'])
def test_unsound_updates_leave_every_bit(fault):
  tx = optax.adamw(0.1, weight_decay=0.1)
  batch = make_batch()
  step = jax.jit(
    lambda state, batch: state_lib.loss_step(squared_error, state, batch, tx),
    donate_argnums=0,
  )
  state, _ = step(state_lib.init_state(make_params(), tx), batch)
  before = bytes_of((state.params, state.opt_state))
  if fault == 'no weight':
    batch['mask'] = jnp.zeros_like(batch['mask'])
  elif fault != 'gradient':
    batch['x'] = batch['x'].at[:, 1].set(float(fault))
  if fault == 'gradient':
    state, metrics = state_lib.loss_step(spoiled_loss, state, batch, tx)
    assert np.isfinite(metrics['train/loss'])
  else:
    state, metrics = step(state, batch)
  assert float(metrics['train/skipped']) == 1
  assert bytes_of((state.params, state.opt_state)) == before
  assert int(state.step) == 2
  if fault == 'no weight':
    assert all(np.isfinite(value) for value in metrics.values())
  state, metrics = step(state, make_batch())
  assert float(metrics['train/skipped']) == 0
  assert bytes_of((state.params, state.opt_state)) != before
