"""Knobs of PPO: whitened rewards, and a rate that halves."""

import dataclasses

import numpy as np
import optax

from hh_jax.stages import ppo_step
from tests.stages import test_ppo_step


def test_whitened_rewards_are_rewards_over_their_spread_about_their_mean():
  plain = dataclasses.replace(
    test_ppo_step.CONFIG, whiten_advantages=False, discount=1.0, gae_lambda=1.0
  )
  white = dataclasses.replace(plain, whiten_rewards=True)
  whole, goal, metrics = test_ppo_step.make_goal(plain)
  _, scaled, others = test_ppo_step.make_goal(white)
  mask = np.asarray(whole.mask)

  def rewards(returns):
    """Of a return that is the sum of what follows."""
    following = np.pad(np.where(mask, returns, 0.0)[:, 1:], ((0, 0), (0, 1)))
    return (np.asarray(returns) - following)[mask]

  raw = rewards(goal.returns)
  expected = (raw - raw.mean()) / raw.std() + raw.mean()
  np.testing.assert_allclose(rewards(scaled.returns), expected, atol=1e-4)
  assert abs(raw.std() - 1) > 0.1
  # What people look at stays in units of the score.
  np.testing.assert_array_equal(
    others['rollout/score'], metrics['rollout/score']
  )


def test_the_rate_halves_by_samples(monkeypatch):
  asked = []
  monkeypatch.setattr(
    ppo_step.optimizer,
    'make_optimizer',
    lambda cfg, model, total, halving: asked.append((total, halving)),
  )
  monkeypatch.setattr(
    ppo_step.optax, 'partition', lambda *args: optax.identity()
  )
  config = dataclasses.replace(
    test_ppo_step.CONFIG,
    num_iterations=10,
    passes=3,
    lr_halving=2 * test_ppo_step.NUM,
  )
  ppo_step.make_ppo_optimizer(config, test_ppo_step.NETWORKS)
  # Of either network: 3 passes of 2 updates on each of 10 rollouts.
  assert asked == [(60, 12)] * 2
