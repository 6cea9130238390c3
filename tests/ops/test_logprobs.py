"""Chunked log-probabilities against whole logits, and what they never make."""

import functools

import jax
import jax.numpy as jnp
import jax.test_util
import numpy as np
import pytest

from hh_jax.ops import logprobs, sampling

ROWS, WIDTH, VOCAB, VALID, STORED = 7, 6, 24, 21, 5
OPTIONS = {'num_valid': VALID, 'temperature': 0.8}


@pytest.fixture(autouse=True)
def strict_promotion():
  with jax.numpy_dtype_promotion('strict'):
    yield


def inputs(rows=ROWS, seed=0):
  rng = np.random.default_rng(seed)
  hidden = jnp.asarray(rng.normal(size=(rows, WIDTH)), jnp.float32)
  unembed = jnp.asarray(rng.normal(size=(VOCAB, WIDTH)), jnp.float32)
  targets = jnp.asarray(rng.integers(0, VALID, rows), jnp.int32)
  return hidden, unembed, targets


def whole(hidden, unembed, temperature=0.8, top_p=1.0):
  logits = sampling.filter_logits(
    hidden @ unembed.T, temperature=temperature, top_p=top_p, num_valid=VALID
  )
  return jax.nn.log_softmax(logits)


@functools.partial(
  jax.jit, static_argnames=('chunk', 'temperature', 'compute_dtype')
)
def everything(hidden, unembed, targets, chunk, **options):
  """The result of every function, with the same options."""
  options = {**OPTIONS, **options, 'chunk': chunk}
  indices = jnp.stack([targets] * STORED, axis=1)
  log_probs, entropy = logprobs.token_log_probs_and_entropy(
    hidden, unembed, targets, **options
  )
  best, tokens = logprobs.top_k_log_probs(hidden, unembed, STORED, **options)
  return {
    'target': logprobs.token_log_probs(hidden, unembed, targets, **options),
    'target too': log_probs,
    'entropy': entropy,
    'best': best,
    'tokens': tokens,
    'at': logprobs.log_probs_at(hidden, unembed, indices, **options),
    'kl': logprobs.exact_kl(
      hidden, unembed, hidden[::-1], unembed[::-1], **options
    ),
  }


@pytest.mark.parametrize('chunk', [1, 2, 3, 6, 7, 100])
@pytest.mark.slow
def test_every_chunk_size_gives_the_dense_result(chunk):
  hidden, unembed, targets = inputs()
  got = everything(hidden, unembed, targets, chunk)
  dense, rows = whole(hidden, unembed), jnp.arange(ROWS)
  other = whole(hidden[::-1], unembed[::-1])
  probs = jnp.exp(dense)
  best, tokens = jax.lax.top_k(dense, STORED)
  target = dense[rows, targets]
  want = {
    'target': target,
    'target too': target,
    'entropy': -jnp.sum(probs * jnp.where(probs > 0, dense, 0.0), -1),
    'best': best,
    'tokens': tokens,
    'at': jnp.stack([target] * STORED, axis=1),
    'kl': jnp.sum(probs * jnp.where(probs > 0, dense - other, 0.0), -1),
  }
  assert (np.asarray(want['kl']) > 0.1).all()
  assert got['tokens'].dtype == jnp.int32
  for name, expected in want.items():
    np.testing.assert_allclose(got[name], expected, atol=2e-5, err_msg=name)
    assert got[name].shape == expected.shape


@pytest.mark.parametrize('rows', [0, 1])
def test_one_row_and_none(rows):
  hidden, unembed, targets = inputs(rows)
  got = logprobs.token_log_probs(hidden, unembed, targets, **OPTIONS)
  want = whole(hidden, unembed)[jnp.arange(rows), targets]
  np.testing.assert_allclose(got, want, atol=1e-6)


def test_filling_up_the_last_chunk_adds_no_gradient():
  hidden, unembed, targets = inputs()

  @functools.partial(jax.jit, static_argnums=2)
  def grads(hidden, unembed, chunk):
    def loss(hidden, unembed):
      log_probs, entropy = logprobs.token_log_probs_and_entropy(
        hidden, unembed, targets, chunk=chunk, **OPTIONS
      )
      return jnp.sum(log_probs + 0.3 * entropy)

    return jax.grad(loss, (0, 1))(hidden, unembed)

  for got, want in zip(
    grads(hidden, unembed, 4), grads(hidden, unembed, 100), strict=True
  ):
    assert np.abs(want).max() > 0.1
    np.testing.assert_allclose(got, want, atol=1e-5)


@pytest.mark.parametrize('chunk', [3, 100])
def test_gradients_are_finite_differences(chunk):
  hidden, unembed, targets = inputs(4)

  @jax.jit
  def function(hidden, unembed):
    result = everything(hidden, unembed, targets, chunk)
    return [result[name] for name in ('target', 'entropy', 'at', 'kl')]

  jax.test_util.check_grads(
    function, (hidden, unembed), 1, modes=['rev'], atol=2e-2, rtol=2e-2
  )


def test_extreme_logits_stay_finite_in_value_and_gradient():
  unembed = jnp.zeros((VOCAB, WIDTH), jnp.float32)
  unembed = unembed.at[:, 0].set(jnp.linspace(-1e4, 1e4, VOCAB))
  hidden = jnp.zeros((2, WIDTH), jnp.float32).at[:, 0].set(1.0)
  targets = jnp.asarray([0, VALID - 1], jnp.int32)

  def total(hidden, unembed):
    result = everything(hidden, unembed, targets, 100, temperature=1.0)
    result.pop('tokens')
    return sum(jnp.sum(x) for x in result.values())

  value, grads = jax.jit(jax.value_and_grad(total, (0, 1)))(hidden, unembed)
  assert np.isfinite(value)
  assert all(np.isfinite(g).all() for g in grads)
  got = logprobs.token_log_probs(hidden, unembed, targets, num_valid=VALID)
  gap = unembed[0, 0] - unembed[VALID - 1, 0]
  np.testing.assert_allclose(got, [gap, 0.0], atol=1e-2)


def test_padding_rows_of_the_unembedding_change_nothing():
  hidden, unembed, targets = inputs()
  moved = unembed.at[VALID:].set(50.0)
  assert not np.array_equal(hidden @ unembed.T, hidden @ moved.T)
  there = everything(hidden, unembed, targets, 100)
  here = everything(hidden, moved, targets, 100)
  there.pop('kl'), here.pop('kl')
  for name, expected in there.items():
    np.testing.assert_array_equal(here[name], expected, err_msg=name)
  grad = jax.grad(
    lambda u: jnp.sum(
      logprobs.token_log_probs(hidden, u, targets, num_valid=VALID)
    )
  )(moved)
  assert (np.asarray(grad)[VALID:] == 0).all()


def test_nucleus_and_temperature_are_those_of_the_sampler():
  hidden, unembed, _ = inputs()
  filtered = sampling.filter_logits(
    hidden @ unembed.T, temperature=0.6, top_p=0.7, num_valid=VALID
  )
  uniforms = jnp.linspace(0.0, 0.99, ROWS, dtype=jnp.float32)
  tokens, drawn = sampling.sample(filtered, uniforms)
  got = logprobs.token_log_probs(
    hidden, unembed, tokens, num_valid=VALID, temperature=0.6, top_p=0.7
  )
  full = logprobs.token_log_probs(
    hidden, unembed, tokens, num_valid=VALID, temperature=0.6
  )
  assert np.abs(got - full).max() > 0.1
  np.testing.assert_allclose(got, drawn, atol=1e-5)


def test_uniform_logits_have_the_entropy_of_the_vocabulary():
  hidden = jnp.zeros((2, WIDTH), jnp.float32)
  _, unembed, _ = inputs()
  _, entropy = logprobs.token_log_probs_and_entropy(
    hidden, unembed, jnp.zeros(2, jnp.int32), num_valid=VALID
  )
  np.testing.assert_allclose(entropy, np.log(VALID), rtol=1e-6)


@pytest.mark.parametrize('dtype', [jnp.bfloat16, jnp.float32])
def test_results_are_float32_and_near_the_exact_ones(dtype):
  hidden, unembed, targets = inputs()
  got = everything(hidden, unembed, targets, 4, compute_dtype=dtype)
  want = everything(hidden, unembed, targets, 4)
  got.pop('tokens')
  for name, value in got.items():
    assert value.dtype == jnp.float32
    np.testing.assert_allclose(value, want[name], atol=0.1, err_msg=name)


def test_more_tokens_than_the_vocabulary_are_refused():
  hidden, unembed, _ = inputs()
  with pytest.raises(ValueError, match='k=22'):
    logprobs.top_k_log_probs(hidden, unembed, VALID + 1, num_valid=VALID)


def test_whole_logits_exist_in_neither_pass():
  def loss(hidden, unembed, targets):
    return jnp.sum(
      logprobs.token_log_probs(
        hidden, unembed, targets, num_valid=4096, chunk=64
      )
    )

  compiled = (
    jax.jit(jax.grad(loss, (0, 1)))
    .lower(
      jax.ShapeDtypeStruct((2048, 8), jnp.float32),
      jax.ShapeDtypeStruct((4096, 8), jnp.float32),
      jax.ShapeDtypeStruct((2048,), jnp.int32),
    )
    .compile()
  )
  whole_logits = 4 * 2048 * 4096
  assert compiled.memory_analysis().temp_size_in_bytes < whole_logits / 4
