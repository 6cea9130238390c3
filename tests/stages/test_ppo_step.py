import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hh_jax.config import DataConfig, OptimizerConfig, RLHFConfig
from hh_jax.stages import ppo_iteration, ppo_step, rollout
from hh_jax.training import state as state_lib
from hh_jax.types import Rollout
from tests.stages import rollouts, toys

NUM = 6
CONFIG = RLHFConfig(
  data=DataConfig(batch_size=NUM, row_length=rollouts.ROW),
  sampling=rollouts.SAMPLING,
  optimizer=OptimizerConfig(lr_override=1e-2),
  minibatches=2,
  kl_coef=0.3,
  gae_lambda=0.9,
  discount=0.97,
)
NETWORKS = ppo_step.Networks(toys.MODEL, toys.MODEL, toys.MODEL)


@functools.lru_cache
def networks():
  params = {'policy': rollouts.eager_to_end(), 'value': toys.pm_params(3)}
  frozen = {'reference': toys.params(2), 'pm': toys.pm_params(4)}
  return params, frozen


def pack(examples, size=NUM):
  return rollout.pack_replies(
    rollouts.sampled(NUM), examples, toys.TOKENIZER, rollouts.ROW, size
  )


AGAIN = dataclasses.replace(CONFIG, recompute_log_probs=True)


@functools.lru_cache
def make_score(is_again=True):
  config = AGAIN if is_again else CONFIG
  return jax.jit(ppo_step.make_score(config, NETWORKS))


@functools.lru_cache
def read(is_again=True):
  return make_score(is_again)(*networks(), pack(range(NUM)))


def make_rollout(config=CONFIG):
  return ppo_iteration.as_rollout(
    rollouts.sampled(NUM), [read(config.recompute_log_probs)]
  )[0]


@functools.lru_cache
def make_goal(config=CONFIG):
  whole = make_rollout(config)
  targets = jax.jit(ppo_step.make_targets(config))
  return whole, *targets(whole, jnp.float32(0.25))


@functools.lru_cache
def make_update(value_lr_multiple=1.0):
  config = dataclasses.replace(CONFIG, value_lr_multiple=value_lr_multiple)
  tx = ppo_step.make_ppo_optimizer(config, NETWORKS)
  step = jax.jit(ppo_step.make_update(config, NETWORKS, tx))
  return step, state_lib.init_state(networks()[0], tx)


def update(config=CONFIG, examples=(4, 1, 3), times=1, value_lr_multiple=1.0):
  """Updates on a minibatch of the rollout that `config` describes."""
  step, state = make_update(value_lr_multiple)
  _, goal, _ = make_goal(config)
  for _ in range(times):
    state, metrics = step(state, pack(examples, 3), goal)
  return state, metrics


@pytest.mark.slow
def test_the_rollout_has_ended_and_unended_replies():
  replies = rollouts.sampled(NUM)
  assert 0 < replies.has_eot.sum() < NUM
  assert len(set(replies.num_tokens.tolist())) > 1


@pytest.mark.slow
def test_every_network_reads_what_it_would_read_alone():
  replies, found = rollouts.sampled(NUM), read()
  params, frozen = networks()
  temperature = rollouts.SAMPLING.temperature
  for e in range(NUM):
    prompt, count = replies.prompts[e], replies.num_tokens[e]
    reply = replies.tokens[e, :count]
    whole = np.concatenate([prompt, reply])
    before = slice(len(prompt) - 1, len(whole) - 1)
    for name, values in (
      ('log_probs', params['policy']),
      ('ref_log_probs', frozen['reference']),
    ):
      plain = toys.plain_log_probs(whole, values, temperature)[before]
      np.testing.assert_allclose(
        found[name][e, :count], plain[np.arange(count), reply], atol=2e-5
      )
    head = params['value']['score_head']
    states = toys.plain_hidden(whole, params['value'])[before]
    np.testing.assert_allclose(
      found['values'][e, :count],
      (states @ np.asarray(head['kernel']))[:, 0] + np.asarray(head['bias']),
      atol=2e-5,
    )
    np.testing.assert_allclose(
      found['scores'][e],
      toys.plain_score(prompt, replies.content(e), frozen['pm']),
      atol=2e-5,
    )


def test_targets_follow_the_formulas_token_by_token():
  whole, goal, _ = make_goal()
  mask = np.asarray(whole.mask)
  advantages = np.zeros(mask.shape)
  returns = np.zeros(mask.shape)
  for e in range(NUM):
    count = int(mask[e].sum())
    following = advantage = 0.0
    for t in reversed(range(count)):
      reward = -0.3 * float(whole.log_probs[e, t] - whole.ref_log_probs[e, t])
      if t == count - 1:
        reward += float(whole.scores[e]) - 0.25
      value = float(whole.values[e, t])
      error = reward + 0.97 * following - value
      advantage = error + 0.97 * 0.9 * advantage
      advantages[e, t], returns[e, t] = advantage, advantage + value
      following = value
  real = advantages[mask]
  white = np.where(mask, (advantages - real.mean()) / real.std(), 0.0)
  np.testing.assert_allclose(goal.returns, returns, atol=1e-4)
  np.testing.assert_allclose(goal.advantages, white, atol=1e-4)
  np.testing.assert_array_equal(goal.mask, mask)


def test_unwhitened_advantages_are_returns_less_values():
  plain = dataclasses.replace(CONFIG, whiten_advantages=False)
  whole, goal, _ = make_goal(plain)
  gap = jnp.where(whole.mask, goal.returns - whole.values, 0.0)
  np.testing.assert_allclose(goal.advantages, gap, atol=1e-5)


def test_a_fixed_score_replaces_that_of_replies_without_an_end():
  fixed = dataclasses.replace(
    CONFIG,
    missing_eot_score='fixed',
    missing_eot_value=-7.0,
    whiten_advantages=False,
    kl_coef=0.0,
    discount=1.0,
    gae_lambda=1.0,
  )
  whole, goal, _ = make_goal(fixed)
  first = np.asarray(goal.returns)[:, 0]
  ended = np.asarray(whole.has_eot)
  scores = np.asarray(whole.scores) - 0.25
  np.testing.assert_allclose(first[ended], scores[ended], atol=1e-5)
  np.testing.assert_allclose(first[~ended], -7.0, atol=1e-5)


def test_log_probs_that_are_read_again_replace_the_samplers():
  sampled = rollouts.sampled(NUM)
  own = jnp.where(sampled.mask, read()['log_probs'], 0.0)
  np.testing.assert_array_equal(make_rollout(AGAIN).log_probs, own)
  np.testing.assert_array_equal(make_rollout().log_probs, sampled.log_probs)
  for shift in (0.0, 0.5):
    off = dataclasses.replace(sampled, log_probs=sampled.log_probs - shift)
    _, metrics = ppo_iteration.as_rollout(off, [read()])
    mismatch = metrics[ppo_iteration.MISMATCH]
    np.testing.assert_allclose(mismatch, shift, atol=1e-4)


@pytest.mark.parametrize(
  'change, is_read',
  [
    ({}, False),
    ({'compute_dtype': 'bfloat16'}, True),
    ({'compute_dtype': 'bfloat16', 'cache_dtype': 'float32'}, True),
    ({'cache_dtype': 'bfloat16'}, True),
  ],
)
def test_in_low_precision_log_probs_are_read_again(change, is_read):
  policy = dataclasses.replace(toys.MODEL.config, **change)
  assert ppo_step.reads_policy(CONFIG, policy) == is_read
  assert ppo_step.reads_policy(AGAIN, policy)


def test_what_the_sampler_knows_is_not_computed_again():
  """Whole forward passes: of the reference, the values and the PM."""

  def num_passes(config):
    score = ppo_step.make_score(config, NETWORKS)
    found = jax.make_jaxpr(score)(*networks(), pack(range(NUM)))
    return sum(step.primitive.name == 'scan' for step in found.eqns)

  assert (num_passes(CONFIG), num_passes(AGAIN)) == (3, 4)


def test_without_reading_again_the_first_update_tells_the_mismatch():
  _, found = update()
  gap = jnp.abs(make_rollout(AGAIN).log_probs - make_rollout().log_probs)
  mask = np.asarray(make_rollout().mask)[[4, 1, 3]]
  expected = np.asarray(gap)[[4, 1, 3]][mask].mean()
  np.testing.assert_allclose(found['ppo/log_ratio'], expected, atol=2e-7)
  means = ppo_iteration.mean_metrics([found, update(times=4)[1]])
  joined = ppo_iteration.join_metrics({}, means)
  assert joined[ppo_iteration.MISMATCH] == found['ppo/log_ratio']
  judged = {ppo_iteration.MISMATCH: jnp.float32(0.25)}
  joined = ppo_iteration.join_metrics(judged, means)
  assert joined[ppo_iteration.MISMATCH] == 0.25


@pytest.mark.slow
def test_a_policy_that_moved_has_another_ratio():
  _, metrics = update(times=4)
  assert float(metrics['ppo/approx_kl']) > 1e-5


def test_a_minibatch_reads_its_own_rows_of_the_tables():
  """With ratio 1 the loss is -mean advantage of the replies in the batch."""
  examples = (4, 1, 3)
  _, metrics = update(examples=examples)
  _, goal, _ = make_goal()
  rows = np.asarray(examples)
  mask = np.asarray(goal.mask)[rows]
  expected = -np.asarray(goal.advantages)[rows][mask].mean()
  np.testing.assert_allclose(metrics['ppo/policy_loss'], expected, atol=1e-4)
  np.testing.assert_allclose(metrics['train/weight'], mask.sum())


def test_missing_examples_weigh_nothing():
  """The last slot is padding whose table row is 0; it must not count."""
  _, whole = update(examples=(4, 1))
  _, goal, _ = make_goal()
  assert whole['train/weight'] == np.asarray(goal.mask)[[4, 1]].sum()


def test_the_value_network_moves_towards_the_returns():
  first = update()[1]['ppo/value_loss']
  last = update(times=6)[1]['ppo/value_loss']
  assert last < first


def test_kl_estimates_of_the_rollout_are_sums_over_replies():
  whole, _, metrics = make_goal()
  mask = np.asarray(whole.mask)
  ratio = np.where(mask, whole.log_probs - whole.ref_log_probs, 0.0)
  np.testing.assert_allclose(
    metrics['rollout/kl_k1'], ratio.sum(1).mean(), rtol=1e-4, atol=1e-5
  )
  np.testing.assert_allclose(
    metrics['rollout/kl_k3'],
    (np.exp(-ratio) - 1 + ratio).sum(1).mean(),
    rtol=1e-3,
  )
  np.testing.assert_allclose(metrics['rollout/length'], mask.sum(1).mean())


def test_a_perfect_value_explains_everything():
  mask = jnp.ones((2, 3), bool)
  table = jnp.arange(6, dtype=jnp.float32).reshape(2, 3)
  perfect = Rollout(
    mask=mask,
    log_probs=table,
    ref_log_probs=table,
    values=table,
    scores=jnp.ones(2, jnp.float32),
    has_eot=jnp.ones(2, bool),
  )
  found = ppo_step.rollout_metrics(perfect, perfect.scores, table)
  assert found['rollout/value_explained'] == 1
  found = ppo_step.rollout_metrics(perfect, perfect.scores, table + 9)
  assert found['rollout/value_explained'] < 0


@pytest.mark.slow
def test_value_rate_is_a_multiple_of_the_policys():
  state, _ = update(value_lr_multiple=1e-12)
  params = networks()[0]
  moved = {
    name: max(
      float(jnp.abs(new - old).max())
      for new, old in zip(
        jax.tree.leaves(state.params[name]),
        jax.tree.leaves(params[name]),
        strict=True,
      )
    )
    for name in ('policy', 'value')
  }
  assert moved['policy'] > 1e-4
  assert moved['value'] < 1e-7


@pytest.mark.parametrize('t', [0, 1, 4])
def test_prompts_come_epoch_after_epoch(t):
  config = dataclasses.replace(
    CONFIG, data=dataclasses.replace(CONFIG.data, batch_size=4), minibatches=2
  )
  pool = rollout.PromptPool(
    tuple(np.array([3 + i]) for i in range(10)), np.arange(10)
  )

  def drawn(t):
    found = ppo_iteration.draw_prompts(config, pool, t)
    prompts = [int(ids[0]) - 3 for ids in found.prompts]
    np.testing.assert_array_equal(found.example_ids % 10, prompts)
    return found.example_ids.tolist()

  ids = [number for step in range(5) for number in drawn(step)]
  assert drawn(t) == ids[4 * t : 4 * t + 4]
  assert sorted(ids) == list(range(20))
  assert sorted(ids[:10]) == list(range(10))
  assert ids[:10] != [number - 10 for number in ids[10:]]
