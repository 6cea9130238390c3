"""Rewards, GAE, whitening and the PPO losses against loops over tokens."""

import functools
import math

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import strategies as st

from hh_jax.losses import gae, ppo
from tests.parity import cases, oracles

ROWS, COLUMNS = 3, 5

token_rewards = jax.jit(ppo.token_rewards)
advantages = jax.jit(
  gae.advantages_and_returns, static_argnames=('discount', 'gae_lambda')
)
whiten = jax.jit(ppo.whiten)
kl_estimates = jax.jit(ppo.kl_estimates)

rows = cases.lengths_mask(ROWS, COLUMNS)
numbers = functools.partial(cases.arrays, (ROWS, COLUMNS))
log_probs = cases.log_prob_arrays((ROWS, COLUMNS))
random_rollout = functools.partial(cases.random_rollout, ROWS, COLUMNS)


@hypothesis.given(
  cases.arrays((ROWS,), 1e4),
  log_probs,
  log_probs,
  rows,
  st.sampled_from([0.0, 0.001, 0.25, 2.0]),
)
@cases.parity_settings
def test_token_rewards(scores, log_p, ref, mask, kl_coef):
  args = scores, log_p, ref, mask, float(np.float32(kl_coef))
  want = oracles.token_rewards(*args)
  for got, tolerance in cases.in_both_precisions(token_rewards, *args):
    cases.assert_close(got, want, tolerance=tolerance)
    assert (np.asarray(got)[~mask] == 0).all()


@hypothesis.given(
  cases.arrays((ROWS,), 50.0),
  log_probs,
  log_probs,
  rows,
  st.sampled_from([0.0, 0.001, 0.25]),
)
@cases.parity_settings
def test_rewards_add_up_to_score_minus_penalty(
  scores, log_p, ref, mask, kl_coef
):
  rewards = token_rewards(scores, log_p, ref, mask, np.float32(kl_coef))
  k1 = kl_estimates(log_p, ref, mask)['k1']
  has_tokens = mask.any(1)
  want = np.where(has_tokens, scores - kl_coef * np.asarray(k1), 0.0)
  cases.assert_close(
    rewards.sum(1), want, scale=cases.magnitude(scores, log_p, ref)
  )


def test_no_penalty_without_coefficient_even_against_a_broken_reference():
  log_p, _, ref, *_, mask = (np.float32(x) for x in random_rollout(0))
  mask = mask > 0
  scores = np.array([1.5, -2.0, 0.25], np.float32)
  free = token_rewards(scores, log_p, ref, mask, np.float32(0))
  other = token_rewards(scores, log_p, ref - 1e4, mask, np.float32(0))
  np.testing.assert_array_equal(free, other)
  nowhere = np.full_like(ref, -np.inf)
  arrays = [jnp.asarray(x) for x in (scores, log_p, nowhere, mask)]
  for rewards in (token_rewards, ppo.token_rewards):  # traced, and plain
    np.testing.assert_array_equal(free, rewards(*arrays, 0.0))
  assert (np.count_nonzero(free, axis=1) == 1).all()
  charged = token_rewards(scores, log_p, ref, mask, np.float32(0.5))
  assert np.abs(np.asarray(charged) - np.asarray(free)).max() > 0.1


def test_the_only_token_of_a_reply_carries_penalty_and_score():
  got = token_rewards(
    np.float32([2.0]),
    np.float32([[-1.0, -9.0]]),
    np.float32([[-3.0, 0.0]]),
    np.array([[True, False]]),
    np.float32(0.5),
  )
  np.testing.assert_allclose(got, [[2.0 - 0.5 * 2.0, 0.0]])


@hypothesis.given(
  numbers(1e4),
  numbers(1e4),
  rows,
  st.sampled_from([0.0, 0.9, 1.0]),
  st.sampled_from([0.0, 0.95, 1.0]),
)
@cases.parity_settings
def test_advantages_and_returns(rewards, values, mask, discount, gae_lambda):
  args = rewards, values, mask, discount, gae_lambda
  want = oracles.advantages_and_returns(*args)
  scale = cases.magnitude(rewards[mask], values[mask])
  for got, tolerance in cases.in_both_precisions(
    advantages, rewards, values, mask, discount=discount, gae_lambda=gae_lambda
  ):
    for ours, theirs in zip(got, want, strict=True):
      cases.assert_close(ours, theirs, scale=scale, tolerance=tolerance)


@hypothesis.given(numbers(50.0), numbers(50.0), numbers(1e4), rows)
@cases.parity_settings
def test_what_lies_after_the_end_changes_no_advantage(
  rewards, values, junk, mask
):
  clean = advantages(rewards, values, mask, 1.0, 0.95)
  dirty = advantages(
    np.where(mask, rewards, junk),
    np.where(mask, values, junk),
    mask,
    1.0,
    0.95,
  )
  for first, second in zip(clean, dirty, strict=True):
    np.testing.assert_array_equal(
      np.asarray(first)[mask], np.asarray(second)[mask]
    )


def test_closed_forms_of_the_two_ends_of_lambda():
  *_, rewards, values, _, mask = random_rollout(2)
  args = [np.float32(rewards), np.float32(values), mask, 1.0]
  one_step, _ = advantages(*args, 0.0)
  _, monte_carlo = advantages(*args, 1.0)
  for e in range(ROWS):
    length = mask[e].sum()
    padded = np.append(values[e, :length], 0)
    np.testing.assert_allclose(
      one_step[e, :length],
      rewards[e, :length] + padded[1:] - padded[:-1],
      rtol=1e-5,
      atol=1e-5,
    )
    np.testing.assert_allclose(
      monte_carlo[e, :length],
      np.cumsum(rewards[e, :length][::-1])[::-1],
      rtol=1e-5,
      atol=1e-5,
    )


# A mean of float32 numbers is known to 2^-22 of the largest, 2e-7, and of
# float64 numbers to 2^-51; divided by the spread that is the error of what was
# whitened, and beside a spread that small nothing is known.
MEAN_ROUNDING = {
  cases.FLOAT32_TOLERANCE: 2.0**-22,
  cases.FLOAT64_TOLERANCE: 2.0**-51,
}


@hypothesis.given(numbers(1e4), rows)
@cases.parity_settings
def test_whiten(xs, mask):
  """Nothing real, one number and ties included."""
  want = oracles.whiten(xs, mask, ppo.WHITEN_EPS)
  real = xs[mask].astype(np.float64)
  spread = np.sqrt((real.var() if real.size else 0.0) + ppo.WHITEN_EPS)
  largest = np.abs(real).max(initial=0.0)
  for got, precision in cases.in_both_precisions(whiten, xs, mask):
    tolerance = 4 * MEAN_ROUNDING[precision]
    cases.assert_close(got, want, scale=largest / spread, tolerance=tolerance)
    got = np.asarray(got)
    assert (got[~mask] == 0).all()
    if spread > max(1e-2, 1e-2 * largest):
      assert abs(got[mask].mean()) < 1e-4
      assert got[mask].std() == pytest.approx(1, abs=1e-4)


@hypothesis.given(cases.floats(2.0), rows)
@cases.parity_settings
def test_tied_numbers_are_whitened_to_nothing(tie, mask):
  xs = np.full(mask.shape, tie, np.float32)
  for got, precision in cases.in_both_precisions(whiten, xs, mask):
    error = MEAN_ROUNDING[precision] * abs(tie) / np.sqrt(ppo.WHITEN_EPS)
    assert np.abs(got).max() <= error < 1e-2


def test_whitening_ignores_shift_and_positive_scale():
  *_, xs, _, _, mask = random_rollout(3)
  xs = np.float32(xs)
  plain = np.where(mask, whiten(xs, mask), 0)
  assert np.abs(plain - xs)[mask].max() > 0.05
  shifted = np.where(mask, whiten(xs + np.float32(8), mask), 0)
  scaled = np.where(mask, whiten(xs * np.float32(32), mask), 0)
  np.testing.assert_allclose(shifted, plain, atol=2e-5)
  np.testing.assert_allclose(scaled, plain, atol=2e-5)


@pytest.mark.parametrize('length', [0, 1, COLUMNS])
def test_whitening_of_nothing_one_or_equal_numbers_is_zero(length):
  mask = np.zeros((ROWS, COLUMNS), bool)
  mask[0, :length] = True
  got = np.asarray(whiten(np.full(mask.shape, 7.25, np.float32), mask))
  np.testing.assert_allclose(got[mask], 0, atol=1e-4)
  assert np.isfinite(got).all()


@hypothesis.given(log_probs, numbers(3.0), rows)
@cases.parity_settings
def test_kl_estimates(log_p, gap, mask):
  ref = cases.nearby(log_p, gap)
  want = oracles.kl_estimates(log_p, ref, mask)
  for got, tolerance in cases.in_both_precisions(
    kl_estimates, log_p, ref, mask
  ):
    near = functools.partial(cases.assert_close, tolerance=tolerance)
    near(got['k1'], want['k1'], scale=cases.magnitude(log_p))
    near(got['k3'], want['k3'], scale=20 * COLUMNS)
    assert (np.asarray(got['k3']) >= -tolerance).all()


def test_equal_policies_have_no_kl_and_a_tiny_change_a_quadratic_one():
  log_p, *_, mask = random_rollout(10)
  log_p = np.float32(log_p)
  same = kl_estimates(log_p, log_p, mask)
  assert all((np.asarray(x) == 0).all() for x in same.values())
  moved = kl_estimates(np.zeros_like(log_p), np.full_like(log_p, 2**-7), mask)
  expected = mask.sum(1) * (math.expm1(2**-7) - 2**-7)
  np.testing.assert_allclose(moved['k3'], expected, rtol=1e-2)


@pytest.mark.parametrize('junk', [np.nan, -np.inf, 1e4])
def test_junk_off_the_mask_reaches_no_reward_advantage_or_estimate(junk):
  log_p, _, ref, rewards, values, _, mask = random_rollout(12)
  inputs = (log_p, ref, rewards, values)
  scores = np.float32([1.0, 2.0, 3.0])

  def everything(log_p, ref, rewards, values):
    return (
      token_rewards(scores, log_p, ref, mask, np.float32(0.1)),
      *advantages(rewards, values, mask, 1.0, 0.95),
      *kl_estimates(log_p, ref, mask).values(),
      np.where(mask, whiten(values, mask), 0),
    )

  clean = everything(*(np.float32(np.where(mask, x, 0)) for x in inputs))
  dirty = everything(*(np.float32(np.where(mask, x, junk)) for x in inputs))
  for ours, theirs in zip(dirty, clean, strict=True):
    np.testing.assert_array_equal(ours, theirs)
    assert (np.asarray(theirs) != 0).any()
