"""The rollouts of golden/make_trl_ppo.py as our networks read and train them.

Shared by the tests that compare them with what TRL 1.12.0 said.
"""

import functools
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import optax

from hh_jax.config import (
  DataConfig,
  ModelConfig,
  OptimizerConfig,
  RLHFConfig,
  SamplingConfig,
)
from hh_jax.data import tokenizer as tokenizer_lib
from hh_jax.models import heads, ladder, public_weights, readout
from hh_jax.ops import arrays
from hh_jax.stages import ppo_step, rollout
from hh_jax.training import state as state_lib
from hh_jax.types import Rollout
from tests.data import samples

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
  """The rollout as we read it, its targets, and three updates on it.

  Of each pass: its metrics, and log-probs and values before its update.
  """
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
    values = reply_values(name, state.params['value'])
    state, metrics = update(state, packed(name), goal)
    passes.append((metrics, log_probs, values))
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


def reply_values(name, value):
  """Values before each reply token."""
  batch = packed(name)
  hidden = forward(NETWORKS.value, value, batch.packed).hidden
  parents = readout.parents_of(batch.packed, batch.reply_index)
  return heads.values(value, arrays.gather_positions(hidden, parents))


def mean_over_passes(name, number):
  return np.mean([number(*found) for found in trained(name)[3]])
