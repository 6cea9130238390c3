"""One PPO iteration: sample, judge, learn.

1. Sample one reply to each prompt of the batch from the policy; the sampler
   returns the log-probs it sampled with.
2. Judge replies with the preference model, the reference and the value
   network in one packed pass; per-token penalty -λ_KL (log π - log π0), the
   score on the last token; advantages over the whole rollout.
3. Learn from them: K passes over the rollout in shuffled minibatches of
   clipped updates.

Reference: Bai et al. 2022, sections 4.1 and B.1.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np
import optax

from hh_jax.config import RLHFConfig
from hh_jax.data import order
from hh_jax.data.tokenizer import Tokenizer
from hh_jax.stages import ppo_step
from hh_jax.stages import rollout as rollout_lib
from hh_jax.training import keys
from hh_jax.types import Metrics, Params, Rollout, RunState

Iteration = Callable[[RunState, Params, int], tuple[RunState, Metrics]]
Examples = Sequence[int] | np.ndarray

MISMATCH = 'rollout/sampler_mismatch'  # nats a token


@dataclasses.dataclass(frozen=True)
class Phases:
  """The three parts of an iteration, each a function of what went before."""

  sample: Callable[[Params, int], rollout_lib.Replies]
  judge: Callable[
    [RunState, Params, rollout_lib.Replies], tuple[ppo_step.Targets, Metrics]
  ]
  learn: Callable[
    [RunState, rollout_lib.Replies, ppo_step.Targets, int],
    tuple[RunState, Metrics],
  ]


def make_iteration(
  config: RLHFConfig,
  networks: ppo_step.Networks,
  tx: optax.GradientTransformation,
  tokenizer: Tokenizer,
  pool: rollout_lib.PromptPool,
) -> Iteration:
  """Builds the iteration: (state, frozen, t) to the next state and metrics."""
  phases = make_phases(config, networks, tx, tokenizer, pool)

  def iteration(
    state: RunState, frozen: Params, t: int
  ) -> tuple[RunState, Metrics]:
    replies = phases.sample(state.params['policy'], t)
    goal, judged = phases.judge(state, frozen, replies)
    state, learnt = phases.learn(state, replies, goal, t)
    state = state.replace(step=jnp.asarray(t + 1, jnp.int32))
    return state, join_metrics(judged, learnt)

  return iteration


def make_phases(
  config: RLHFConfig,
  networks: ppo_step.Networks,
  tx: optax.GradientTransformation,
  tokenizer: Tokenizer,
  pool: rollout_lib.PromptPool,
) -> Phases:
  """Builds the phases over jitted steps that they share."""
  score = jax.jit(ppo_step.make_score(config, networks))
  targets = jax.jit(ppo_step.make_targets(config))
  update = jax.jit(ppo_step.make_update(config, networks, tx), donate_argnums=0)
  size = config.data.batch_size
  part = size // config.minibatches
  # The same few cache sizes in every iteration, compiled once.
  sampling = dataclasses.replace(config.sampling, max_prompt=pool.longest)

  def pack(
    replies: rollout_lib.Replies, examples: Examples
  ) -> rollout_lib.ReplyBatch:
    return rollout_lib.pack_replies(
      replies, examples, tokenizer, config.data.row_length, part
    )

  def sample(policy: Params, t: int) -> rollout_lib.Replies:
    return rollout_lib.sample(
      networks.policy,
      policy,
      tokenizer,
      draw_prompts(config, pool, t),
      sample_key(config, t + 1),
      sampling,
    )

  def judge(
    state: RunState, frozen: Params, replies: rollout_lib.Replies
  ) -> tuple[ppo_step.Targets, Metrics]:
    read = [
      score(state.params, frozen, pack(replies, range(start, start + part)))
      for start in range(0, size, part)
    ]
    rollout, mismatch = as_rollout(replies, read)
    goal, metrics = targets(rollout, state.stats['score_mean'])
    return goal, {**metrics, **mismatch}

  def learn(
    state: RunState,
    replies: rollout_lib.Replies,
    goal: ppo_step.Targets,
    t: int,
  ) -> tuple[RunState, Metrics]:
    collected: list[Metrics] = []
    for number in range(config.passes):
      shuffled = order.permutation(config.seed, f'rlhf/pass{number}', t, size)
      for start in range(0, size, part):
        batch = pack(replies, shuffled[start : start + part])
        state, found = update(state, batch, goal)
        collected.append(found)
    return state, mean_metrics(collected)

  return Phases(sample, judge, learn)


def sample_key(config: RLHFConfig, number: int) -> jax.Array:
  """Returns the key of a round of sampling; 0 is before the first iteration."""
  return keys.fold(config.seed, 'rlhf', 'sample', number)


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
  replies: rollout_lib.Replies, read: Sequence[Mapping[str, jax.Array]]
) -> tuple[Rollout, Metrics]:
  """Joins what the networks said of each part into tables of the rollout.

  Where the trainer read the policy's log-probs again they replace the
  sampler's, and their mean distance, in nats a token, is a metric.
  """
  joined = {
    name: jnp.concatenate([part[name] for part in read]) for name in read[0]
  }
  log_probs = jnp.asarray(replies.log_probs)
  metrics: Metrics = {}
  if 'log_probs' in joined:
    gap = jnp.where(replies.mask, joined['log_probs'] - log_probs, 0.0)
    metrics[MISMATCH] = jnp.abs(gap).sum() / max(replies.mask.sum(), 1)
    log_probs = jnp.where(replies.mask, joined['log_probs'], 0.0)
  rollout = Rollout(
    mask=jnp.asarray(replies.mask),
    log_probs=log_probs,
    ref_log_probs=joined['ref_log_probs'],
    values=joined['values'],
    scores=joined['scores'],
    has_eot=jnp.asarray(replies.has_eot),
  )
  return rollout, metrics


def mean_metrics(collected: Sequence[Metrics]) -> Metrics:
  """Means over the updates, and what the first one says on its own."""
  names = collected[0]
  means = {
    name: jnp.stack([found[name] for found in collected]).mean()
    for name in names
  }
  first = {
    f'ppo/first_{name}': collected[0][f'ppo/{name}']
    for name in ('ratio', 'log_ratio')
  }
  return {**means, **first}


def join_metrics(judged: Metrics, learnt: Metrics) -> Metrics:
  """The metrics of an iteration.

  Before its first step the policy is the one that sampled, so that |log ρ| of
  the first minibatch is the distance of sampler and trainer. It stands for
  that of the rollout where the trainer did not read the log-probs again.
  """
  return {MISMATCH: learnt['ppo/first_log_ratio'], **judged, **learnt}
