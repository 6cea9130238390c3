"""The arithmetic of one PPO iteration, as jitted functions of arrays.

1. `score`: reference log-probs, values and preference scores of a rollout.
2. `targets`: per-token rewards -λ_KL (log π - log π0) with the score on the
   last token, advantages and returns; what is whitened, over the whole rollout.
3. `update`: the clipped policy loss and the clipped value loss on a
   minibatch, one optimizer step.

Reference: Bai et al. 2022, sections 4.1 and B.1; Schulman et al. 2017.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import flax.struct
import jax
import jax.numpy as jnp
import optax

from hh_jax.config import ModelConfig, RLHFConfig
from hh_jax.losses import gae, ppo
from hh_jax.models import heads, ladder, readout
from hh_jax.models.transformer import Transformer
from hh_jax.ops import arrays
from hh_jax.stages.rollout import ReplyBatch
from hh_jax.training import optimizer
from hh_jax.training import state as state_lib
from hh_jax.types import LossSum, Metrics, Params, Rollout, RunState


@dataclasses.dataclass(frozen=True)
class Networks:
  """Architectures of the networks; their parameters are arguments."""

  policy: Transformer
  value: Transformer
  pm: Transformer


class Targets(flax.struct.PyTreeNode):
  """What the updates of one rollout aim at; tables of [E, G] float32."""

  mask: jax.Array  # [E, G] bool
  log_probs: jax.Array  # log π_old
  values: jax.Array
  advantages: jax.Array
  returns: jax.Array


def reads_policy(config: RLHFConfig, policy: ModelConfig) -> bool:
  """Whether the trainer reads log-probs again that the sampler returned.

  In low precision the two differ by more than PPO's ratio should.
  """
  types = {policy.compute_dtype, policy.type_of_cache}
  return config.recompute_log_probs or types != {'float32'}


def make_score(
  config: RLHFConfig, networks: Networks
) -> Callable[[Params, Params, ReplyBatch], dict[str, jax.Array]]:
  """Builds the pass that reads a batch of replies with every network.

  The result maps (params, frozen, batch) to `ref_log_probs` and `values`, each
  [E, G], and `scores` [E], float32; and to `log_probs`, [E, G], of the policy
  where the sampler's do not serve (`reads_policy`).
  """
  reply_log_probs = _reply_log_probs(config, networks)
  is_read = reads_policy(config, networks.policy.config)

  def score(
    params: Params, frozen: Params, batch: ReplyBatch
  ) -> dict[str, jax.Array]:
    read = {}
    hidden = None
    if is_read or config.share_trunk:
      hidden = ladder.forward(
        networks.policy, params['policy'], batch.packed
      ).hidden
    if hidden is not None and is_read:
      read['log_probs'] = reply_log_probs(params['policy'], hidden, batch)[0]
    read['values'] = _values(networks, config, params, hidden, batch)
    reference = ladder.forward(
      networks.policy, frozen['reference'], batch.packed
    ).hidden
    read['ref_log_probs'] = reply_log_probs(
      frozen['reference'], reference, batch
    )[0]
    judged = ladder.forward(networks.pm, frozen['pm'], batch.packed).hidden
    read['scores'] = heads.scores_at(
      frozen['pm'], judged, batch.packed.score_index
    )[:, 0]
    return read

  return score


def make_targets(
  config: RLHFConfig,
) -> Callable[[Rollout, jax.Array], tuple[Targets, Metrics]]:
  """Builds rewards, advantages and returns of a whole rollout.

  The second argument is the score that counts as zero, [] float32.
  """

  def targets(
    rollout: Rollout, score_mean: jax.Array
  ) -> tuple[Targets, Metrics]:
    scores = rollout.scores - score_mean
    if config.missing_eot_score == 'fixed':
      scores = jnp.where(rollout.has_eot, scores, config.missing_eot_value)
    rewards = ppo.token_rewards(
      scores,
      rollout.log_probs,
      rollout.ref_log_probs,
      rollout.mask,
      config.kl_coef,
    )
    if config.whiten_rewards:
      rewards = ppo.whiten(rewards, rollout.mask, keeps_mean=True)
    advantages, returns = gae.advantages_and_returns(
      rewards,
      rollout.values,
      rollout.mask,
      config.discount,
      config.gae_lambda,
    )
    if config.whiten_advantages:
      advantages = ppo.whiten(advantages, rollout.mask)
    goal = Targets(
      mask=rollout.mask,
      log_probs=rollout.log_probs,
      values=rollout.values,
      advantages=advantages,
      returns=returns,
    )
    return goal, rollout_metrics(rollout, scores, returns)

  return targets


def rollout_metrics(
  rollout: Rollout, scores: jax.Array, returns: jax.Array
) -> Metrics:
  """Means over the replies of one rollout, for people to look at."""
  kl = ppo.kl_estimates(rollout.log_probs, rollout.ref_log_probs, rollout.mask)
  mask = rollout.mask
  error = jnp.where(mask, returns - rollout.values, 0.0)
  count = jnp.maximum(mask.sum(), 1)
  mean = jnp.where(mask, returns, 0.0).sum() / count
  spread = jnp.where(mask, jnp.square(returns - mean), 0.0).sum()
  explained = 1 - jnp.square(error).sum() / jnp.maximum(spread, 1e-8)
  return {
    'rollout/score': scores.mean(),
    'rollout/kl_k1': kl['k1'].mean(),
    'rollout/kl_k3': kl['k3'].mean(),
    'rollout/length': mask.sum(1).astype(jnp.float32).mean(),
    'rollout/eot_rate': rollout.has_eot.astype(jnp.float32).mean(),
    'rollout/value_explained': explained,
  }


def make_update(
  config: RLHFConfig, networks: Networks, tx: optax.GradientTransformation
) -> Callable[[RunState, ReplyBatch, Targets], tuple[RunState, Metrics]]:
  """Builds one PPO update; `Targets` are the rollout's whole tables."""
  reply_log_probs = _reply_log_probs(config, networks)

  def loss_fn(
    params: Params, packed_goal: tuple[ReplyBatch, Targets]
  ) -> LossSum:
    batch, goal = packed_goal
    hidden = ladder.forward(
      networks.policy, params['policy'], batch.packed
    ).hidden
    log_probs, entropy = reply_log_probs(params['policy'], hidden, batch)
    policy_loss = ppo.clipped_policy_loss(
      log_probs,
      goal.log_probs,
      goal.advantages,
      goal.mask,
      config.clip_range,
    )
    value_loss = ppo.clipped_value_loss(
      _values(networks, config, params, hidden, batch),
      goal.values,
      goal.returns,
      goal.mask,
      config.value_clip,
    )
    masked_entropy = jnp.where(goal.mask, entropy, 0.0).sum()
    return LossSum(
      total=policy_loss.total + config.value_coef * value_loss.total,
      weight=policy_loss.weight,
      metrics={
        **policy_loss.metrics,
        **value_loss.metrics,
        'ppo/entropy': jnp.stack([masked_entropy, policy_loss.weight]),
      },
    )

  def update(
    state: RunState, batch: ReplyBatch, goal: Targets
  ) -> tuple[RunState, Metrics]:
    own = jax.tree.map(lambda table: table[batch.example], goal)
    is_real = batch.packed.pair_mask[:, None]
    own = own.replace(mask=own.mask & is_real)
    return state_lib.loss_step(loss_fn, state, (batch, own), tx)

  return update


def make_ppo_optimizer(
  config: RLHFConfig, networks: Networks
) -> optax.GradientTransformation:
  """Builds the optimizer: policy and value clipped and stepped apart.

  Each network has its own peak rate; the schedule counts updates.
  """
  each = config.passes * config.minibatches  # updates an iteration
  updates = config.num_iterations * each
  halving = round(config.lr_halving / config.data.batch_size * each)
  value = dataclasses.replace(
    config.optimizer,
    lr_multiple=config.optimizer.lr_multiple * config.value_lr_multiple,
    lr_override=config.optimizer.lr_override * config.value_lr_multiple,
  )
  return optax.partition(
    {
      'policy': optimizer.make_optimizer(
        config.optimizer, networks.policy.config, updates, halving
      ),
      'value': optimizer.make_optimizer(
        value, networks.value.config, updates, halving
      ),
    },
    {'policy': 'policy', 'value': 'value'},
  )


def _reply_log_probs(
  config: RLHFConfig, networks: Networks
) -> Callable[[Params, jax.Array, ReplyBatch], tuple[jax.Array, jax.Array]]:
  """Log-probs and entropies of replies under a policy, as they are sampled."""

  def read(
    params: Params, hidden: jax.Array, batch: ReplyBatch
  ) -> tuple[jax.Array, jax.Array]:
    return readout.reply_log_probs(
      networks.policy,
      params,
      hidden,
      batch.packed,
      batch.reply_index,
      config.sampling.temperature,
    )

  return read


def _values(
  networks: Networks,
  config: RLHFConfig,
  params: Params,
  policy_hidden: jax.Array | None,
  batch: ReplyBatch,
) -> jax.Array:
  """Value before each reply token, [E, G], by its own trunk or the policy's."""
  hidden = policy_hidden
  if hidden is None or not config.share_trunk:
    hidden = ladder.forward(
      networks.value, params['value'], batch.packed
    ).hidden
  parents = readout.parents_of(batch.packed, batch.reply_index)
  return heads.values(params['value'], arrays.gather_positions(hidden, parents))
