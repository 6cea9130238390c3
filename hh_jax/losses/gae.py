"""Generalised advantage estimation (Schulman et al. 2016).

1. The value before token t predicts the discounted rewards from t on.
2. The one-step error is δ_t = r_t + γ V_{t+1} - V_t; after the last token the
   value is zero, because the reply has ended.
3. The advantage sums errors backwards: A_t = δ_t + γ λ A_{t+1}.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from hh_jax.losses import sums


def advantages_and_returns(
  rewards: Float[Array, 'E G'],
  values: Float[Array, 'E G'],
  mask: Bool[Array, 'E G'],
  discount: float | Float[Array, ''],
  gae_lambda: float | Float[Array, ''],
) -> tuple[Float[Array, 'E G'], Float[Array, 'E G']]:
  """Advantages and value targets of every reply token.

  Args:
    rewards: Reward of each token, see `ppo.token_rewards`.
    values: Value before each token is sampled, in units of reward.
    mask: True on reply tokens, contiguous from column 0.
    discount: γ, 1 in the paper.
    gae_lambda: λ of the estimate.

  Returns:
    Advantages A and returns A + V; zero off the mask.
  """
  rewards, values = sums.masked(rewards, mask), sums.masked(values, mask)
  following = jnp.pad(values[:, 1:], ((0, 0), (0, 1)))
  errors = rewards + discount * following - values

  def step(
    advantage: jax.Array, error: jax.Array
  ) -> tuple[jax.Array, jax.Array]:
    advantage = error + discount * gae_lambda * advantage
    return advantage, advantage

  start = jnp.zeros(errors.shape[0], errors.dtype)
  _, advantages = jax.lax.scan(step, start, errors.T, reverse=True)
  advantages = sums.masked(advantages.T, mask)
  return advantages, sums.masked(advantages + values, mask)
