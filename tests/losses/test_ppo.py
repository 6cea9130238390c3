"""Rewards, advantages, whitening and clipping by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hh_jax.losses import gae, ppo

MASK = jnp.asarray(
  [[True, True, True], [True, False, False], [False, False, False]]
)


@pytest.fixture(autouse=True)
def strict_promotion():
  with jax.numpy_dtype_promotion('strict'):
    yield


def normal(seed, shape=MASK.shape):
  rng = np.random.default_rng(seed)
  return jnp.asarray(rng.normal(size=shape), jnp.float32)


def floats(*values):
  return jnp.asarray(values, jnp.float32)


def test_score_lands_on_the_last_token_and_penalty_on_each():
  scores = floats(5.0, -2.0, 100.0)
  log_probs, ref = normal(0), normal(1)
  got = np.asarray(ppo.token_rewards(scores, log_probs, ref, MASK, 0.1))
  penalty = -0.1 * np.asarray(log_probs - ref)
  want = np.zeros((3, 3), np.float32)
  want[0], want[1, 0] = penalty[0], penalty[1, 0]
  want[0, 2] += 5.0
  want[1, 0] -= 2.0
  np.testing.assert_allclose(got, want, rtol=1e-5)
  np.testing.assert_array_equal(got[2], 0.0)


def test_the_coefficient_may_be_traced():
  args = (floats(1.0, 2.0, 3.0), normal(0), normal(1), MASK)
  got = jax.jit(ppo.token_rewards)(*args, jnp.float32(0.3))
  np.testing.assert_allclose(got, ppo.token_rewards(*args, 0.3), rtol=1e-6)


def test_masked_rewards_and_values_are_not_read():
  rewards, values = normal(2), normal(3)
  clean = gae.advantages_and_returns(rewards, values, MASK, 0.9, 0.8)
  junk = jnp.float32(jnp.nan)
  dirty = gae.advantages_and_returns(
    jnp.where(MASK, rewards, junk),
    jnp.where(MASK, values, junk),
    MASK,
    0.9,
    0.8,
  )
  for got, want in zip(dirty, clean, strict=True):
    np.testing.assert_array_equal(got, want)
    assert (np.asarray(got)[~np.asarray(MASK)] == 0).all()


def test_advantages_by_hand():
  rewards, values = floats(1, 2, 4)[None], floats(3, 5, 7)[None]
  advantages, returns = gae.advantages_and_returns(
    rewards, values, jnp.ones((1, 3), bool), 0.5, 0.25
  )
  third = 4 - 7
  second = 2 + 0.5 * 7 - 5 + 0.125 * third
  first = 1 + 0.5 * 5 - 3 + 0.125 * second
  np.testing.assert_allclose(advantages[0], [first, second, third])
  np.testing.assert_allclose(returns[0], [first + 3, second + 5, third + 7])


def test_exact_values_leave_no_advantage():
  rewards = normal(4, (2, 5))
  discount = 0.9
  values = np.zeros((2, 6))
  for t in reversed(range(5)):
    values[:, t] = rewards[:, t] + discount * values[:, t + 1]
  values = jnp.asarray(values[:, :5], jnp.float32)
  advantages, returns = gae.advantages_and_returns(
    rewards, values, jnp.ones((2, 5), bool), discount, 0.95
  )
  np.testing.assert_allclose(advantages, 0.0, atol=1e-5)
  np.testing.assert_allclose(returns, values, atol=1e-5)


def test_whitened_entries_have_mean_zero_and_variance_one():
  x = 5.0 + 3.0 * normal(5, (4, 6))
  mask = jnp.arange(24).reshape(4, 6) % 5 != 0
  got = ppo.whiten(x, mask)
  real = np.asarray(got)[np.asarray(mask)]
  assert abs(real.mean()) < 1e-6
  assert abs(real.std() - 1) < 1e-5
  assert (np.asarray(got)[~np.asarray(mask)] == 0).all()
  moved = ppo.whiten(jnp.where(mask, x, 1e6), mask)
  np.testing.assert_array_equal(moved, got)


@pytest.mark.parametrize('num_real', [0, 1, 4])
def test_whitening_nothing_one_or_equal_entries_is_zero(num_real):
  mask = jnp.arange(4) < num_real
  got = ppo.whiten(jnp.full(4, 2.5, jnp.float32), mask)
  np.testing.assert_allclose(got, 0.0, atol=1e-3)


def test_whitened_rewards_keep_their_mean_and_their_mask():
  x = 3 * normal(7) + 5
  got = np.asarray(ppo.whiten(x, MASK, keeps_mean=True))
  real = np.asarray(MASK)
  before = np.asarray(x)[real]
  np.testing.assert_allclose(got[real].mean(), before.mean(), rtol=1e-5)
  np.testing.assert_allclose(got[real].std(), 1.0, rtol=1e-5)
  np.testing.assert_allclose(
    got[real] - before.mean(), (before - before.mean()) / before.std(), 1e-4
  )
  assert (got[~real] == 0).all()


@pytest.mark.parametrize(
  ('ratio', 'advantage', 'loss', 'slope', 'is_clipped'),
  [
    (1.0, 2.0, -2.0, -2.0, 0),
    (1.1, 2.0, -2.2, -2.2, 0),
    (1.5, 2.0, -2.4, 0.0, 1),
    (1.5, -2.0, 3.0, 3.0, 1),
    (0.5, 2.0, -1.0, -1.0, 1),
    (0.5, -2.0, 1.6, 0.0, 1),
  ],
)
def test_the_six_cases_of_clipping(ratio, advantage, loss, slope, is_clipped):
  one = jnp.ones(1, bool)

  def total(log_probs):
    out = ppo.clipped_policy_loss(
      log_probs, floats(-1.0), floats(advantage), one, 0.2
    )
    return out.total, out.metrics

  log_probs = floats(np.log(ratio) - 1.0)
  (value, metrics), grad = jax.value_and_grad(total, has_aux=True)(log_probs)
  assert float(value) == pytest.approx(loss, rel=1e-5)
  assert float(grad[0]) == pytest.approx(slope, rel=1e-5)
  assert float(metrics['ppo/clip_fraction'][0]) == is_clipped
  assert float(metrics['ppo/ratio'][0]) == pytest.approx(ratio, rel=1e-5)
  kl = ratio - 1 - np.log(ratio)
  assert float(metrics['ppo/approx_kl'][0]) == pytest.approx(kl, abs=1e-6)


def test_value_error_is_the_worse_of_plain_and_clipped():
  values, old, returns = floats(3.0, 3.0, 1.0), floats(1, 1, 1), floats(4, 0, 0)
  real = jnp.ones(3, bool)
  clipped = ppo.clipped_value_loss(values, old, returns, real, 0.5)
  # Clipped to 1.5: errors (1, 2.5), (3, 1.5), (1, 1).
  assert float(clipped.total) == pytest.approx(0.5 * (2.5**2 + 3**2 + 1))
  np.testing.assert_allclose(
    clipped.metrics['ppo/value_clip_fraction'], [2.0, 3.0]
  )
  plain = ppo.clipped_value_loss(values, old, returns, real, 0.0)
  assert float(plain.total) == pytest.approx(0.5 * (1 + 9 + 1))
  np.testing.assert_allclose(
    plain.metrics['ppo/value_clip_fraction'], [0.0, 3.0]
  )


def test_kl_estimates_are_sums_over_each_reply():
  log_probs, ref = normal(6), normal(7)
  got = ppo.kl_estimates(log_probs, ref, MASK)
  log_ratio = np.where(MASK, log_probs - ref, 0.0)
  np.testing.assert_allclose(got['k1'], log_ratio.sum(1), rtol=1e-5)
  k3 = np.expm1(-log_ratio) + log_ratio
  np.testing.assert_allclose(got['k3'], k3.sum(1), rtol=1e-4, atol=1e-6)
  assert float(got['k3'][2]) == 0


def test_both_estimates_average_to_the_exact_divergence():
  logits = normal(8, (2, 5))
  policy, ref = jax.nn.log_softmax(logits, axis=-1)
  real = jnp.ones((5, 1), bool)
  got = ppo.kl_estimates(policy[:, None], ref[:, None], real)
  exact = float(jnp.sum(jnp.exp(policy) * (policy - ref)))
  for name in ('k1', 'k3'):
    average = float(jnp.sum(jnp.exp(policy) * got[name]))
    assert average == pytest.approx(exact, rel=1e-4), name
