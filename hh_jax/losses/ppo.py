"""Proximal policy optimisation of replies, in five small functions.

1. `token_rewards`: the KL penalty at every token, the preference score at the
   last one. With γ = 1 the return of a reply is the paper's
   r_PM - λ_KL · (its log-ratio to the reference).
2. `gae.advantages_and_returns`, then `whiten` over the whole rollout.
3. `clipped_policy_loss` and `clipped_value_loss`, minibatch by minibatch.
4. `kl_estimates`: how far the policy is from the reference, per reply.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from hh_jax import types
from hh_jax.losses import sums

# Keeps a rollout whose advantages are all equal at zero instead of 0 / 0; far
# below any variance of real advantages.
WHITEN_EPS = 1e-8

# exp(20) is 5e8: no usable ratio is near it, and beyond 88 float32 overflows
# and the clipped branch's zero gradient would become zero times infinity.
MAX_LOG_RATIO = 20.0


def token_rewards(
  scores: Float[Array, 'E'],
  log_probs: Float[Array, 'E G'],
  ref_log_probs: Float[Array, 'E G'],
  mask: Bool[Array, 'E G'],
  kl_coef: float | Float[Array, ''],
) -> Float[Array, 'E G']:
  """Reward of every reply token.

    r_t = -λ_KL (log π(x_t) - log π_0(x_t)) + [t is the last token] · r_PM

  Args:
    scores: Preference-model score r_PM of each reply.
    log_probs: log π of the sampled tokens under the policy, in nats.
    ref_log_probs: log π_0 of the same tokens under the reference.
    mask: True on reply tokens, contiguous from column 0.
    kl_coef: λ_KL, reward per nat; 0.001 in the paper. 0: no penalty, whatever
      the reference says.

  Returns:
    Rewards, zero off the mask; a reply without tokens earns nothing.

  Reference: Bai et al. 2022, eq. 4.1.
  """
  log_ratio = sums.masked(log_probs, mask) - sums.masked(ref_log_probs, mask)
  following = jnp.pad(mask[:, 1:], ((0, 0), (0, 1)))
  is_last = mask & ~following
  # Without a penalty the reference may rule a token out: 0 · ∞ is no number.
  penalty = jnp.where(kl_coef == 0, 0.0, kl_coef * log_ratio)
  return -penalty + sums.masked(
    jnp.broadcast_to(scores[:, None], mask.shape), is_last
  )


def whiten(
  x: Float[Array, '*axes'],
  mask: Bool[Array, '*axes'],
  keeps_mean: bool = False,
) -> Float[Array, '*axes']:
  """Shifts and scales to mean 0 and variance 1 over all real entries.

  Give it the whole rollout, so that minibatches and devices do not matter.
  Deviation: the paper does not say whether advantages or rewards are
  normalised.

  Args:
    x: Advantages or rewards.
    mask: True on real entries.
    keeps_mean: Whether the mean is put back, as is usual for rewards.
  """
  x = sums.masked(x, mask)
  num_real = jnp.maximum(sums.count(mask, x.dtype), 1.0)
  mean = jnp.sum(x) / num_real
  centred = sums.masked(x - mean, mask)
  variance = jnp.sum(jnp.square(centred)) / num_real
  whitened = centred * jax.lax.rsqrt(variance + WHITEN_EPS)
  return sums.masked(whitened + mean, mask) if keeps_mean else whitened


def clipped_policy_loss(
  log_probs: Float[Array, '*axes'],
  old_log_probs: Float[Array, '*axes'],
  advantages: Float[Array, '*axes'],
  mask: Bool[Array, '*axes'],
  clip_range: float | Float[Array, ''],
) -> types.LossSum:
  """Clipped surrogate objective, negated.

    L = Σ_t max(-A_t ρ_t, -A_t clip(ρ_t, 1 - ε, 1 + ε)),  ρ = π / π_old

  Deviation: log ρ is clipped to ±20, where its gradient becomes zero; an
  infinite log ρ is a loss of NaN, so that the update is skipped.

  Args:
    log_probs: log π under the policy that trains, in nats.
    old_log_probs: log π_old under the policy that sampled.
    advantages: A, usually whitened; constants of the update.
    mask: True on reply tokens.
    clip_range: ε, 0.2 in the paper.

  Returns:
    Sum over tokens, weight in tokens. Metrics: `ppo/policy_loss`;
    `ppo/clip_fraction`, the share of ratios outside 1 ± ε; `ppo/ratio`;
    `ppo/log_ratio`, the mean of |log ρ|; `ppo/approx_kl`, the estimate
    ρ - 1 - log ρ of KL(π_old || π).

  Reference: Schulman et al. 2017, eq. 7; Bai et al. 2022, section 4.1.
  """
  log_ratio = sums.masked(log_probs, mask) - sums.masked(old_log_probs, mask)
  # Clipping would hide an infinity.
  is_finite = jnp.isfinite(log_ratio)
  log_ratio = jnp.clip(log_ratio, -MAX_LOG_RATIO, MAX_LOG_RATIO)
  log_ratio = jnp.where(is_finite, log_ratio, jnp.nan)
  ratio = jnp.exp(log_ratio)
  clipped = jnp.clip(ratio, 1.0 - clip_range, 1.0 + clip_range)
  advantages = sums.masked(advantages, mask)
  # Not `maximum`: where both branches tie it would halve the gradient of one.
  is_bound = -advantages * clipped > -advantages * ratio
  losses = -advantages * jnp.where(is_bound, clipped, ratio)
  is_outside = (jnp.abs(ratio - 1.0) > clip_range).astype(ratio.dtype)
  metrics = {
    'ppo/clip_fraction': sums.metric(is_outside, mask),
    'ppo/ratio': sums.metric(ratio, mask),
    'ppo/log_ratio': sums.metric(jnp.abs(log_ratio), mask),
    'ppo/approx_kl': sums.metric(jnp.expm1(log_ratio) - log_ratio, mask),
  }
  return sums.loss_sum('ppo/policy_loss', losses, mask, metrics)


def clipped_value_loss(
  values: Float[Array, '*axes'],
  old_values: Float[Array, '*axes'],
  returns: Float[Array, '*axes'],
  mask: Bool[Array, '*axes'],
  clip_range: float,
) -> types.LossSum:
  """Squared error of the values, the worse of plain and clipped.

    L = Σ_t ½ max((V_t - R_t)², (V_old + clip(V_t - V_old, ±c) - R_t)²)

  Args:
    values: V under the network that trains, in units of reward.
    old_values: V when the rollout was scored.
    returns: R, value targets.
    mask: True on reply tokens.
    clip_range: c; 0 disables clipping. Read when tracing.

  Returns:
    Sum over tokens, weight in tokens. Metrics: `ppo/value_loss` and
    `ppo/value_clip_fraction`, the share of values moved by more than c.
  """
  values, old_values = sums.masked(values, mask), sums.masked(old_values, mask)
  returns = sums.masked(returns, mask)
  errors = jnp.square(values - returns)
  move = values - old_values
  is_outside = jnp.zeros(mask.shape, values.dtype)
  if clip_range > 0:
    near = old_values + jnp.clip(move, -clip_range, clip_range)
    clipped = jnp.square(near - returns)
    errors = jnp.where(clipped > errors, clipped, errors)
    is_outside = (jnp.abs(move) > clip_range).astype(values.dtype)
  metrics = {'ppo/value_clip_fraction': sums.metric(is_outside, mask)}
  return sums.loss_sum('ppo/value_loss', 0.5 * errors, mask, metrics)


def kl_estimates(
  log_probs: Float[Array, 'E G'],
  ref_log_probs: Float[Array, 'E G'],
  mask: Bool[Array, 'E G'],
) -> dict[str, Float[Array, 'E']]:
  """Estimates of KL(policy || reference) from the policy's own samples.

  Args:
    log_probs: log π of the sampled tokens under the policy, in nats.
    ref_log_probs: log π_0 of the same tokens under the reference.
    mask: True on reply tokens.

  Returns:
    Sums over each reply, in nats: `k1` = Σ log(π/π_0), unbiased and possibly
    negative; `k3` = Σ (π_0/π - 1 + log(π/π_0)), a sum of per-token terms that
    are never negative. Deviation: in k3 log(π_0/π) is clipped to ±20.
  """
  log_ratio = sums.masked(log_probs, mask) - sums.masked(ref_log_probs, mask)
  inverse = jnp.clip(-log_ratio, -MAX_LOG_RATIO, MAX_LOG_RATIO)
  k3 = jnp.expm1(inverse) + log_ratio
  return {'k1': jnp.sum(log_ratio, axis=-1), 'k3': jnp.sum(k3, axis=-1)}
