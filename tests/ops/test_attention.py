"""Packed and cached attention: packing, blocks, gradients, memory, padding."""

import functools

import jax
import jax.numpy as jnp
import jax.test_util
import numpy as np
import pytest

from hh_jax.ops import attention, masking

HEADS, KEY_HEADS, WIDTH = 4, 2, 8
PAD = (2**31 - 2, 2**31 - 1)
# A prefix with two leaves, the second with a child; a document; a pad.
TREE = [(0, 4)] * 4 + [(1, 2)] * 3 + [(2, 4)] * 2 + [(3, 4)] + [(4, 5)] * 2
SEGMENTS = [*TREE, PAD]
DENSE = 0


@pytest.fixture(autouse=True)
def strict_promotion():
  with jax.numpy_dtype_promotion('strict'):
    yield


def heads(seed, num_tokens, batch=1, key_heads=KEY_HEADS, size=1.0):
  rng = np.random.default_rng(seed)
  shapes = [
    (batch, num_tokens, n, WIDTH) for n in (HEADS, key_heads, key_heads)
  ]
  return [jnp.asarray(size * rng.normal(size=s), jnp.float32) for s in shapes]


def intervals(segments=SEGMENTS, batch=1):
  pair = np.tile(np.asarray(segments, np.int32), (batch, 1, 1))
  return jnp.asarray(pair[..., 0]), jnp.asarray(pair[..., 1])


def one_document(num_tokens, batch=1):
  return intervals([(0, 1)] * num_tokens, batch)


attend = jax.jit(
  attention.packed_attention, static_argnames=('compute_dtype', 'block')
)


@pytest.mark.parametrize('block', [DENSE, 4])
@pytest.mark.slow
def test_every_path_of_a_tree_equals_its_own_sequence(block):
  q, k, v = heads(0, len(SEGMENTS))
  packed = attend(q, k, v, *intervals(), block=block)
  paths = [[0, 1, 2, 3, 4, 5, 6], [0, 1, 2, 3, 7, 8, 9], [10, 11], [12]]
  for path in paths:
    columns = jnp.asarray(path)
    alone = [x[:, columns] for x in (q, k, v)]
    want = attend(*alone, *one_document(len(path)))
    np.testing.assert_allclose(packed[:, columns], want, atol=1e-6)
  mixed = attend(q, k, v, *one_document(len(SEGMENTS)))
  assert np.abs(mixed - packed)[:, 7:].max() > 0.1


@pytest.mark.parametrize('block', [1, 3, 12, 13, 64])
@pytest.mark.parametrize(('size', 'tolerance'), [(1.0, 1e-5), (10.0, 1e-3)])
def test_blocks_equal_dense_whatever_the_remainder(block, size, tolerance):
  # At size 10 scores reach 300, so that weights are known to 300 * 2^-23.
  q, k, v = heads(1, len(SEGMENTS), size=size)
  dense = attend(q, k, v, *intervals(), block=DENSE)
  blocked = attend(q, k, v, *intervals(), block=block)
  np.testing.assert_allclose(blocked, dense, atol=tolerance)


@pytest.mark.parametrize('block', [1, 5, 13])
@pytest.mark.slow
def test_gradients_of_blocks_equal_dense(block):
  qkv = heads(2, len(SEGMENTS))

  @functools.partial(jax.jit, static_argnums=1)
  def grads(qkv, block):
    def loss(qkv):
      out = attention.packed_attention(*qkv, *intervals(), block=block)
      return jnp.sum(jnp.sin(3.0 * out))

    return jax.grad(loss)(qkv)

  for got, want in zip(grads(qkv, block), grads(qkv, DENSE), strict=True):
    assert np.abs(want).max() > 0.1
    np.testing.assert_allclose(got, want, atol=1e-5)


@pytest.mark.parametrize('block', [DENSE, 2])
def test_gradients_are_finite_differences(block):
  def function(q, k, v):
    return attend(q, k, v, *intervals(SEGMENTS[3:8]), block=block)

  jax.test_util.check_grads(
    function, heads(3, 5), 1, modes=['rev'], atol=2e-2, rtol=2e-2
  )


@pytest.mark.parametrize('block', [DENSE, 4])
@pytest.mark.slow
def test_low_precision_gradients_are_near_the_exact_ones(block):
  qkv = heads(4, len(SEGMENTS))

  def grads(dtype):
    def loss(qkv):
      out = attend(*qkv, *intervals(), compute_dtype=dtype, block=block)
      return jnp.sum(jnp.sin(out))

    return jax.grad(loss)(qkv)

  for low, full in zip(grads(jnp.bfloat16), grads(jnp.float32), strict=True):
    assert low.dtype == jnp.float32
    assert 0 < np.abs(low - full).max() < 0.03 * np.abs(full).max()


def test_long_rows_take_blocks_by_themselves():
  num_tokens = attention.DENSE_LIMIT + 1
  q, k, v = heads(5, num_tokens)
  q, k, v = q[:, :, :1], k[:, :, :1], v[:, :, :1]
  document = one_document(num_tokens)
  traced = str(jax.make_jaxpr(attention.packed_attention)(q, k, v, *document))
  assert f'{num_tokens},{num_tokens}]' not in traced
  mask = masking.causal_mask(num_tokens, num_tokens)
  scores = jnp.einsum('BTKH,BSKH->BTS', q, k) / jnp.sqrt(jnp.float32(WIDTH))
  weights = jax.nn.softmax(jnp.where(mask[None], scores, -jnp.inf))
  want = jnp.einsum('BTS,BSKH->BTKH', weights, v)
  np.testing.assert_allclose(attend(q, k, v, *document), want, atol=1e-5)


def temporary_bytes(num_tokens, block):
  """Scratch memory of the compiled gradient, which is never run."""

  def loss(q, k, v, enter, leave):
    out = attention.packed_attention(q, k, v, enter, leave, block=block)
    return jnp.sum(jnp.square(out))

  floats = jax.ShapeDtypeStruct((1, num_tokens, 2, 8), jnp.float32)
  ids = jax.ShapeDtypeStruct((1, num_tokens), jnp.int32)
  lowered = jax.jit(jax.grad(loss, (0, 1, 2))).lower(
    floats, floats, floats, ids, ids
  )
  return lowered.compile().memory_analysis().temp_size_in_bytes


@pytest.mark.slow
def test_memory_of_the_gradient_grows_with_tokens_not_their_square():
  assert temporary_bytes(1024, DENSE) > 3 * temporary_bytes(512, DENSE)
  assert temporary_bytes(2048, 128) < 2.5 * temporary_bytes(1024, 128)


@pytest.mark.parametrize('block', [DENSE, 3])
def test_rows_of_padding_and_single_tokens_are_finite(block):
  q, k, v = heads(6, 4)
  padding = intervals([PAD] * 4)
  out, grads = jax.value_and_grad(
    lambda *qkv: jnp.sum(attend(*qkv, *padding, block=block)), (0, 1, 2)
  )(q, k, v)
  assert np.isfinite(out)
  assert all(np.isfinite(g).all() for g in grads)
  one = attend(q[:, :1], k[:, :1], v[:, :1], *one_document(1), block=block)
  np.testing.assert_allclose(one, jnp.repeat(v[:, :1], 2, axis=2), atol=1e-6)


@pytest.mark.parametrize('block', [DENSE, 3])
def test_padding_a_row_changes_nothing(block):
  q, k, v = heads(7, 5)
  short = attend(q, k, v, *intervals(SEGMENTS[4:9]), block=block)
  wide = [jnp.pad(x, ((0, 0), (0, 3), (0, 0), (0, 0))) + 1e4 for x in (q, k, v)]
  wide = [w.at[:, :5].set(x) for w, x in zip(wide, (q, k, v), strict=True)]
  padded = intervals([*SEGMENTS[4:9], PAD, PAD, PAD])
  long = attend(*wide, *padded, block=block)
  np.testing.assert_allclose(long[:, :5], short, atol=1e-6)
  assert np.isfinite(long).all()


@pytest.mark.parametrize('block', [DENSE, 3])
def test_scores_of_ten_thousand_pick_one_value(block):
  q, k, v = heads(8, 6, key_heads=HEADS)
  q = jnp.full_like(q, 200.0)
  k = jnp.zeros_like(k).at[:, 2].set(200.0).at[:, 4].set(-200.0)
  out = attend(q, k, v, *one_document(6), block=block)
  want = jnp.repeat(v[:, 2:3], 4, axis=1)
  np.testing.assert_allclose(out[:, 2:], want, atol=1e-6)


def test_permuting_the_batch_permutes_the_output():
  q, k, v = heads(9, 4, batch=3)
  enter, leave = intervals(SEGMENTS[2:6], batch=3)
  order = jnp.asarray([2, 0, 1])
  out = attend(q, k, v, enter, leave)
  moved = attend(q[order], k[order], v[order], enter, leave)
  np.testing.assert_allclose(moved, out[order], atol=1e-6)


def test_the_gradient_never_flows_from_a_later_token():
  q, k, v = heads(10, 6)

  def third(v):
    return jnp.sum(attend(q, k, v, *one_document(6))[:, 3])

  grad = np.asarray(jax.grad(third)(v))
  assert (grad[:, :4] != 0).all()
  assert (grad[:, 4:] == 0).all()


def cache_of(*tensors):
  """Keys and values as a cache holds them, [B, K, S, H]."""
  return [x.swapaxes(1, 2) for x in tensors]


@pytest.mark.parametrize('key_heads', [1, 2, 4])
@pytest.mark.slow
def test_cached_attention_is_the_last_row_of_full_attention(key_heads):
  lengths, slots = [1, 3, 6], 8
  q, k, v = heads(11, slots, batch=3, key_heads=key_heads)
  full = attend(q, k, v, *one_document(slots, batch=3))
  last = [n - 1 for n in lengths]
  rows = jnp.arange(3)
  got = attention.cached_attention(
    q[rows, jnp.asarray(last)],
    *cache_of(k, v),
    jnp.asarray(lengths, jnp.int32),
  )
  np.testing.assert_allclose(got, full[rows, jnp.asarray(last)], atol=1e-6)


def test_unused_slots_of_the_cache_are_not_read():
  q, k, v = heads(12, 6)
  keys, values = cache_of(k, v)
  length = jnp.asarray([4], jnp.int32)
  clean = attention.cached_attention(q[:, 3], keys, values, length)
  dirty = attention.cached_attention(
    q[:, 3],
    keys.at[..., 4:, :].set(1e4),
    values.at[..., 4:, :].set(1e4),
    length,
  )
  np.testing.assert_array_equal(clean, dirty)


def test_a_low_precision_cache_gives_float32():
  q, k, v = heads(13, 6)
  low = cache_of(*(x.astype(jnp.bfloat16) for x in (k, v)))
  length = jnp.asarray([6], jnp.int32)
  got = attention.cached_attention(
    q[:, 5], *low, length, compute_dtype=jnp.bfloat16
  )
  full = attend(q, k, v, *one_document(6))[:, 5]
  assert got.dtype == jnp.float32
  np.testing.assert_allclose(got, full, atol=0.05)


def test_heads_that_do_not_divide_are_refused():
  q, k, v = heads(14, 3, key_heads=3)
  with pytest.raises(ValueError, match='3 key heads'):
    attention.packed_attention(q, k, v, *one_document(3))


@pytest.mark.parametrize('key_heads', [1, 2, 4])
def test_a_prompt_apart_is_attended_like_one_in_the_cache(key_heads):
  """Two prompts, three rows: two samples of the second, one of the first."""
  q, k, v = heads(15, 7, batch=3, key_heads=key_heads)
  prompt_lengths, own_lengths = [2, 4], [3, 1, 2]
  owner, member = [1, 0, 1], [2, 0, 3]
  k, v = (x.at[2].set(x[0].at[4:].set(x[2, 4:])) for x in (k, v))
  prompt_rows = jnp.asarray([1, 0])  # of the rows, the one that holds a prompt
  prompts = attention.Prompts(
    *cache_of(*(x[prompt_rows, :5] for x in (k, v))),
    length=jnp.asarray(prompt_lengths, jnp.int32),
    rows=jnp.asarray([[1, 3], [0, 2]], jnp.int32),  # 3: not there
    member=jnp.asarray(member, jnp.int32),
  )
  starts = [prompt_lengths[prompt] for prompt in owner]
  own = [
    jnp.stack([x[row, start : start + 3] for row, start in enumerate(starts)])
    for x in (k, v)
  ]
  got = attention.cached_attention(
    q[:, -1],
    *cache_of(*own),
    jnp.asarray(own_lengths, jnp.int32),
    prompts=prompts,
  )
  whole = jnp.asarray(np.add(starts, own_lengths), jnp.int32)
  want = attention.cached_attention(q[:, -1], *cache_of(k, v), whole)
  np.testing.assert_allclose(got, want, atol=1e-6)
  alone = attention.cached_attention(
    q[:, -1], *cache_of(*own), jnp.asarray(own_lengths, jnp.int32)
  )
  assert np.abs(alone - want).max() > 0.01  # the prompt matters
