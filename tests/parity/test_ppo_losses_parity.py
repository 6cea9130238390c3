"""The clipped policy and value losses against loops over tokens."""

import functools

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import strategies as st

from hh_jax.losses import ppo
from tests.parity import cases, oracles

ROWS, COLUMNS = 3, 5
CLIP = 0.2

policy_loss = functools.partial(
  jax.jit(ppo.clipped_policy_loss, static_argnames='clip_range'),
  clip_range=CLIP,
)
value_loss = jax.jit(ppo.clipped_value_loss, static_argnames='clip_range')

rows = cases.lengths_mask(ROWS, COLUMNS)
numbers = functools.partial(cases.arrays, (ROWS, COLUMNS))
log_probs = cases.log_prob_arrays((ROWS, COLUMNS))
random_rollout = functools.partial(cases.random_rollout, ROWS, COLUMNS)


# What rounding justifies in float32. The inputs are float32 numbers: their
# difference x is known to 2^-24 |x| with |x| <= 3, its exponential to 2^-22 and
# what x brought, the product to 2^-24, and a sum of 15 terms loses 2^-21 of
# their magnitudes. Together 1e-6 of the sum of magnitudes, twice for safety.
ROUNDING = {cases.FLOAT32_TOLERANCE: 2e-6, cases.FLOAT64_TOLERANCE: 1e-12}
SMALLEST = 1e-30  # numbers of which float32 loses digits, or flushes them


@hypothesis.given(log_probs, numbers(3.0), numbers(1e4), rows)
@cases.parity_settings
def test_clipped_policy_loss(old, gap, advantage, mask):
  new = cases.nearby(old, gap)
  args = new, old, advantage, mask
  want = oracles.clipped_policy_loss(*args, CLIP)
  x = (new.astype(np.float64) - old)[mask]
  ratio, sizes = np.exp(x), np.abs(advantage[mask].astype(np.float64))
  scales = {
    'total': (sizes * np.maximum(ratio, 1 - CLIP)).sum(),
    'ratio': ratio.sum(),
    'log_ratio': np.abs(x).sum(),
    'approx_kl': (np.abs(np.expm1(x)) + np.abs(x)).sum(),
  }
  for loss, tolerance in cases.in_both_precisions(policy_loss, *args):

    def near(actual, name, tolerance=ROUNDING[tolerance]):
      cases.assert_close(
        actual,
        want[name],
        scale=scales[name],
        tolerance=tolerance,
        floor=SMALLEST,
      )

    assert float(loss.weight) == want['weight']
    near(loss.total, 'total')
    near(loss.metrics['ppo/policy_loss'][0], 'total')
    for name in ('ratio', 'log_ratio', 'approx_kl'):
      total, weight = loss.metrics[f'ppo/{name}']
      near(total, name)
      assert float(weight) == want['weight']


@hypothesis.given(log_probs, numbers(3.0), numbers(5.0), rows)
@cases.parity_settings
def test_clip_fraction(old, gap, advantage, mask):
  new = cases.nearby(old, gap)
  distance = np.abs(np.exp(new.astype(np.float64) - old) - 1)
  hypothesis.assume((np.abs(distance - CLIP) > 1e-4)[mask].all())
  args = new, old, advantage, mask
  want = oracles.clipped_policy_loss(*args, CLIP)
  for loss, _ in cases.in_both_precisions(policy_loss, *args):
    found = loss.metrics['ppo/clip_fraction']
    assert found.tolist() == [want['outside'], want['weight']]


def test_policy_loss_at_ratio_one_is_minus_the_advantages():
  log_p, *_, advantage, _, _, mask = random_rollout(5)
  log_p, advantage = np.float32(log_p), np.float32(advantage)
  total, grad = jax.value_and_grad(
    lambda x: policy_loss(x, log_p, advantage, mask).total
  )(log_p)
  cases.assert_close(total, -advantage[mask].sum())
  np.testing.assert_allclose(grad, np.where(mask, -advantage, 0), atol=1e-6)


@pytest.mark.parametrize(('sign', 'far'), [(1, 1.0), (-1, -1.0)])
def test_no_gradient_where_the_clip_binds_and_some_where_it_does_not(sign, far):
  old = jnp.full((1, 1), -2.0, jnp.float32)
  advantage = jnp.full((1, 1), sign, jnp.float32)
  real = jnp.ones((1, 1), bool)
  grad = jax.grad(lambda x: policy_loss(x, old, advantage, real).total)
  assert float(grad(old + far)[0, 0]) == 0
  assert float(grad(old - far)[0, 0]) != 0


def test_policy_gradient_is_the_finite_difference():
  log_p, old, _, advantage, *_, mask = random_rollout(6)
  got = jax.grad(
    lambda x: policy_loss(x, np.float32(old), np.float32(advantage), mask).total
  )(jnp.float32(log_p))
  want = oracles.finite_differences(
    lambda x: oracles.clipped_policy_loss(x, old, advantage, mask, CLIP)[
      'total'
    ],
    log_p,
  )
  assert (want == 0).any(), 'some ratio must be clipped'
  cases.assert_close(got, want, scale=np.abs(want).max())


@hypothesis.given(
  numbers(1e3),
  numbers(1e3),
  numbers(1e3),
  rows,
  st.sampled_from([0.0, 0.2, 5.0]),
)
@cases.parity_settings
def test_clipped_value_loss(values, old, returns, mask, clip_range):
  # Both sides clip by the same float32 number.
  clip_range = float(np.float32(clip_range))
  args = values, old, returns, mask
  want = oracles.clipped_value_loss(*args, clip_range)
  for loss, tolerance in cases.in_both_precisions(
    value_loss, *args, clip_range=clip_range
  ):
    cases.assert_close(loss.total, want, scale=want, tolerance=tolerance)
    cases.assert_close(loss.weight, mask.sum())


@pytest.mark.parametrize('clip_range', [0.0, 0.2])
def test_value_gradient_is_the_finite_difference(clip_range):
  *_, old, values, returns, mask = random_rollout(8)
  got = jax.grad(
    lambda x: (
      value_loss(
        x, np.float32(old), np.float32(returns), mask, clip_range=clip_range
      ).total
    )
  )(jnp.float32(values))
  want = oracles.finite_differences(
    lambda x: oracles.clipped_value_loss(x, old, returns, mask, clip_range),
    values,
  )
  cases.assert_close(got, want)
  assert (want[mask] != 0).any()


def test_masked_tokens_stop_no_gradient_with_infinities():
  mask = np.array([[True, False]])
  old = jnp.array([[-1.0, -1e4]], jnp.float32)
  new = jnp.array([[-1.1, 0.0]], jnp.float32)
  advantage = jnp.array([[1.0, -1.0]], jnp.float32)
  total, grad = jax.value_and_grad(
    lambda x: policy_loss(x, old, advantage, mask).total
  )(new)
  assert np.isfinite(total)
  assert np.isfinite(grad).all()
  assert grad[0, 0] != 0 and grad[0, 1] == 0


@pytest.mark.parametrize('loss', ['policy', 'value'])
def test_all_masked_gives_zero(loss):
  junk = np.full((ROWS, COLUMNS), 1e4, np.float32)
  mask = np.zeros((ROWS, COLUMNS), bool)
  out = (
    policy_loss(junk, -junk, junk, mask)
    if loss == 'policy'
    else value_loss(junk, -junk, junk, mask, clip_range=CLIP)
  )
  assert float(out.total) == 0
  assert float(out.weight) == 0
  assert all((np.asarray(m) == 0).all() for m in out.metrics.values())


@pytest.mark.parametrize('loss', ['policy', 'value'])
@pytest.mark.parametrize('junk', [np.nan, np.inf, -1e4])
def test_junk_off_the_mask_reaches_neither_loss_nor_gradient(loss, junk):
  log_p, old, _, rewards, values, returns, mask = random_rollout(11)
  chosen = {
    'policy': (policy_loss, log_p, old, rewards),
    'value': (
      functools.partial(value_loss, clip_range=CLIP),
      values,
      rewards,
      returns,
    ),
  }[loss]
  function, *inputs = chosen
  clean = [np.float32(np.where(mask, x, 0)) for x in inputs]
  dirty = [np.float32(np.where(mask, x, junk)) for x in inputs]
  run = jax.value_and_grad(lambda *xs: function(*xs, mask).total)
  (total, grad), (junk_total, junk_grad) = run(*clean), run(*dirty)
  np.testing.assert_array_equal(junk_total, total)
  np.testing.assert_array_equal(junk_grad, grad)
  assert np.isfinite(grad).all() and (grad != 0).any()
