"""One PPO rollout as TRL 1.12.0 trained on it; golden/make_trl_ppo.py.

1. On replies of full length both do the same: rewards, advantages, three
   updates, and the weights at the end.
2. On replies that ended early they differ by design: TRL puts the score on
   the pad after end-of-text and trains the value there; here the score is on
   end-of-text, the last token of the reply, and nothing lies behind it.
3. Names that mean different things are recomputed here as TRL defines them:
   its clip fraction counts losses that the clip changed, its approximate KL is
   half the squared log-ratio, its whitening divides by N - 1.
"""

import dataclasses
import functools
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from hh_jax.config import (
  DataConfig,
  ModelConfig,
  OptimizerConfig,
  RLHFConfig,
  SamplingConfig,
)
from hh_jax.data import tokenizer as tokenizer_lib
from hh_jax.losses import ppo
from hh_jax.models import heads, ladder, public_weights, readout
from hh_jax.ops import arrays
from hh_jax.stages import ppo_step, rollout
from hh_jax.training import state as state_lib
from hh_jax.types import Rollout
from tests.data import samples

pytestmark = pytest.mark.slow

FOLDER = pathlib.Path(__file__).parent / 'golden/trl_ppo'
NUM, PROMPT, REPLY, EPOCHS = 8, 6, 5, 3
EOT = tokenizer_lib.EOT_ID
MODEL = ModelConfig(
  num_layers=2,
  model_dim=16,
  num_heads=4,
  ffn_dim=24,
  vocab_size=24,
  norm='layer',
  mlp='gelu',
  parallel_residual=True,
  qkv_bias=True,
  out_bias=True,
  mlp_bias=True,
  rotary_fraction=0.5,
  tied_embedding=False,
)
CONFIG = RLHFConfig(
  data=DataConfig(batch_size=NUM, row_length=32),
  sampling=SamplingConfig(max_new_tokens=REPLY, temperature=0.8),
  optimizer=OptimizerConfig(
    lr_override=0.01,
    beta1=0.9,
    beta2=0.999,
    eps=1e-8,
    weight_decay=0.0,
    clip_norm=1e9,
    schedule='constant',
  ),
  minibatches=1,
  passes=EPOCHS,
  num_iterations=1,
  kl_coef=0.05,
  gae_lambda=0.9,
  discount=0.97,
  value_coef=0.5,
  center_scores=False,
  recompute_log_probs=True,  # the replies are given, not sampled
)
NETWORKS = ppo_step.Networks(*[ladder.build(MODEL)] * 3)


forward = jax.jit(ladder.forward, static_argnums=0)


@functools.lru_cache
def golden(name):
  return dict(np.load(FOLDER / f'{name}.npz'))


def network(found, role):
  """Our tree of one of TRL's networks, with its head if it has one."""
  start = f'{role}/'
  tensors = {
    key.removeprefix(start): tensor
    for key, tensor in found.items()
    if key.startswith(start)
  }
  head = tensors.pop('score.weight', None)
  unembed = tensors.pop('lm_head.weight', np.zeros((24, 16), np.float32))
  tensors['embed_out.weight'] = unembed  # its name in files
  params = public_weights.from_public('gpt_neox', MODEL, tensors)
  if head is None:
    return params
  score_head = {'kernel': head.T, 'bias': np.zeros(1, np.float32)}
  return {**params, 'score_head': score_head}


@functools.lru_cache
def networks(name):
  found = golden(name)
  params = {role: network(found, role) for role in ('policy', 'value')}
  frozen = {
    'reference': network(found, 'ref'),
    'pm': network(found, 'reward'),
  }
  return jax.tree.map(jnp.asarray, (params, frozen))


@functools.lru_cache
def replies(name):
  """The given replies, cut after their end-of-text."""
  found = golden(name)
  tokens = found['replies'][found['order']].astype(np.int32)
  is_end = tokens == EOT
  has_eot = is_end.any(1)
  counts = np.where(has_eot, is_end.argmax(1) + 1, REPLY).astype(np.int32)
  tokens = np.where(np.arange(REPLY) < counts[:, None], tokens, 0)
  return rollout.Replies(
    prompts=tuple(found['prompts'][found['order']].astype(np.int32)),
    tokens=tokens.astype(np.int32),
    num_tokens=counts,
    log_probs=np.zeros(tokens.shape, np.float32),
    has_eot=has_eot,
  )


@functools.lru_cache
def packed(name):
  batch = rollout.pack_replies(
    replies(name),
    range(NUM),
    samples.tokenizer(),  # only its end-of-text and end-of-context count
    CONFIG.data.row_length,
    NUM,
  )
  return jax.tree.map(jnp.asarray, batch)


def scores_at_last_token(name):
  """TRL reads the score there; we read it at end-of-context."""
  batch, judge = packed(name), networks(name)[1]['pm']
  hidden = forward(NETWORKS.pm, judge, batch.packed).hidden
  last = jnp.asarray(replies(name).num_tokens - 1)[:, None]
  index = jnp.take_along_axis(batch.reply_index, last, axis=1)
  return heads.scores_at(judge, hidden, index)[:, 0]


@functools.lru_cache
def trained(name):
  """The rollout as we read it, its targets, and three updates on it."""
  params, frozen = networks(name)
  read = jax.jit(ppo_step.make_score(CONFIG, NETWORKS))(
    params, frozen, packed(name)
  )
  read['scores'] = scores_at_last_token(name)
  given = replies(name)
  whole = Rollout(
    mask=jnp.asarray(given.mask), has_eot=jnp.asarray(given.has_eot), **read
  )
  goal, _ = ppo_step.make_targets(CONFIG)(whole, jnp.float32(0))
  num = float(given.mask.sum())
  bessel = np.sqrt((num - 1) / num).astype(np.float32)
  goal = goal.replace(advantages=goal.advantages * bessel)
  tx = optax.chain(
    ppo_step.make_ppo_optimizer(CONFIG, NETWORKS),
    optax.masked(optax.set_to_zero(), is_head_bias),  # TRL's head has none
  )
  update = jax.jit(ppo_step.make_update(CONFIG, NETWORKS, tx))
  state, passes = state_lib.init_state(params, tx), []
  for _ in range(EPOCHS):
    log_probs = reply_log_probs(name, state.params['policy'])
    state, metrics = update(state, packed(name), goal)
    passes.append((metrics, log_probs))
  return whole, goal, state, passes


def is_head_bias(params):
  return jax.tree_util.tree_map_with_path(
    lambda path, _: [key.key for key in path[-2:]] == ['score_head', 'bias'],
    params,
  )


def reply_log_probs(name, policy):
  batch = packed(name)
  hidden = forward(NETWORKS.policy, policy, batch.packed).hidden
  return readout.reply_log_probs(
    NETWORKS.policy,
    policy,
    hidden,
    batch.packed,
    batch.reply_index,
    CONFIG.sampling.temperature,
  )[0]


def mean_over_passes(name, number):
  return np.mean([number(*found) for found in trained(name)[3]])


def test_the_rollout_is_the_same():
  whole, _, _, _ = trained('full')
  said = golden('full')
  kl = np.asarray(whole.log_probs - whole.ref_log_probs).sum(1).mean()
  assert abs(said['metric/objective/kl']) > 0.01
  np.testing.assert_allclose(kl, said['metric/objective/kl'], atol=1e-5)
  np.testing.assert_allclose(
    whole.scores.mean(), said['metric/objective/scores'], atol=1e-5
  )
  np.testing.assert_allclose(
    -np.asarray(whole.log_probs).sum(1).mean(),
    said['metric/objective/entropy'],
    rtol=1e-5,
  )


def test_advantages_before_whitening_are_the_same():
  whole = trained('full')[0]
  plain = dataclasses.replace(CONFIG, whiten_advantages=False)
  goal, _ = ppo_step.make_targets(plain)(whole, jnp.float32(0))
  np.testing.assert_allclose(
    goal.advantages, golden('full')['advantages'], atol=2e-5
  )


@pytest.mark.parametrize(
  ('ours', 'theirs'),
  [
    ('ppo/policy_loss', 'loss/policy_avg'),
    ('ppo/value_loss', 'loss/value_avg'),
    ('ppo/ratio', 'val/ratio'),
    ('ppo/entropy', 'policy/entropy_avg'),
  ],
)
def test_three_updates_report_the_same(ours, theirs):
  found = mean_over_passes('full', lambda metrics, _: metrics[ours])
  said = golden('full')[f'metric/{theirs}']
  np.testing.assert_allclose(found, said, atol=2e-5, rtol=2e-5)


def test_clip_fraction_and_approximate_kl_as_trl_defines_them():
  _, goal, _, _ = trained('full')
  said = golden('full')

  def is_changed(_, log_probs):
    ratio = np.exp(np.asarray(log_probs - goal.log_probs))
    held = np.clip(ratio, 1 - CONFIG.clip_range, 1 + CONFIG.clip_range)
    advantages = np.asarray(goal.advantages)
    return (-advantages * held > -advantages * ratio).mean()

  def half_square(_, log_probs):
    return 0.5 * np.square(np.asarray(log_probs - goal.log_probs)).mean()

  clipped = mean_over_passes('full', is_changed)
  assert said['metric/policy/clipfrac_avg'] > 0.05, 'the clip must bind'
  np.testing.assert_allclose(
    clipped, said['metric/policy/clipfrac_avg'], atol=1e-6
  )
  np.testing.assert_allclose(
    mean_over_passes('full', half_square),
    said['metric/policy/approxkl_avg'],
    rtol=1e-4,
  )


def without_noise(params):
  """Without TRL's missing head bias, and without the biases of keys.

  Most of a key's bias moves all scores of a query alike and has no gradient;
  Adam makes full steps of the rounding error that it has instead.
  """
  key = {'kernel': params['blocks']['key']['kernel']}
  blocks = {**params['blocks'], 'key': key}
  head = params.get('score_head', {'kernel': np.ones(1)})
  return {**params, 'blocks': blocks, 'score_head': {'kernel': head['kernel']}}


@pytest.mark.parametrize('role', ['policy', 'value'])
def test_the_weights_after_three_updates(role):
  _, _, state, _ = trained('full')
  after = network(golden('full'), f'after/{role}')
  ours, before = state.params[role], networks('full')[0][role]
  ours, after, before = map(without_noise, (ours, after, before))

  def error(ours, theirs):
    gap = np.linalg.norm(np.asarray(ours, np.float64) - theirs)
    return gap / max(np.linalg.norm(theirs), 1e-3)  # one bias stays at zero

  moved = jax.tree.map(error, before, after)
  assert max(jax.tree.leaves(moved)) > 0.01
  errors = jax.tree.map(error, ours, after)
  assert max(jax.tree.leaves(errors)) <= 1e-4, errors


def test_an_ended_reply_has_its_score_on_the_end_and_trl_on_the_pad_behind():
  whole, _, _, _ = trained('ended')
  given, said = replies('ended'), golden('ended')
  early = given.num_tokens < REPLY
  assert 0 < early.sum() < NUM
  rewards = ppo.token_rewards(
    whole.scores,
    whole.log_probs,
    whole.ref_log_probs,
    whole.mask,
    CONFIG.kl_coef,
  )
  # With the value of everything taken as known, the last advantage is the
  # last reward less the last value; TRL's is still without the score there.
  for e in np.flatnonzero(early):
    last = given.num_tokens[e] - 1
    value, score = float(whole.values[e, last]), float(whole.scores[e])
    penalty = float(rewards[e, last]) - score
    after = trl_value_behind(e)
    behind = score - after
    expected = penalty + 0.97 * after - value + 0.97 * 0.9 * behind
    np.testing.assert_allclose(said['advantages'][e, last], expected, atol=2e-5)
  np.testing.assert_array_equal(said['mask'], given.mask)


def trl_value_behind(e):
  """What TRL's value network says at end-of-text, the state behind it."""
  batch, (params, _) = packed('ended'), networks('ended')
  hidden = forward(NETWORKS.value, params['value'], batch.packed).hidden
  index = batch.reply_index[e, replies('ended').num_tokens[e] - 1]
  state = arrays.gather_positions(hidden, index[None])
  return float(heads.values(params['value'], state)[0])
