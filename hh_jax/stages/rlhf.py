"""Reinforcement learning from human feedback: PPO against a preference model.

1. Sample one reply to each prompt of the batch from the policy; the sampler
   returns the log-probs it sampled with.
2. Score replies with the preference model, the reference and the value
   network in one packed pass.
3. Per-token penalty -λ_KL (log π - log π0), the score on the last token;
   advantages over the whole rollout.
4. K passes over the rollout in shuffled minibatches of clipped updates.
5. Every few iterations, reward against √KL on held-out prompts
   (`policy_points`).

Reference: Bai et al. 2022, sections 4.1, 4.3 and B.1.
"""

from __future__ import annotations

import dataclasses
import logging
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from hh_jax.config import RLHFConfig
from hh_jax.data import order
from hh_jax.data.tokenizer import Tokenizer
from hh_jax.evals import alarms, scoring
from hh_jax.models.transformer import Transformer
from hh_jax.stages import (
  inputs,
  loading,
  policy_points,
  ppo_step,
  prompting,
  session,
  worlds,
)
from hh_jax.stages import rollout as rollout_lib
from hh_jax.training import keys, loop
from hh_jax.training import metrics as metrics_lib
from hh_jax.training import state as state_lib
from hh_jax.types import Metrics, Params, Rollout, RunState

Iteration = Callable[[RunState, Params, int], tuple[RunState, Metrics]]

log = logging.getLogger(__name__)


def run(config: RLHFConfig, workdir: str | pathlib.Path) -> str:
  """Trains a policy with PPO in `workdir`; returns its one-line result."""
  inputs.require(config)
  policy = loading.load_run(config.policy_from)
  pm = loading.load_run(config.pm_from)
  judges = {'train_pm': pm}
  if config.held_out_pm_from:
    judges['held_out_pm'] = loading.load_run(config.held_out_pm_from)
  claimed = session.begin(
    'rlhf',
    config,
    workdir,
    {'policy_from': policy, 'pm_from': pm, **judges},
  )
  if claimed.result:
    return claimed.result['line']
  networks = ppo_step.Networks(
    policy=policy.model, value=value_model(config, policy, pm), pm=pm.model
  )
  pool = prompt_pool(
    config, policy.tokenizer, config.num_prompts, is_held_out=False
  )
  points = policy_points.prepare(config, policy, judges, claimed.workdir)
  points.start(policy.params)
  tx = ppo_step.make_ppo_optimizer(config, networks)
  iterate = make_iteration(config, networks, tx, policy.tokenizer, pool)
  frozen = {'reference': policy.params, 'pm': pm.params}
  state = claimed.train(
    init=lambda: initial_state(config, policy, pm, tx),
    advance=lambda state, t: iterate(state, frozen, t),
    total_steps=config.num_iterations,
    hooks=loop.Hooks(
      on_step=lambda state, step: points.at(state.params['policy'], step),
      on_row=watch_alarms(config, claimed.workdir),
    ),
  )
  frontier = points.collect(config.num_iterations)
  last = frontier[-1]
  return claimed.finish(
    f'rlhf: {config.num_iterations} iterations, √KL '
    f'{np.sqrt(max(last["kl"], 0.0)):.2f}, PM score '
    f'{last["gain"]["train_pm"][1]:+.2f} over π0',
    {
      'frontier': frontier,
      'num_prompts': len(pool),
      'alarms': find_alarms(config, claimed.workdir),
    },
    state,
    policy.model,
    policy.tokenizer,
  )


def watch_alarms(
  config: RLHFConfig, workdir: pathlib.Path
) -> Callable[[int, metrics_lib.Row], None]:
  """Returns a hook of the loop that says what goes wrong when it shows."""
  seen = alarms.Watch(config.sampling.max_new_tokens)
  is_fresh = True

  def look(step: int, row: metrics_lib.Row) -> None:
    nonlocal is_fresh
    if is_fresh:  # the iterations before a resume
      for earlier in metrics_lib.read_metrics(workdir)[: step - 1]:
        seen.look(earlier)
      is_fresh = False
    for alarm in seen.look({**row, metrics_lib.STEP: step}):
      log.warning('rlhf: iteration %d: %s', alarm.step, alarm.message)

  return look


def find_alarms(
  config: RLHFConfig, workdir: pathlib.Path
) -> list[dict[str, Any]]:
  """Returns the alarms of a whole run, for its result."""
  rows = metrics_lib.read_metrics(workdir)
  found = alarms.find(rows, config.sampling.max_new_tokens)
  return [dataclasses.asdict(alarm) for alarm in found]


def prompt_pool(
  config: RLHFConfig, tokenizer: Tokenizer, num: int, is_held_out: bool
) -> rollout_lib.PromptPool:
  """Draws prompts, cut on the left to leave room for a reply.

  Raises:
    ValueError: There is no prompt, or no room for a reply.
  """
  found = worlds.prompts(
    config.data, config.seed, num, config.harmless_fraction, is_held_out
  )
  ids = prompting.encode(
    tokenizer, [item.dialogue for item in found], config.data, config.sampling
  )
  return rollout_lib.PromptPool(
    tuple(ids), np.array([item.id for item in found])
  )


def value_model(
  config: RLHFConfig, policy: loading.Run, pm: loading.Run
) -> Transformer:
  """Returns the architecture of the value network."""
  if config.share_trunk or config.value_init == 'policy':
    return policy.model
  return pm.model


def initial_state(
  config: RLHFConfig,
  policy: loading.Run,
  pm: loading.Run,
  tx: optax.GradientTransformation,
) -> RunState:
  """Returns the state before the first rollout.

  The mean score of the initial policy's replies is measured here and kept in
  `stats`, because only differences of scores mean anything (section B.2).
  """
  mean = initial_score(config, policy, pm) if config.center_scores else 0.0
  if config.share_trunk or config.value_init == 'policy':
    # A new head starts at zero: scores are centred, so is the first value.
    head = {
      'kernel': jnp.zeros((policy.model.config.model_dim, 1), jnp.float32),
      'bias': jnp.zeros((1,), jnp.float32),
    }
    value: Params = {'score_head': head}
    if not config.share_trunk:
      value = {**policy.params, 'score_head': head}
  else:
    head = pm.params['score_head']
    value = {**pm.params, 'score_head': {**head, 'bias': head['bias'] - mean}}
  params = {'policy': policy.params, 'value': value}
  return state_lib.init_state(
    params, tx, {'score_mean': jnp.asarray(mean, jnp.float32)}
  )


def initial_score(
  config: RLHFConfig, policy: loading.Run, pm: loading.Run
) -> float:
  """Returns the mean score of π0's own replies to held-out prompts."""
  pool = prompt_pool(
    config, policy.tokenizer, config.center_prompts, is_held_out=True
  )
  replies = rollout_lib.sample(
    policy.model,
    policy.params,
    policy.tokenizer,
    pool,
    sample_key(config, 0),
    config.sampling,
  )
  scores = scoring.score_replies(
    pm.model,
    pm.params,
    pm.tokenizer,
    pool.prompts,
    replies.contents(),
  )
  return float(scores.mean())


def sample_key(config: RLHFConfig, number: int) -> jax.Array:
  """Returns the key of a round of sampling; 0 is before the first iteration."""
  return keys.fold(config.seed, 'rlhf', 'sample', number)


def make_iteration(
  config: RLHFConfig,
  networks: ppo_step.Networks,
  tx: optax.GradientTransformation,
  tokenizer: Tokenizer,
  pool: rollout_lib.PromptPool,
) -> Iteration:
  """Builds one PPO iteration: sample, score, then K passes of updates."""
  score = jax.jit(ppo_step.make_score(config, networks))
  targets = jax.jit(ppo_step.make_targets(config))
  update = jax.jit(ppo_step.make_update(config, networks, tx), donate_argnums=0)
  size = config.data.batch_size
  part = size // config.minibatches
  is_low_precision = networks.policy.config.compute_dtype != 'float32'
  # One cache size for the whole run, so that decoding is compiled once.
  config = dataclasses.replace(
    config,
    sampling=dataclasses.replace(config.sampling, max_prompt=pool.longest),
  )

  def pack(
    replies: rollout_lib.Replies, examples: Sequence[int] | np.ndarray
  ) -> rollout_lib.ReplyBatch:
    return rollout_lib.pack_replies(
      replies, examples, tokenizer, config.data.row_length, part
    )

  def iteration(
    state: RunState, frozen: Params, t: int
  ) -> tuple[RunState, Metrics]:
    drawn = draw_prompts(config, pool, t)
    replies = rollout_lib.sample(
      networks.policy,
      state.params['policy'],
      tokenizer,
      drawn,
      sample_key(config, t + 1),
      config.sampling,
    )
    batches = [
      pack(replies, range(start, start + part))
      for start in range(0, size, part)
    ]
    read = [score(state.params, frozen, batch) for batch in batches]
    rollout, mismatch = as_rollout(config, is_low_precision, replies, read)
    goal, metrics = targets(rollout, state.stats['score_mean'])
    collected: list[Metrics] = []
    for number in range(config.passes):
      shuffled = order.permutation(config.seed, f'rlhf/pass{number}', t, size)
      for start in range(0, size, part):
        batch = pack(replies, shuffled[start : start + part])
        state, found = update(state, batch, goal)
        collected.append(found)
    state = state.replace(step=jnp.asarray(t + 1, jnp.int32))
    metrics['rollout/sampler_mismatch'] = mismatch
    return state, {**metrics, **mean_metrics(collected)}

  return iteration


def draw_prompts(
  config: RLHFConfig, pool: rollout_lib.PromptPool, t: int
) -> rollout_lib.PromptPool:
  """Returns the prompts of iteration t: the pool, epoch after epoch.

  An example has another id in each epoch, so that a prompt that is drawn twice
  in one batch gets two replies.
  """
  size = config.data.batch_size
  epochs, within = np.divmod(np.arange(t * size, (t + 1) * size), len(pool))
  orders = {
    epoch: order.permutation(config.seed, 'rlhf/prompts', int(epoch), len(pool))
    for epoch in np.unique(epochs)
  }
  places = [orders[e][i] for e, i in zip(epochs, within, strict=True)]
  drawn = pool.take(np.array(places))
  ids = drawn.example_ids + epochs * (pool.example_ids.max() + 1)
  return dataclasses.replace(drawn, example_ids=ids)


def as_rollout(
  config: RLHFConfig,
  is_low_precision: bool,
  replies: rollout_lib.Replies,
  read: Sequence[Mapping[str, jax.Array]],
) -> tuple[Rollout, jax.Array]:
  """Joins what the networks said of each part into tables of the rollout.

  Also returns the mean difference of sampler and trainer log-probs, in nats a
  token.
  """
  joined = {
    name: jnp.concatenate([part[name] for part in read]) for name in read[0]
  }
  log_probs = jnp.asarray(replies.log_probs)
  gap = jnp.where(replies.mask, joined['log_probs'] - log_probs, 0.0)
  mismatch = jnp.abs(gap).sum() / max(replies.mask.sum(), 1)
  if config.recompute_log_probs or is_low_precision:
    log_probs = jnp.where(replies.mask, joined['log_probs'], 0.0)
  rollout = Rollout(
    mask=jnp.asarray(replies.mask),
    log_probs=log_probs,
    ref_log_probs=joined['ref_log_probs'],
    values=joined['values'],
    scores=joined['scores'],
    has_eot=jnp.asarray(replies.has_eot),
  )
  return rollout, mismatch


def mean_metrics(collected: Sequence[Metrics]) -> Metrics:
  """Means over the updates, and the first update's ratio on its own."""
  names = collected[0]
  means = {
    name: jnp.stack([found[name] for found in collected]).mean()
    for name in names
  }
  return {**means, 'ppo/first_ratio': collected[0]['ppo/ratio']}
