"""Preference-model loss."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from hh_jax import types
from hh_jax.losses import sums


def pairwise_loss(
  chosen: Float[Array, 'P'],
  rejected: Float[Array, 'P'],
  weight: Float[Array, 'P'],
  mask: Bool[Array, 'P'],
) -> types.LossSum:
  """Negative log-likelihood of the human preference.

    L = Σ_p w_p log(1 + exp(r_rejected[p] - r_chosen[p]))

  Args:
    chosen: Score of the preferred reply, in nats of preference odds.
    rejected: Score of the other reply.
    weight: λ of the comparison; multiplies its loss, not the denominator.
    mask: True on real comparisons.

  Returns:
    Weighted sum in nats, weight in comparisons. Metrics: `pm/loss`;
    `pm/accuracy`, unweighted, where a tie counts one half; `pm/margin`, the
    unweighted r_chosen - r_rejected.

  Reference: Bai et al. 2022, eq. 4.2; λ as in section 5.1.2.
  """
  margin = sums.masked(chosen, mask) - sums.masked(rejected, mask)
  losses = sums.masked(weight, mask) * jax.nn.softplus(-margin)
  is_right = 0.5 + 0.5 * jnp.sign(margin)
  metrics = {
    'pm/accuracy': sums.metric(is_right, mask),
    'pm/margin': sums.metric(margin, mask),
  }
  return sums.loss_sum('pm/loss', losses, mask, metrics)
