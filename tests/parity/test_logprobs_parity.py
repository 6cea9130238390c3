"""Log-probabilities, KL and sampling against loops over the vocabulary."""

import math

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import strategies as st

from hh_jax.ops import logprobs, sampling
from tests.parity import cases, oracles

TOKENS, WIDTH, VOCAB, VALID = 5, 4, 11, 9

statics = ('num_valid', 'temperature', 'compute_dtype', 'chunk')
target_log_probs = jax.jit(
  logprobs.token_log_probs, static_argnames=(*statics, 'top_p')
)
with_entropy = jax.jit(
  logprobs.token_log_probs_and_entropy, static_argnames=(*statics, 'top_p')
)
top_k = jax.jit(logprobs.top_k_log_probs, static_argnames=(*statics, 'k'))
at_indices = jax.jit(logprobs.log_probs_at, static_argnames=statics)
exact_kl = jax.jit(logprobs.exact_kl, static_argnames=statics)
filter_logits = jax.jit(
  sampling.filter_logits, static_argnames=('top_p', 'num_valid')
)
draw = jax.jit(sampling.sample)

hiddens = cases.arrays((TOKENS, WIDTH), 3.0)
unembeds = cases.arrays((VOCAB, WIDTH), 3.0)
targets = st.lists(
  st.integers(0, VALID - 1), min_size=TOKENS, max_size=TOKENS
).map(np.int32)
temperatures = st.sampled_from([0.5, 2.0])
logit_rows = cases.arrays((TOKENS, VOCAB), 1e4)


def whole(hidden, unembed, temperature=1.0):
  """[N, VALID] float64 log-probabilities by the oracle."""
  return np.array(
    [
      oracles.log_softmax(
        oracles.logits_of(row, unembed, VALID), float(temperature)
      )
      for row in hidden
    ]
  )


def as_hidden(logits):
  """Hidden states and an unembedding whose product is exactly `logits`."""
  return np.eye(len(logits), dtype=np.float32), np.ascontiguousarray(logits.T)


@hypothesis.given(
  hiddens, unembeds, targets, temperatures, st.sampled_from([2, 1024])
)
@cases.parity_settings
def test_token_log_probs_and_entropy(
  hidden, unembed, target, temperature, chunk
):
  kwargs = {
    'num_valid': VALID,
    'temperature': temperature,
    'chunk': chunk,
  }
  got = target_log_probs(hidden, unembed, target, **kwargs)
  also, entropy = with_entropy(hidden, unembed, target, **kwargs)
  want = whole(hidden, unembed, temperature)
  picked = want[np.arange(TOKENS), target]
  # Logits reach 4 · 3 · 3 / T = 72.
  cases.assert_close(got, picked, scale=10)
  cases.assert_close(also, picked, scale=10)
  cases.assert_close(entropy, [oracles.entropy(row) for row in want], scale=10)


@hypothesis.given(logit_rows, targets, st.sampled_from([2, 1024]))
@cases.parity_settings
def test_token_log_probs_at_logits_of_ten_thousand(logits, target, chunk):
  hidden, unembed = as_hidden(logits)
  got = target_log_probs(hidden, unembed, target, num_valid=VALID, chunk=chunk)
  want = whole(hidden, unembed)[np.arange(TOKENS), target]
  cases.assert_close(got, want, scale=np.abs(logits).max())


def test_rows_beyond_the_true_vocabulary_hold_no_probability():
  logits = np.zeros((TOKENS, VOCAB), np.float32)
  logits[:, VALID:] = 1e4
  target = np.zeros(TOKENS, np.int32)
  got = target_log_probs(*as_hidden(logits), target, num_valid=VALID)
  np.testing.assert_allclose(got, -math.log(VALID), rtol=1e-6)
  leaking = target_log_probs(*as_hidden(logits), target, num_valid=VOCAB)
  assert (np.asarray(leaking) < -9e3).all()


def test_log_prob_gradients_are_finite_differences():
  rng = np.random.default_rng(0)
  hidden = rng.normal(0, 1, (TOKENS, WIDTH)).astype(np.float32)
  unembed = rng.normal(0, 1, (VOCAB, WIDTH)).astype(np.float32)
  target = np.arange(TOKENS, dtype=np.int32)
  got = jax.grad(
    lambda h, u: target_log_probs(
      h, u, target, num_valid=VALID, temperature=0.7, chunk=2
    ).sum(),
    argnums=(0, 1),
  )(hidden, unembed)

  def total(h, u):
    return whole(h, u, 0.7)[np.arange(TOKENS), target].sum()

  cases.assert_close(
    got[0], oracles.finite_differences(lambda h: total(h, unembed), hidden)
  )
  cases.assert_close(
    got[1], oracles.finite_differences(lambda u: total(hidden, u), unembed)
  )
  assert (np.asarray(got[1])[VALID:] == 0).all()


@pytest.mark.parametrize('k', [1, 3, VALID])
@pytest.mark.parametrize('chunk', [2, 1024])
def test_top_k_and_values_at_its_indices(k, chunk):
  rng = np.random.default_rng(k)
  hidden = rng.normal(0, 1, (TOKENS, WIDTH)).astype(np.float32)
  unembed = rng.normal(0, 1, (VOCAB, WIDTH)).astype(np.float32)
  unembed[VALID:] *= 100
  values, indices = top_k(hidden, unembed, k=k, num_valid=VALID, chunk=chunk)
  want = whole(hidden, unembed)
  order = np.argsort(-want, axis=1)[:, :k]
  np.testing.assert_array_equal(indices, order)
  cases.assert_close(values, np.take_along_axis(want, order, 1))
  again = at_indices(hidden, unembed, indices, num_valid=VALID, chunk=chunk)
  cases.assert_close(again, values)


def test_more_stored_tokens_than_the_vocabulary_has_are_refused():
  hidden, unembed = map(
    jnp.asarray, as_hidden(np.zeros((TOKENS, VOCAB), np.float32))
  )
  with pytest.raises(ValueError, match=str(VALID)):
    logprobs.top_k_log_probs(hidden, unembed, VALID + 1, num_valid=VALID)


@hypothesis.given(hiddens, unembeds, hiddens, unembeds, temperatures)
@cases.parity_settings
def test_exact_kl(hidden_p, unembed_p, hidden_q, unembed_q, temperature):
  got = exact_kl(
    hidden_p,
    unembed_p,
    hidden_q,
    unembed_q,
    num_valid=VALID,
    temperature=temperature,
    chunk=2,
  )
  log_p = whole(hidden_p, unembed_p, temperature)
  log_q = whole(hidden_q, unembed_q, temperature)
  want = [oracles.kl(p, q) for p, q in zip(log_p, log_q, strict=True)]
  cases.assert_close(got, want, scale=10)


@hypothesis.given(logit_rows)
@cases.parity_settings
def test_equal_policies_have_exact_kl_zero(logits):
  hidden, unembed = as_hidden(logits)
  got = exact_kl(hidden, unembed, hidden, unembed, num_valid=VALID)
  np.testing.assert_array_equal(got, np.zeros(TOKENS))


def test_k1_averages_to_the_exact_kl():
  # Σ_v p(v) (log p(v) - log q(v)) written with token_log_probs.
  rng = np.random.default_rng(4)
  p, q = rng.normal(0, 2, (2, 1, VOCAB)).astype(np.float32)
  everything = np.arange(VALID, dtype=np.int32)
  one = np.ones((VALID, 1), np.float32)
  log_p = target_log_probs(one, p.T, everything, num_valid=VALID)
  log_q = target_log_probs(one, q.T, everything, num_valid=VALID)
  want = float((jnp.exp(log_p) * (log_p - log_q)).sum())
  got = exact_kl(one[:1], p.T, one[:1], q.T, num_valid=VALID)
  assert float(got[0]) == pytest.approx(want, rel=1e-5)


@hypothesis.given(
  cases.arrays((TOKENS, VOCAB), 8.0),
  temperatures,
  st.sampled_from([0.05, 0.5, 0.9, 1.0]),
)
@cases.parity_settings
def test_filter_keeps_the_fewest_tokens_that_reach_top_p(
  logits, temperature, top_p
):
  filtered = filter_logits(
    logits, temperature=np.float32(temperature), top_p=top_p, num_valid=VALID
  )
  got = np.exp([oracles.log_softmax(row) for row in np.asarray(filtered)])
  for row, probabilities in zip(logits, got, strict=True):
    log_p = oracles.log_softmax(row[:VALID], float(temperature))
    kept = oracles.top_p_kept(log_p, top_p)
    ordered = np.sort(np.exp(log_p))[::-1]
    mass = np.cumsum(ordered)
    hypothesis.assume(top_p == 1 or np.abs(mass - top_p).min() > 1e-5)
    held = {int(v) for v in np.flatnonzero(probabilities > 0)}
    assert held <= set(range(VALID))
    if top_p == 1:
      kept = set(range(VALID))
    smallest = min(log_p[v] for v in kept)
    tied = {v for v in range(VALID) if abs(log_p[v] - smallest) < 1e-5}
    assert {v for v in kept if v not in tied} <= held <= kept | tied
    norm = math.fsum(math.exp(log_p[v]) for v in held)
    want = [math.exp(log_p[v]) / norm if v in held else 0 for v in range(VALID)]
    cases.assert_close(probabilities[:VALID], want)


def test_filter_at_extreme_logits_keeps_one_token():
  logits = np.full((2, VOCAB), -1e4, np.float32)
  logits[0, 3] = 1e4
  logits[1, VALID - 1] = 0.0
  filtered = filter_logits(
    logits, temperature=np.float32(1), top_p=0.9, num_valid=VALID
  )
  for uniform in (0.0, 0.5, 1 - 2**-24):
    token, log_prob = draw(filtered, np.full(2, uniform, np.float32))
    np.testing.assert_array_equal(token, [3, VALID - 1])
    np.testing.assert_allclose(log_prob, 0, atol=1e-6)


@hypothesis.given(
  cases.arrays((TOKENS, VOCAB), 8.0),
  cases.arrays((TOKENS,), 1.0).map(
    lambda x: np.minimum(np.abs(x), np.float32(1 - 2**-24))
  ),
  st.sampled_from([0.5, 1.0]),
)
@cases.parity_settings
def test_sampling_inverts_the_cumulative_distribution(logits, uniforms, top_p):
  filtered = filter_logits(
    logits, temperature=np.float32(1), top_p=top_p, num_valid=VALID
  )
  token, log_prob = draw(filtered, uniforms)
  for b, row in enumerate(np.asarray(filtered)):
    log_p = oracles.log_softmax(row)
    assert log_p[token[b]] > -math.inf
    cases.assert_close(log_prob[b], log_p[token[b]], scale=8)
    edges = np.cumsum(np.exp(log_p))
    if np.abs(edges - uniforms[b]).min() > 1e-5:
      assert int(token[b]) == oracles.inverse_cdf(log_p, float(uniforms[b]))


@pytest.mark.parametrize('vocab', [7, 64, 1000])
def test_sampled_frequencies_are_the_probabilities(vocab):
  # A grid of uniforms meets every token floor or ceil of p·n times.
  rng = np.random.default_rng(vocab)
  logits = rng.normal(0, 2, vocab).astype(np.float32)
  count = 1000
  grid = ((np.arange(count) + 0.5) / count).astype(np.float32)
  tokens, _ = draw(np.tile(logits, (count, 1)), grid)
  got = np.bincount(np.asarray(tokens), minlength=vocab) / count
  want = np.exp(oracles.log_softmax(logits))
  assert np.abs(got - want).max() <= 1 / count + 1e-5
  assert (np.diff(tokens) >= 0).all(), 'the order of the vocabulary is the CDF'


@pytest.mark.parametrize('vocab', [5, 130])
def test_tokens_of_no_probability_are_never_drawn(vocab):
  logits = np.full(vocab, -np.inf, np.float32)
  logits[[2, vocab - 3]] = [0.0, math.log(3)]
  uniforms = np.float32([0.0, 2**-30, 0.249, 0.251, 0.9999, 1 - 2**-24])
  tokens, log_prob = draw(np.tile(logits, (6, 1)), uniforms)
  first, last = 2, vocab - 3
  if first == last:
    np.testing.assert_array_equal(tokens, [2] * 6)
    return
  np.testing.assert_array_equal(tokens, [first] * 3 + [last] * 3)
  np.testing.assert_allclose(
    log_prob, np.log([0.25] * 3 + [0.75] * 3), rtol=1e-6
  )


def test_log_probs_under_a_nucleus_are_those_of_its_tokens():
  rng = np.random.default_rng(12)
  logits = rng.normal(0, 2, (TOKENS, VOCAB)).astype(np.float32)
  best = np.argmax(logits[:, :VALID], axis=1).astype(np.int32)
  got = target_log_probs(
    *as_hidden(logits), best, num_valid=VALID, temperature=0.5, top_p=0.8
  )
  want = []
  for row, token in zip(logits, best, strict=True):
    log_p = oracles.log_softmax(row[:VALID], 0.5)
    kept = oracles.top_p_kept(log_p, 0.8)
    want.append(log_p[token] - oracles.log_sum_exp([log_p[v] for v in kept]))
  cases.assert_close(got, want)


def test_low_precision_operands_still_accumulate_in_float32():
  rng = np.random.default_rng(9)
  hidden = rng.normal(0, 1, (TOKENS, 64)).astype(np.float32)
  unembed = rng.normal(0, 0.3, (VOCAB, 64)).astype(np.float32)
  target = np.arange(TOKENS, dtype=np.int32)
  got = target_log_probs(
    hidden, unembed, target, num_valid=VALID, compute_dtype=jnp.bfloat16
  )
  rounded = [
    np.asarray(jnp.asarray(x, jnp.bfloat16), np.float64)
    for x in (hidden, unembed)
  ]
  want = whole(*rounded)[np.arange(TOKENS), target]
  exact = whole(hidden, unembed)[np.arange(TOKENS), target]
  assert np.abs(want - exact).max() > 1e-4, 'rounding must be visible'
  cases.assert_close(got, want, scale=5)
