"""PPO where every reply can be enumerated, and laws it may not break.

The bandit has two tokens: four first ones, three second ones each. A rollout
that holds every reply in exact proportion to its probability turns sample
means into expectations, so that gradients can be compared and not only tested.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hh_jax.config import ModelConfig, OptimizerConfig
from hh_jax.losses import gae, ppo
from hh_jax.training import optimizer
from hh_jax.training import state as state_lib
from hh_jax.types import LossSum
from tests.parity import cases
from tests.stages import toys, updates

FIRST, SECOND = 4, 3
COUNTS = np.array([[1, 2, 5], [4, 1, 1], [2, 2, 2], [6, 3, 3]])
REPLIES = np.array(
  [
    (first, second)
    for first in range(FIRST)
    for second in range(SECOND)
    for _ in range(COUNTS[first, second])
  ]
)
MASK = jnp.ones(REPLIES.shape, bool)
CLIP = 0.2
NUM_STEPS = 3


def start():
  """Logits of the first token, and of the second after each first one."""
  total = COUNTS.sum(1)
  return (
    jnp.log(jnp.asarray(total / total.sum(), jnp.float32)),
    jnp.log(jnp.asarray(COUNTS / total[:, None], jnp.float32)),
  )


def log_probs_of(logits):
  """Of both tokens of every reply of the rollout, [E, 2]."""
  first, second = (jax.nn.log_softmax(x) for x in logits)
  return jnp.stack(
    [first[REPLIES[:, 0]], second[REPLIES[:, 0], REPLIES[:, 1]]], axis=1
  )


def expected_score(logits, scores):
  """Σ π(reply) score(reply), over all replies."""
  first, second = (jax.nn.softmax(x) for x in logits)
  return jnp.sum(first[:, None] * second * scores)


def expected_kl(logits, reference):
  """KL(π || π0) over all replies, in nats."""
  joint = [
    jax.nn.log_softmax(first)[:, None] + jax.nn.log_softmax(second)
    for first, second in (logits, reference)
  ]
  return jnp.sum(jnp.exp(joint[0]) * (joint[0] - joint[1]))


@pytest.mark.parametrize('kl_coef', [0.0, 0.3])
@pytest.mark.parametrize('has_values', [False, True])
def test_the_first_gradient_is_that_of_the_expected_reward(kl_coef, has_values):
  rng = np.random.default_rng(0)
  scores = jnp.asarray(rng.normal(size=COUNTS.shape), jnp.float32)
  reference = tuple(
    x + jnp.asarray(rng.normal(size=x.shape), jnp.float32) for x in start()
  )
  old = log_probs_of(start())
  # Any value that depends on what came before the token moves no gradient.
  before = jnp.asarray(rng.normal(size=1 + FIRST), jnp.float32) * has_values
  values = jnp.stack(
    [jnp.full(len(REPLIES), before[0]), before[1 + REPLIES[:, 0]]], axis=1
  )
  rewards = ppo.token_rewards(
    scores[REPLIES[:, 0], REPLIES[:, 1]],
    old,
    log_probs_of(reference),
    MASK,
    kl_coef,
  )
  advantages, _ = gae.advantages_and_returns(rewards, values, MASK, 1.0, 1.0)

  def surrogate(logits):
    loss = ppo.clipped_policy_loss(
      log_probs_of(logits), old, advantages, MASK, CLIP
    )
    return loss.total / len(REPLIES)

  def objective(logits):
    penalty = kl_coef * expected_kl(logits, reference)
    return expected_score(logits, scores) - penalty

  ours, exact = jax.grad(surrogate)(start()), jax.grad(objective)(start())
  for mine, truth in zip(ours, exact, strict=True):
    assert np.abs(truth).max() > 0.01
    np.testing.assert_allclose(mine, -truth, atol=1e-6)


def test_a_shift_of_all_scores_leaves_whitened_advantages():
  log_p, _, ref, _, values, _, mask = rollout()
  scores = jnp.asarray([0.5, -1.0, 2.0], jnp.float32)

  def whitened(shift, gae_lambda):
    rewards = ppo.token_rewards(scores + shift, log_p, ref, mask, 0.1)
    advantages, _ = gae.advantages_and_returns(
      rewards, values, mask, 1.0, gae_lambda
    )
    return np.where(mask, ppo.whiten(advantages, mask), 0)

  np.testing.assert_allclose(whitened(8.0, 1.0), whitened(0.0, 1.0), atol=1e-5)
  # With λ < 1 the values bear part of the score, and the shift is seen.
  assert np.abs(whitened(8.0, 0.5) - whitened(0.0, 0.5)).max() > 0.1


def rollout():
  """log_probs, old, ref, rewards, values, returns in float32, and a mask."""
  *arrays, mask = cases.random_rollout(3, 5, seed=0)
  return *(jnp.asarray(x, jnp.float32) for x in arrays), jnp.asarray(mask)


def assert_between(slope, at, nearby):
  """A sub-gradient lies between the slopes on both sides of a point."""
  low, high = sorted([slope(at - nearby), slope(at + nearby)])
  slack = 3 * nearby * max(1.0, abs(low), abs(high))
  assert low - slack <= slope(at) <= high + slack, (low, slope(at), high)


@pytest.mark.parametrize('ratio', [0.8, 1.0, 1.2])
@pytest.mark.parametrize('advantage', [-1.5, 0.0, 1.5])
def test_policy_gradient_at_a_kink_is_a_sub_gradient(ratio, advantage):
  real = jnp.ones((1, 1), bool)

  def slope(log_ratio):
    def loss(x):
      return ppo.clipped_policy_loss(
        x, jnp.zeros_like(x), jnp.full_like(x, advantage), real, CLIP
      ).total

    return float(jax.grad(loss)(jnp.full((1, 1), log_ratio))[0, 0])

  assert_between(slope, np.log(np.float32(ratio)), np.float32(1e-3))


# A move to the edge of the range, and to where both errors are equal.
@pytest.mark.parametrize('move', [-CLIP, 0.0, CLIP, 0.8])
@pytest.mark.parametrize('target', [-1.0, 0.0, 0.5, 1.0])
def test_value_gradient_at_a_kink_is_a_sub_gradient(move, target):
  real = jnp.ones((1, 1), bool)

  def slope(value):
    def loss(x):
      return ppo.clipped_value_loss(
        x, jnp.zeros_like(x), jnp.full_like(x, target), real, CLIP
      ).total

    return float(jax.grad(loss)(jnp.full((1, 1), value))[0, 0])

  assert_between(slope, np.float32(move), np.float32(1e-3))


# Weight decay is scaled by the rate, so that it ends too.
ENDING = OptimizerConfig(lr_override=0.1, schedule='linear', weight_decay=0.1)


def test_a_rate_of_zero_leaves_parameters_bit_for_bit():
  """Where a linear schedule has ended."""
  tx = optimizer.make_optimizer(ENDING, ModelConfig(), NUM_STEPS)
  params = {'kernel': jax.random.normal(jax.random.key(0), (3, 3))}

  def loss(params, batch):
    total = jnp.sum(jnp.square(params['kernel'] - batch))
    return LossSum(total=total, weight=jnp.float32(9), metrics={})

  state, batch = state_lib.init_state(params, tx), jnp.ones((3, 3))
  for _ in range(NUM_STEPS):
    before = state
    state, _ = state_lib.loss_step(loss, state, batch, tx)
    assert (state.params['kernel'] != before.params['kernel']).any()
  after, metrics = state_lib.loss_step(loss, state, batch, tx)
  assert metrics['train/grad_norm'] > 0.1
  np.testing.assert_array_equal(after.params['kernel'], state.params['kernel'])


@pytest.mark.slow
def test_a_rate_of_zero_leaves_policy_and_value_network_bit_for_bit():
  # Two updates, after which the schedule has ended.
  config = dataclasses.replace(
    updates.CONFIG, optimizer=ENDING, num_iterations=1, minibatches=2
  )
  step, make_state, batch = updates.ppo_case(toys.MODEL, config)
  update, state = updates.quick_jit(step), make_state()
  hashes = [state_lib.state_sha256(state.params)]
  for _ in range(4):
    state, metrics = update(state, *batch)
    assert metrics['train/grad_norm'] > 1e-3
    assert metrics['train/skipped'] == 0
    hashes.append(state_lib.state_sha256(state.params))
  assert len(set(hashes[:3])) == 3
  assert len(set(hashes[2:])) == 1
