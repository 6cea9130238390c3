"""Before its first step the policy is the one that sampled: ρ = 1.

A mean of ratios hides errors that cancel, so every token is looked at on its
own. The update itself is asked: with a mask of one token its `ppo/log_ratio`
is the |log ρ| of that token.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hh_jax.models import ladder
from hh_jax.stages import ppo_iteration, ppo_step
from hh_jax.training import state as state_lib
from tests.stages import rollouts, test_ppo_step, toys

pytestmark = pytest.mark.slow

NUM = test_ppo_step.NUM
EXAMPLES = (4, 1, 3)
LOW = ladder.build(
  dataclasses.replace(toys.MODEL.config, compute_dtype='bfloat16')
)


@functools.lru_cache
def low_precision():
  """Update, state and targets of networks that compute in bfloat16."""
  config = test_ppo_step.CONFIG
  networks = ppo_step.Networks(LOW, LOW, LOW)
  score = jax.jit(ppo_step.make_score(config, networks))
  read = score(*test_ppo_step.networks(), test_ppo_step.pack(range(NUM)))
  whole, metrics = ppo_iteration.as_rollout(rollouts.sampled(NUM), [read])
  assert metrics[ppo_iteration.MISMATCH] > 1e-3, 'float32 sampled'
  goal, _ = ppo_step.make_targets(config)(whole, jnp.float32(0.25))
  tx = ppo_step.make_ppo_optimizer(config, networks)
  step = jax.jit(ppo_step.make_update(config, networks, tx))
  return step, state_lib.init_state(test_ppo_step.networks()[0], tx), goal


def case(name):
  if name == 'read again in bfloat16':
    return low_precision()
  config = {
    'sampled': test_ppo_step.CONFIG,
    'read again': test_ppo_step.AGAIN,
  }[name]
  return *test_ppo_step.make_update(), test_ppo_step.make_goal(config)[1]


@pytest.mark.parametrize(
  ('name', 'mean', 'worst'),
  [
    ('sampled', 1e-4, 1e-4),
    ('read again', 1e-6, 3e-6),
    ('read again in bfloat16', 1e-6, 3e-6),
  ],
)
def test_the_first_ratio_of_every_token_is_one(name, mean, worst):
  step, state, goal = case(name)
  batch = test_ppo_step.pack(EXAMPLES, len(EXAMPLES))
  _, metrics = step(state, batch, goal)
  assert metrics['ppo/log_ratio'] <= mean
  assert metrics['ppo/clip_fraction'] == 0
  found = []
  for e, t in np.argwhere(np.asarray(goal.mask)):
    if e in EXAMPLES:
      alone = jnp.zeros(goal.mask.shape, bool).at[e, t].set(True)
      _, metrics = step(state, batch, goal.replace(mask=alone))
      assert metrics['train/weight'] == 1
      found.append(float(metrics['ppo/log_ratio']))
  assert len(found) > 6
  assert max(found) <= worst, found


def test_errors_that_cancel_in_the_mean_ratio_are_seen():
  step, state, goal = case('read again')
  is_odd = np.cumsum(np.asarray(goal.mask), axis=1) % 2
  error = jnp.asarray(np.where(is_odd, 3e-3, -3e-3), jnp.float32)
  moved = goal.replace(log_probs=goal.log_probs + error)
  _, metrics = step(state, test_ppo_step.pack(EXAMPLES, 3), moved)
  np.testing.assert_allclose(metrics['ppo/ratio'], 1.0, atol=1e-3)
  np.testing.assert_allclose(metrics['ppo/log_ratio'], 3e-3, atol=1e-5)
