"""Filtering and drawing: frequencies, edges, padding, nucleus."""

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from hh_jax.ops import masking, sampling

LAST = np.float32(1 - 2**-24)


@pytest.fixture(autouse=True)
def strict_promotion():
  with jax.numpy_dtype_promotion('strict'):
    yield


sample = jax.jit(sampling.sample)
filter_logits = jax.jit(
  sampling.filter_logits, static_argnames=('top_p', 'num_valid')
)


def test_filter_divides_and_removes_columns_beyond_the_vocabulary():
  logits = jnp.asarray([[1.0, -2.0, 3.0, 9.0]], jnp.float32)
  got = filter_logits(logits, temperature=0.5, num_valid=3)
  np.testing.assert_allclose(got[0, :3], [2.0, -4.0, 6.0])
  assert got[0, 3] == masking.MASKED_LOGIT
  assert jax.nn.softmax(got)[0, 3] == 0
  low = filter_logits(logits.astype(jnp.bfloat16), num_valid=3)
  assert low.dtype == jnp.float32


@pytest.mark.parametrize(
  ('top_p', 'kept'),
  [(1.0, 4), (0.99, 4), (0.85, 3), (0.75, 2), (0.5, 1), (1e-9, 1)],
)
def test_nucleus_keeps_the_token_that_reaches_top_p(top_p, kept):
  probs = np.asarray([0.05, 0.5, 0.15, 0.3], np.float32)
  logits = jnp.log(jnp.asarray(probs))[None]
  got = filter_logits(logits, top_p=top_p, num_valid=4)[0]
  largest = np.argsort(-probs)[:kept]
  is_kept = np.asarray(got > masking.MASKED_LOGIT / 2)
  assert set(np.flatnonzero(is_kept)) == set(largest)
  np.testing.assert_array_equal(got[is_kept], logits[0][is_kept])


def test_tied_tokens_leave_or_stay_together():
  logits = jnp.asarray([[0.0, 0.0, -5.0, 0.0]], jnp.float32)
  got = filter_logits(logits, top_p=0.4, num_valid=4)[0]
  np.testing.assert_array_equal(got > -1e9, [True, True, False, True])


def test_full_nucleus_is_not_sorted():
  def trace(top_p):
    return str(
      jax.make_jaxpr(
        lambda x: sampling.filter_logits(x, top_p=top_p, num_valid=4)
      )(jnp.zeros((2, 4), jnp.float32))
    )

  assert 'sort' in trace(0.9)
  assert 'sort' not in trace(1.0)


@pytest.mark.parametrize('vocab', [1, 2, 3, 16, 17, 300])
def test_a_grid_of_uniforms_meets_every_token_as_often_as_likely(vocab):
  rng = np.random.default_rng(vocab)
  logits = rng.normal(size=vocab)
  count = 4000
  grid = jnp.arange(count, dtype=jnp.float32) / count
  rows = jnp.broadcast_to(jnp.asarray(logits, jnp.float32), (count, vocab))
  tokens, log_probs = sample(rows, grid)
  probs = np.exp(logits) / np.exp(logits).sum()
  frequencies = np.bincount(tokens, minlength=vocab) / count
  np.testing.assert_allclose(frequencies, probs, atol=1.5 / count)
  np.testing.assert_allclose(log_probs, np.log(probs)[tokens], atol=1e-5)


def test_random_uniforms_pass_a_chi_squared_test():
  count, vocab = 20_000, 40
  rng = np.random.default_rng(0)
  logits = jnp.asarray(rng.normal(size=vocab), jnp.float32)
  uniforms = jax.random.uniform(jax.random.key(0), (count,))
  tokens, _ = sample(jnp.broadcast_to(logits, (count, vocab)), uniforms)
  expected = count * np.asarray(jax.nn.softmax(logits))
  observed = np.bincount(tokens, minlength=vocab)
  statistic = ((observed - expected) ** 2 / expected).sum()
  # 39 degrees of freedom: 72 is the 99.9th percentile.
  assert statistic < 72


@pytest.mark.parametrize('vocab', [3, 50])
@pytest.mark.parametrize('uniform', [0.0, 0.3, LAST])
def test_padding_and_improbable_tokens_are_never_drawn(vocab, uniform):
  alive = [1, vocab // 2]
  logits = np.full((len(alive), vocab + 5), -1e4, np.float32)
  logits[np.arange(len(alive)), alive] = 1e4
  logits[:, vocab:] = 2e4
  filtered = filter_logits(jnp.asarray(logits), num_valid=vocab)
  uniforms = jnp.full(len(alive), uniform, jnp.float32)
  tokens, log_probs = sample(filtered, uniforms)
  np.testing.assert_array_equal(tokens, alive)
  np.testing.assert_array_equal(log_probs, 0.0)


@pytest.mark.parametrize('vocab', [1, 13, 300])
@pytest.mark.parametrize('bad', [np.nan, np.inf])
@pytest.mark.parametrize('is_everywhere', [True, False])
def test_logits_that_are_not_finite_give_a_token_and_no_log_prob(
  vocab, bad, is_everywhere
):
  logits = np.zeros((3, vocab + 3), np.float32)
  logits[:, slice(vocab) if is_everywhere else vocab // 2] = bad
  filtered = filter_logits(jnp.asarray(logits), num_valid=vocab)
  tokens, log_probs = sample(filtered, jnp.asarray([0, 0.5, LAST], jnp.float32))
  assert ((tokens >= 0) & (tokens < vocab)).all()
  assert np.isnan(log_probs).all()


@hypothesis.given(
  hnp.arrays(
    np.float32,
    (1, 37),
    elements=st.one_of(
      st.floats(-20, 20, width=32),
      st.sampled_from([0.0, -87.0, -110.0, -1e4, 1e4]),
    ),
  ),
  st.one_of(
    st.floats(0, float(LAST), width=32), st.sampled_from([0.0, float(LAST)])
  ),
)
@hypothesis.settings(max_examples=150)
def test_any_uniform_gives_a_token_with_probability_near_its_place(
  logits, uniform
):
  uniforms = jnp.asarray([uniform], jnp.float32)
  token, log_prob = (float(x[0]) for x in sample(jnp.asarray(logits), uniforms))
  exact = logits[0].astype(np.float64)
  probs = np.exp(exact - exact.max())
  probs /= probs.sum()
  assert probs[int(token)] > 0
  np.testing.assert_allclose(np.exp(log_prob), probs[int(token)], atol=1e-6)
  edges = np.append(0.0, np.cumsum(probs))
  assert edges[int(token)] - 1e-6 <= uniform <= edges[int(token) + 1] + 1e-6


def test_log_prob_is_the_one_of_the_filtered_distribution():
  rng = np.random.default_rng(1)
  logits = jnp.asarray(rng.normal(size=(8, 30)), jnp.float32)
  filtered = filter_logits(logits, temperature=0.7, top_p=0.8, num_valid=25)
  uniforms = jnp.linspace(0, 0.99, 8, dtype=jnp.float32)
  tokens, log_probs = sample(filtered, uniforms)
  assert tokens.dtype == jnp.int32
  want = jax.nn.log_softmax(filtered)[jnp.arange(8), tokens]
  np.testing.assert_allclose(log_probs, want, atol=1e-5)
  assert (np.asarray(want) > -20).all()


def test_a_row_does_not_depend_on_the_other_rows():
  rng = np.random.default_rng(2)
  logits = jnp.asarray(rng.normal(size=(5, 20)), jnp.float32)
  uniforms = jnp.asarray(rng.uniform(size=5), jnp.float32)
  together = sample(logits, uniforms)
  alone = [sample(logits[i : i + 1], uniforms[i : i + 1]) for i in range(5)]
  for whole, parts in zip(together, zip(*alone, strict=True), strict=True):
    np.testing.assert_array_equal(whole, np.concatenate(parts))
