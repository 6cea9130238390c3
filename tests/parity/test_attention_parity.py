"""Rotary embedding and tree attention against explicit ancestor paths."""

import functools

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import strategies as st

from hh_jax.ops import attention, masking, rotary
from tests.parity import cases, geometry, oracles

ROW, HEADS, KEY_HEADS, WIDTH = 24, 4, 2, 6
PAD_ENTER, PAD_LEAVE = 2**31 - 2, 2**31 - 1

attend = jax.jit(
  attention.packed_attention, static_argnames=('compute_dtype', 'block')
)
cached = jax.jit(attention.cached_attention, static_argnames='compute_dtype')
visible = jax.jit(masking.interval_mask)
rotate = jax.jit(
  rotary.rotate, static_argnames=('fraction', 'theta', 'scaling', 'layout')
)


@st.composite
def forests(draw):
  """Trees of one row: lists of (parents, lengths), at most ROW tokens."""
  forest, room = [], ROW
  for _ in range(draw(st.integers(1, 3))):
    parents, lengths = [], []
    for segment in range(draw(st.integers(1, 5))):
      length = draw(st.integers(1, 4))
      if length > room:
        break
      # Depth-first order: continue the last segment or one of its ancestors.
      chain, node = [], segment - 1
      while node >= 0:
        chain.append(node)
        node = parents[node]
      parents.append(draw(st.sampled_from(chain)) if chain else -1)
      lengths.append(length)
      room -= length
    if lengths:
      forest.append((parents, lengths))
  return forest


def lay_out(forest):
  """Intervals [1, ROW] of a forest, and the visible columns of each token."""
  enter = np.full((1, ROW), PAD_ENTER, np.int32)
  leave = np.full((1, ROW), PAD_LEAVE, np.int32)
  paths, number = [], 0
  for parents, lengths in forest:
    start, count = len(paths), sum(lengths)
    enters, leaves = geometry.tree_intervals(parents, lengths, number)
    enter[0, start : start + count] = enters
    leave[0, start : start + count] = leaves
    paths += geometry.token_paths(parents, lengths, start)
    number += len(lengths)
  return enter, leave, paths


def heads(seed, scale=1.0, key_heads=KEY_HEADS, row=ROW):
  rng = np.random.default_rng(seed)
  q = rng.normal(0, scale, (1, row, HEADS, WIDTH))
  k, v = rng.normal(0, scale, (2, 1, row, key_heads, WIDTH))
  return [np.float32(x) for x in (q, k, v)]


def attention_by_paths(q, k, v, paths):
  """[tokens, HEADS, WIDTH] for the tokens that have a path."""
  group = q.shape[2] // k.shape[2]
  out = np.zeros((len(paths), *q.shape[2:]))
  for t, path in enumerate(paths):
    for head in range(q.shape[2]):
      out[t, head] = geometry.attend(
        q[0, t, head],
        [k[0, column, head // group] for column in path],
        [v[0, column, head // group] for column in path],
      )
  return out


@hypothesis.given(forests(), st.integers(0, 5), st.sampled_from([1.0, 30.0]))
@hypothesis.settings(cases.parity_settings, max_examples=25)
def test_packed_attention_reads_exactly_the_ancestors(forest, seed, scale):
  enter, leave, paths = lay_out(forest)
  q, k, v = heads(seed, scale)
  want = attention_by_paths(q, k, v, paths)
  # Scores reach scale², so that weights are known to scale² 2^-23 relative.
  for block in (0, 8):
    got = np.asarray(attend(q, k, v, enter, leave, block=block))
    assert np.isfinite(got).all(), 'padding must stay finite'
    cases.assert_close(
      got[0, : len(paths)], want, scale=max(1, scale**2 / 10) * scale
    )


@hypothesis.given(forests())
@cases.parity_settings
def test_interval_mask_is_the_list_of_ancestors(forest):
  enter, leave, paths = lay_out(forest)
  mask = np.asarray(visible(enter, enter, leave, np.int32(0)))[0]
  for t, path in enumerate(paths):
    np.testing.assert_array_equal(np.flatnonzero(mask[t]), path)
  for t in range(len(paths), ROW):
    assert mask[t, t] and not mask[t, : len(paths)].any()


@pytest.mark.parametrize('key_heads', [1, 2, 4])
@pytest.mark.parametrize('row', [1, ROW])
def test_grouped_queries_share_the_key_head_of_their_group(key_heads, row):
  q, k, v = heads(3, key_heads=key_heads, row=row)
  enter = np.zeros((1, row), np.int32)
  paths = geometry.token_paths([-1], [row])
  got = attend(q, k, v, enter, enter + 1)
  cases.assert_close(got[0], attention_by_paths(q, k, v, paths))


@pytest.mark.slow
def test_gradients_of_attention_are_finite_differences():
  forest = [([-1, 0, 0], [2, 1, 2]), ([-1], [1])]
  enter, leave, paths = lay_out(forest)
  q, k, v = heads(4)
  probe = np.random.default_rng(5).normal(size=(len(paths), HEADS, WIDTH))

  def loss(*qkv, block):
    out = attend(*qkv, enter, leave, block=block)
    return (out[0, : len(paths)] * jnp.float32(probe)).sum()

  want = [
    oracles.finite_differences(
      lambda x: (attention_by_paths(x, k, v, paths) * probe).sum(), q
    ),
    oracles.finite_differences(
      lambda x: (attention_by_paths(q, x, v, paths) * probe).sum(), k
    ),
    oracles.finite_differences(
      lambda x: (attention_by_paths(q, k, x, paths) * probe).sum(), v
    ),
  ]
  assert min(np.abs(x).max() for x in want) > 0.1
  for block in (0, 8):
    got = jax.grad(functools.partial(loss, block=block), (0, 1, 2))(q, k, v)
    for ours, theirs in zip(got, want, strict=True):
      cases.assert_close(ours, theirs)


@pytest.mark.parametrize('lengths', [(1, 5), (8, 3)])
def test_cached_attention_reads_the_slots_in_use(lengths):
  slots = 8
  rng = np.random.default_rng(6)
  q = np.float32(rng.normal(size=(2, HEADS, WIDTH)))
  keys, values = np.float32(rng.normal(size=(2, 2, KEY_HEADS, slots, WIDTH)))
  for b, length in enumerate(lengths):
    keys[b, :, length:], values[b, :, length:] = 50, 1e4
  got = cached(q, keys, values, np.int32(lengths))
  for b, length in enumerate(lengths):
    for head in range(HEADS):
      group = head // (HEADS // KEY_HEADS)
      want = geometry.attend(
        q[b, head], keys[b, group, :length], values[b, group, :length]
      )
      cases.assert_close(got[b, head], want)


@hypothesis.given(
  cases.arrays((2, 3, 2, 8), 5.0),
  st.lists(st.integers(0, 60), min_size=6, max_size=6),
  st.sampled_from([0.0, 0.5, 1.0]),
  st.sampled_from([(10_000.0, 1.0), (500_000.0, 4.0)]),
  st.sampled_from(['half', 'interleaved']),
)
@cases.parity_settings
def test_rotary(x, positions, fraction, base, layout):
  positions = np.int32(positions).reshape(2, 3)
  kwargs = {
    'fraction': fraction,
    'theta': base[0],
    'scaling': base[1],
    'layout': layout,
  }
  got = rotate(x, positions, **kwargs)
  want = geometry.rotary(x, positions, **kwargs)
  # A float32 angle of 60 is known to 4e-6.
  cases.assert_close(got, want, scale=10)


def test_rotary_at_position_zero_is_the_identity_and_far_keeps_length():
  x = np.float32(np.random.default_rng(7).normal(size=(1, 2, 1, 8)))
  got = np.asarray(rotate(x, np.int32([[0, 8191]])))
  np.testing.assert_array_equal(got[:, 0], x[:, 0])
  assert np.abs(got[:, 1] - x[:, 1]).max() > 0.1
  assert np.linalg.norm(got[0, 1]) == pytest.approx(np.linalg.norm(x[0, 1]))
  want = geometry.rotary(
    x,
    np.array([[0, 8191]]),
    fraction=1.0,
    theta=10_000.0,
    scaling=1.0,
    layout='half',
  )
  np.testing.assert_allclose(got, want, atol=5e-3)


@pytest.mark.parametrize('layout', ['half', 'interleaved'])
def test_rotary_scores_depend_on_distance_only(layout):
  rng = np.random.default_rng(8)
  q, k = np.float32(rng.normal(size=(2, 1, 1, 1, 8)))

  def score(at, apart):
    turned = [
      np.asarray(rotate(x, np.int32([[p]]), layout=layout))
      for x, p in ((q, at + apart), (k, at))
    ]
    return float((turned[0] * turned[1]).sum())

  assert score(3, 5) == pytest.approx(score(40, 5), abs=1e-4)
  assert abs(score(3, 5) - score(3, 1)) > 1e-2
