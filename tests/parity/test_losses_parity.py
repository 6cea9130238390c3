"""lm, distillation and preference losses against the paper's equations."""

import functools
import math

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import strategies as st

from hh_jax.losses import distillation, lm, preference
from tests.parity import cases, oracles

PAIRS = 6
TOKENS, STORED, VOCAB = 4, 50, 60

pairwise = jax.jit(preference.pairwise_loss)
distill = jax.jit(distillation.bucketed_kl)
next_token = jax.jit(lm.next_token_loss)

pair_cases = st.tuples(
  cases.arrays((PAIRS,), 1e4),
  cases.arrays((PAIRS,), 1e4),
  cases.arrays((PAIRS,), 3.0).map(np.abs),
  cases.masks(PAIRS),
)


@functools.cache
def vocabulary_log_probs(seed, spread=1.5):
  """[TOKENS, VOCAB] float64 log-probabilities of a random model."""
  logits = np.random.default_rng(seed).normal(0, spread, (TOKENS, VOCAB))
  return np.array([oracles.log_softmax(row) for row in logits])


def stored_categories(seed, student_spread=1.5):
  """Teacher's top STORED log-probs and the student's at the same tokens."""
  teacher = vocabulary_log_probs(seed)
  student = vocabulary_log_probs(seed + 1000, student_spread)
  indices = np.argsort(-teacher, axis=1)[:, :STORED]
  return (
    np.take_along_axis(teacher, indices, 1).astype(np.float32),
    np.take_along_axis(student, indices, 1).astype(np.float32),
  )


def check_pairs(loss, chosen, rejected, weight, mask, tolerance):
  want = oracles.pairwise_loss(chosen, rejected, weight, mask)
  spread = cases.magnitude(chosen[mask], rejected[mask])
  near = functools.partial(
    cases.assert_close, scale=spread, tolerance=tolerance
  )
  near(loss.total, want['total'], scale=spread * max(1, *weight))
  near(loss.weight, want['weight'])
  near(
    loss.metrics['pm/loss'][0], want['total'], scale=spread * max(1, *weight)
  )
  near(loss.metrics['pm/accuracy'], [want['accuracy'], want['weight']])
  near(loss.metrics['pm/margin'], [want['margin'], want['weight']])


@hypothesis.given(pair_cases)
@cases.parity_settings
def test_pairwise_loss(case):
  for loss, tolerance in cases.in_both_precisions(pairwise, *case):
    check_pairs(loss, *case, tolerance)


@pytest.mark.parametrize(
  ('gap', 'probability'), [(0.0, 0.5), (0.5, 0.622), (1.0, 0.731), (2.0, 0.881)]
)
def test_pairwise_loss_at_the_papers_points(gap, probability):
  one = jnp.ones((1,), jnp.float32)
  loss = preference.pairwise_loss(gap * one, 0 * one, one, jnp.ones((1,), bool))
  assert math.exp(-float(loss.total)) == pytest.approx(probability, abs=6e-4)


def test_pairwise_loss_far_from_zero_is_linear_on_one_side_and_zero_on_other():
  one, real = np.ones(2, np.float32), np.ones(2, bool)
  loss = pairwise(
    np.array([1e4, -1e4], np.float32),
    np.array([-1e4, 1e4], np.float32),
    one,
    real,
  )
  assert float(loss.total) == pytest.approx(2e4)
  grad = jax.grad(lambda good: pairwise(good, -good, one, real).total)(
    jnp.array([1e4, -1e4], jnp.float32)
  )
  np.testing.assert_allclose(grad, [0, -2], atol=1e-6)


@hypothesis.given(pair_cases, st.sampled_from([-64.0, 0.5, 1024.0]))
@cases.parity_settings
@pytest.mark.slow
def test_only_score_differences_matter(case, shift):
  chosen, rejected, weight, mask = case
  hypothesis.assume(np.abs([chosen, rejected]).max() < 100)
  before = pairwise(*case)
  after = pairwise(
    chosen + np.float32(shift), rejected + np.float32(shift), weight, mask
  )
  # Adding 1024 to a score rounds it by up to 2^-14.
  slack = 2.0**-13 * PAIRS * max(1, *weight)
  assert abs(float(before.total) - float(after.total)) <= slack


@hypothesis.given(pair_cases)
@cases.parity_settings
def test_swapping_the_sides_negates_margin_and_mirrors_accuracy(case):
  chosen, rejected, weight, mask = case
  there = pairwise(chosen, rejected, weight, mask).metrics
  back = pairwise(rejected, chosen, weight, mask).metrics
  np.testing.assert_array_equal(
    there['pm/margin'] * np.array([-1, 1], np.float32), back['pm/margin']
  )
  assert float(there['pm/accuracy'][0] + back['pm/accuracy'][0]) == mask.sum()


@pytest.mark.parametrize('loss', ['total', 'weight'])
def test_all_masked_pairs_give_zero(loss):
  junk = np.full(PAIRS, 1e4, np.float32)
  out = pairwise(junk, -junk, junk, np.zeros(PAIRS, bool))
  assert float(out.__dict__[loss]) == 0
  assert all((np.asarray(m) == 0).all() for m in out.metrics.values())


def test_pairwise_gradient_is_the_finite_difference():
  rng = np.random.default_rng(1)
  chosen, rejected = rng.normal(0, 2, (2, PAIRS)).astype(np.float32)
  weight = rng.uniform(0, 2, PAIRS).astype(np.float32)
  mask = np.arange(PAIRS) != 2
  got = jax.grad(
    lambda good, bad: pairwise(good, bad, weight, mask).total,
    argnums=(0, 1),
  )(chosen, rejected)

  def total(good, bad):
    return oracles.pairwise_loss(good, bad, weight, mask)['total']

  cases.assert_close(
    got[0], oracles.finite_differences(lambda x: total(x, rejected), chosen)
  )
  cases.assert_close(
    got[1], oracles.finite_differences(lambda x: total(chosen, x), rejected)
  )


@hypothesis.given(st.integers(0, 40), cases.masks(TOKENS))
@cases.parity_settings
def test_bucketed_kl(seed, mask):
  teacher, student = stored_categories(seed)
  want = oracles.bucketed_kl(teacher, student, mask)
  rest = 1 - np.exp(teacher.astype(np.float64)).sum(1)
  assert (rest > 1e-3).all(), 'the bucket must hold mass for a fair comparison'
  # The rest is a difference of numbers near 1, and its logarithm is taken.
  scale = 1 / rest.min()
  for loss, tolerance in cases.in_both_precisions(
    distill, teacher, student, mask
  ):
    cases.assert_close(loss.total, want, scale=scale, tolerance=tolerance)
    cases.assert_close(loss.weight, mask.sum())


def test_bucketed_kl_is_a_lower_bound_of_the_whole_kl():
  # Merging categories into a bucket can only lose divergence.
  teacher, student = stored_categories(5)
  got = distill(teacher, student, np.ones(TOKENS, bool))
  whole = math.fsum(
    oracles.kl(p, q)
    for p, q in zip(
      vocabulary_log_probs(5), vocabulary_log_probs(1005), strict=True
    )
  )
  assert 0.5 * whole < float(got.total) < whole


def test_bucketed_kl_of_equal_models_is_zero_and_has_no_gradient():
  teacher, _ = stored_categories(7)
  mask = np.ones(TOKENS, bool)
  assert abs(float(distill(teacher, teacher, mask).total)) < 1e-6
  # Zero for changes that keep the probabilities summing to one, that is for
  # logits; the bucket holds the rest of the mass.
  logits = vocabulary_log_probs(7).astype(np.float32)
  indices = np.argsort(-logits, axis=1)[:, :STORED]

  def loss(logits):
    student = jax.nn.log_softmax(logits)
    picked = jnp.take_along_axis(student, indices, 1)
    return distill(teacher, picked, mask).total

  np.testing.assert_allclose(jax.grad(loss)(logits), 0, atol=2e-6)


def test_bucketed_kl_gradient_is_the_finite_difference():
  teacher, student = (x[:, :7] for x in stored_categories(11))
  mask = np.array([True, False, True, True])
  got = jax.grad(lambda x: distill(teacher, x, mask).total)(student)
  want = oracles.finite_differences(
    lambda x: oracles.bucketed_kl(teacher, x, mask), student
  )
  assert (got[1] == 0).all()
  cases.assert_close(got, want)


def extreme_stored(kind):
  """Teacher and student whose bucket is empty, full or far off."""
  certain = np.full((TOKENS, 3), -1e4, np.float32)
  certain[:, 0] = 0.0
  full = np.log(np.full((TOKENS, 3), 1 / 3)).astype(np.float32)
  none = np.full((TOKENS, 3), -1e4, np.float32)
  return {
    'both certain': (certain, certain),
    'no bucket left': (full, full),
    'sums above one': (full + np.float32(1e-6), full + np.float32(1e-6)),
    'all in the bucket': (none, none),
    'student certain': (full, certain),
    'teacher certain': (certain, full),
  }[kind]


@pytest.mark.parametrize(
  'kind',
  [
    'both certain',
    'no bucket left',
    'sums above one',
    'all in the bucket',
    'student certain',
    'teacher certain',
  ],
)
def test_bucketed_kl_stays_finite_with_an_empty_or_full_bucket(kind):
  teacher, student = extreme_stored(kind)
  mask = np.ones(TOKENS, bool)
  total, grad = jax.value_and_grad(lambda x: distill(teacher, x, mask).total)(
    student
  )
  assert np.isfinite(total)
  assert np.isfinite(grad).all()
  expected = {'student certain': 1e4, 'teacher certain': TOKENS * math.log(3)}
  if kind == 'teacher certain':
    assert float(total) == pytest.approx(expected[kind], rel=1e-4)
  elif kind == 'student certain':
    assert float(total) > expected[kind]
  else:
    assert abs(float(total)) < 1e-4


def extreme_pair(rng, length):
  """Teacher and student at five stored tokens of eight, logits near ±1e4.

  The teacher rules out a stored token and one of the bucket, the student two
  others, so that a stored token costs 1e4 nats and both buckets hold mass.
  """
  logits = 1e4 + rng.normal(size=(2, length, 8))
  logits[0][:, [4, 7]] -= 2e4
  logits[1][:, [0, 6]] -= 2e4
  log_probs = logits - np.logaddexp.reduce(logits, axis=-1, keepdims=True)
  return np.float32(log_probs[..., :5])


@pytest.mark.parametrize('length', [0, 1, 6])
def test_bucketed_kl_of_extreme_logits_and_short_sequences(length):
  slope = jax.grad(
    lambda student, teacher, mask: distill(teacher, student, mask).total
  )
  for seed in range(10):
    teacher, student = extreme_pair(np.random.default_rng(seed), length)
    mask = np.arange(length) != 2
    if length > 1:
      assert min(teacher.min(), student.min()) < -1e4
    rest = 1 - np.exp(np.float64([teacher, student])).sum(-1)
    assert (rest > 1e-3).all()
    want = oracles.bucketed_kl(teacher, student, mask)
    assert length == 0 or want > 100
    for loss, tolerance in cases.in_both_precisions(
      distill, teacher, student, mask
    ):
      cases.assert_close(
        loss.total,
        want,
        scale=1 / rest.min(initial=1.0),
        tolerance=tolerance,
      )
      assert float(loss.weight) == mask.sum()
    grad = slope(student, teacher, mask)
    assert np.isfinite(grad).all()


def test_masked_positions_of_bucketed_kl_change_nothing():
  teacher, student = stored_categories(13)
  mask = np.array([True, False, True, False])
  junk_teacher, junk_student = teacher.copy(), student.copy()
  junk_teacher[~mask], junk_student[~mask] = 0.0, -1e4
  clean = distill(teacher, student, mask)
  dirty = distill(junk_teacher, junk_student, mask)
  np.testing.assert_array_equal(clean.total, dirty.total)
  grad = jax.grad(lambda x: distill(junk_teacher, x, mask).total)(junk_student)
  assert np.isfinite(grad).all()
  assert (grad[~mask] == 0).all()
  assert (grad[mask] != 0).any()


@hypothesis.given(
  cases.arrays((8,), 1e4).map(lambda x: -np.abs(x)), cases.masks(8)
)
@cases.parity_settings
def test_next_token_loss(log_probs, mask):
  want = oracles.next_token_loss(log_probs, mask)
  for loss, tolerance in cases.in_both_precisions(next_token, log_probs, mask):
    near = functools.partial(cases.assert_close, tolerance=tolerance)
    near(loss.total, want)
    near(loss.weight, mask.sum())
    near(loss.metrics['lm/loss'], [want, mask.sum()], scale=want)


def test_next_token_gradient_is_minus_the_mask():
  mask = np.array([True, False, True])
  grad = jax.grad(lambda x: next_token(x, mask).total)(
    jnp.array([-1.0, -1e4, 0.0], jnp.float32)
  )
  np.testing.assert_array_equal(grad, [-1, 0, -1])
