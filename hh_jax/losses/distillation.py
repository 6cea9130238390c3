"""Context distillation on stored top-k log-probabilities.

1. The teacher, reading the prompt, stored the k most likely tokens of every
   position and their log-probabilities.
2. All other tokens form one more category; its probability is what is left.
3. The student, without the prompt, matches these k + 1 categories.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from hh_jax import types
from hh_jax.losses import sums

# The rest is 1 minus a float32 sum near 1, good to about 1e-7. Below this it
# is noise, and its logarithm and gradient would run off to infinity.
MIN_REST = 1e-6


def bucketed_kl(
  teacher_log_probs: Float[Array, 'N k'],
  student_log_probs: Float[Array, 'N k'],
  mask: Bool[Array, 'N'],
) -> types.LossSum:
  """KL divergence over the stored tokens and one bucket for the rest.

    L = Σ_n [ Σ_i p_i (log p_i - log q_i) + p_r (log p_r - log q_r) ]
    p_r = 1 - Σ_i p_i,  q_r = 1 - Σ_i q_i

  Args:
    teacher_log_probs: log p_i of the teacher's k most likely tokens, in nats.
    student_log_probs: log q_i of the same tokens under the student.
    mask: True on positions that count.

  Returns:
    Sum in nats, weight in positions; metric `distill/kl`.

  Reference: Bai et al. 2022, appendix A, context distillation with the 50 top
  log-probabilities.
  """
  is_real = mask[:, None] & (teacher_log_probs > -jnp.inf)
  dtype = jnp.promote_types(teacher_log_probs.dtype, jnp.float32)
  teacher = jnp.where(is_real, teacher_log_probs.astype(dtype), -jnp.inf)
  student = sums.masked(
    student_log_probs, jnp.broadcast_to(mask[:, None], is_real.shape)
  )
  teacher_rest, student_rest = _log_rest(teacher), _log_rest(student)
  difference = sums.masked(teacher_log_probs, is_real) - student
  kept = jnp.sum(jnp.exp(teacher) * difference, axis=-1)
  rest = jnp.exp(teacher_rest) * (teacher_rest - student_rest)
  return sums.loss_sum('distill/kl', kept + rest, mask)


def _log_rest(log_probs: jax.Array) -> jax.Array:
  """log(1 - Σ_i p_i), at least log(MIN_REST)."""
  log_mass = jax.nn.logsumexp(log_probs, axis=-1)
  return jnp.log1p(-jnp.exp(jnp.minimum(log_mass, jnp.log1p(-MIN_REST))))
