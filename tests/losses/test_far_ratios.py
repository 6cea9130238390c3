"""Ratios far from one: exact up to e^±20, flat beyond, NaN where infinite."""

import contextlib
import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from hh_jax.losses import ppo
from hh_jax.training import metrics as metrics_lib
from hh_jax.training import soundness
from hh_jax.training import state as state_lib
from tests.parity import oracles

CLIP = 0.2
LIMIT = 20.0
OLD = -1.0  # so that old + gap and its distance from old are exact
GAPS = [sign * gap for gap in (3.0, 15.0, 25.0, 1e4) for sign in (1, -1)]
# A float32 exponential is known to about 2^-22.
PRECISIONS = {'float32': 1e-6, 'float64': 1e-12}

each_gap = pytest.mark.parametrize('gap', GAPS)
each_precision = pytest.mark.parametrize('dtype', PRECISIONS)


def precision(dtype):
  is_double = dtype == 'float64'
  return jax.enable_x64(True) if is_double else contextlib.nullcontext()


def one(value, dtype):
  return jnp.full((1, 1), value, dtype)


def real():
  return jnp.ones((1, 1), bool)


def policy_loss(gap, advantage, dtype='float32'):
  """(loss, metrics, slope in the log-probability) of one token, in NumPy."""

  def total(log_probs):
    loss = ppo.clipped_policy_loss(
      log_probs, one(OLD, dtype), one(advantage, dtype), real(), CLIP
    )
    return loss.total, loss.metrics

  found, slope = jax.value_and_grad(total, has_aux=True)(one(OLD + gap, dtype))
  return jax.tree.map(np.asarray, (*found, slope[0, 0]))


@each_gap
@each_precision
@pytest.mark.parametrize('advantage', [2.0, -2.0])
def test_loss_metrics_and_slope(gap, advantage, dtype):
  """The equation up to ±20, and its value there beyond."""
  with precision(dtype):
    loss, metrics, slope = policy_loss(gap, advantage, dtype)

  def exact(log_ratio):
    return oracles.clipped_policy_loss(
      log_ratio, [[0.0]], [[advantage]], [[True]], CLIP
    )

  held = np.array([[np.clip(gap, -LIMIT, LIMIT)]])
  want = exact(held)
  (rate,) = oracles.finite_differences(lambda x: exact(x)['total'], held)[0]
  is_beyond = abs(gap) > LIMIT
  tolerance = PRECISIONS[dtype]
  np.testing.assert_allclose(loss, want['total'], rtol=tolerance)
  for name in ('ratio', 'log_ratio', 'approx_kl'):
    np.testing.assert_allclose(
      metrics[f'ppo/{name}'], [want[name], 1], rtol=tolerance
    )
  assert metrics['ppo/clip_fraction'][0] == 1
  # Central differences with a step of 1e-5 are good to 1e-9.
  np.testing.assert_allclose(slope, 0 if is_beyond else rate, rtol=1e-6)
  is_bound = (gap > 0) == (advantage > 0)
  assert (slope == 0) == (is_bound or is_beyond)


@each_gap
@each_precision
def test_the_estimate_k3(gap, dtype):
  with precision(dtype):
    found = jax.tree.map(
      np.asarray,
      ppo.kl_estimates(one(OLD, dtype), one(OLD + gap, dtype), real()),
    )
  # Here the ratio is π0/π, so that log π/π0 is minus the gap.
  want = math.expm1(np.clip(gap, -LIMIT, LIMIT)) - gap
  if abs(gap) <= LIMIT:
    exact = oracles.kl_estimates([[0.0]], [[gap]], [[True]])
    np.testing.assert_allclose(exact['k3'], want, rtol=1e-12)
  np.testing.assert_allclose(found['k1'], -gap, rtol=0)
  np.testing.assert_allclose(found['k3'], want, rtol=PRECISIONS[dtype])


@pytest.mark.parametrize('gap', [np.inf, -np.inf, np.nan])
@pytest.mark.parametrize('advantage', [2.0, -2.0, 0.0])
def test_an_infinite_log_ratio_is_a_loss_of_nan(gap, advantage):
  loss, metrics, _ = policy_loss(gap, advantage)
  assert np.isnan(loss)
  for name in ('ratio', 'log_ratio', 'approx_kl'):
    assert np.isnan(metrics[f'ppo/{name}'][0])


@pytest.mark.parametrize('gap', [np.inf, -np.inf])
def test_an_infinite_log_ratio_is_an_estimate_that_is_not_finite(gap):
  found = ppo.kl_estimates(
    one(OLD, 'float32'), one(gap, 'float32'), real()
  ).values()
  assert not any(np.isfinite(estimate).any() for estimate in found)


@pytest.mark.parametrize('gap', [1e4, -1e4, np.inf, -np.inf])
def test_only_an_infinite_one_has_its_update_skipped(gap):
  """One token of three is far off; the others would train."""
  tx = optax.sgd(0.1)
  params = {'log_probs': jnp.asarray([[OLD + 0.1, OLD + gap, OLD]])}
  old = jnp.full((1, 3), OLD, jnp.float32)
  # At +1e4 the clip binds; at -1e4 a negative advantage has a flat loss.
  advantages = jnp.asarray([[1.0, np.sign(gap), -1.0]], jnp.float32)

  def loss(params, batch):
    return ppo.clipped_policy_loss(
      params['log_probs'], old, advantages, jnp.ones((1, 3), bool), CLIP
    )

  state = state_lib.init_state(params, tx)
  after, metrics = state_lib.loss_step(loss, state, (), tx)
  row = metrics_lib.to_numbers(metrics)
  is_skipped = not math.isfinite(gap)
  assert row['train/skipped'] == is_skipped
  assert bool(soundness.faults(row)) == is_skipped
  moved = np.asarray(after.params['log_probs'] != params['log_probs'])
  assert moved.tolist() == [[not is_skipped, False, not is_skipped]]
