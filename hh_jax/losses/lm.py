"""Language-model loss."""

from jaxtyping import Array, Bool, Float

from hh_jax import types
from hh_jax.losses import sums


def next_token_loss(
  log_probs: Float[Array, '*axes'], mask: Bool[Array, '*axes']
) -> types.LossSum:
  """Negative log-likelihood of target tokens: L = -Σ_n log p(x_n).

  Args:
    log_probs: Log-probability of each token given its path, in nats.
    mask: True on training targets.

  Returns:
    Sum in nats, weight in tokens; metric `lm/loss`.
  """
  return sums.loss_sum('lm/loss', -log_probs, mask)
