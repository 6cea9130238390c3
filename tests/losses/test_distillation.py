"""Bucketed KL: agreement with the full KL, the rest bucket, missing tokens."""

import jax
import jax.numpy as jnp
import numpy as np

from hh_jax.losses import distillation


def models(vocab=9, rows=3):
  logits = np.random.default_rng(0).normal(size=(2, rows, vocab))
  teacher, student = jax.nn.log_softmax(jnp.asarray(logits, jnp.float32))
  return teacher, student


def full_kl(teacher, student):
  return jnp.sum(jnp.exp(teacher) * (teacher - student))


def kl_of(teacher, student):
  real = jnp.ones(teacher.shape[0], bool)
  return float(distillation.bucketed_kl(teacher, student, real).total)


def test_all_but_one_token_stored_is_the_full_kl():
  teacher, student = models()
  got = kl_of(teacher[:, :-1], student[:, :-1])
  np.testing.assert_allclose(got, full_kl(teacher, student), rtol=1e-5)


def test_every_token_stored_is_the_full_kl():
  teacher, student = models()
  np.testing.assert_allclose(
    kl_of(teacher, student), full_kl(teacher, student), rtol=1e-4
  )


def test_fewer_categories_lose_divergence_and_none_is_negative():
  teacher, student = models()
  sizes = [kl_of(teacher[:, :k], student[:, :k]) for k in (1, 3, 6, 8)]
  assert all(a <= b + 1e-6 for a, b in zip(sizes, sizes[1:], strict=False))
  assert sizes[0] > 0


def test_the_rest_moves_the_student():
  # One stored token that both give the same mass: nothing to learn. Half the
  # mass: the student is pulled to it through token and bucket.
  half = jnp.full((1, 1), jnp.log(0.5), jnp.float32)
  real = jnp.ones(1, bool)

  def loss(student):
    return distillation.bucketed_kl(half, student, real).total

  np.testing.assert_allclose(jax.grad(loss)(half), 0.0, atol=1e-6)
  low = jnp.full((1, 1), jnp.log(0.1), jnp.float32)
  assert float(jax.grad(loss)(low)[0, 0]) < -0.1


def test_a_token_the_teacher_rules_out_costs_nothing():
  teacher, student = models()
  ruled_out = teacher[:, :4].at[:, 3].set(-jnp.inf)
  got = kl_of(ruled_out, student[:, :4])
  assert np.isfinite(got)
  p = jnp.exp(teacher[:, :3])
  q = jnp.exp(student[:, :4])
  p_rest, q_rest = 1 - p.sum(1), 1 - q.sum(1)
  want = jnp.sum(p * jnp.log(p / q[:, :3])) + jnp.sum(
    p_rest * jnp.log(p_rest / q_rest)
  )
  np.testing.assert_allclose(got, want, rtol=1e-5)
