"""Packing: each token sees exactly its own path, whatever shares its row."""

import itertools

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from hh_jax.data import packing
from hh_jax.data import trees as trees_lib
from tests.data import samples

T = 16


@st.composite
def random_trees(draw):
  """Trees of any shape whose paths fit a row; tokens are all different."""
  found = []
  token = 3
  for example in range(draw(st.integers(0, 5))):
    segments = []
    ends = []
    for index in range(draw(st.integers(1, 7))):
      parent = draw(st.integers(-1, index - 1)) if index else -1
      before = ends[parent] if parent >= 0 else 0
      length = draw(st.integers(0, min(6, T - before)))
      tokens = np.arange(token, token + length, dtype=np.int32)
      token += length
      segments.append(trees_lib.Segment(tokens, parent, draw(st.booleans())))
      ends.append(before + length)
    nonempty = [n for n, end in enumerate(ends) if end > 0]
    count = draw(st.integers(0, min(2, len(nonempty))))
    found.append(
      trees_lib.Tree(
        tuple(segments), tuple(nonempty[:count]), 1.0 + example, example
      )
    )
  return found


def tokens_of(tree, segment):
  path = trees_lib.path_of(tree, segment)
  return [t for n in path for t in tree.segments[n].tokens.tolist()]


def visible(packed):
  """The interval rule by its definition, [B, T, T] query by key."""
  column = np.arange(packed.tokens.shape[1])
  enter_q = packed.enter[:, :, None]
  return (
    (column[None, None, :] <= column[None, :, None])
    & (packed.enter[:, None, :] <= enter_q)
    & (enter_q < packed.leave[:, None, :])
  )


def check(trees, batch):
  """Every path of every tree is there, and nothing else is seen."""
  packed = batch.packed
  seen = visible(packed)
  true_paths = {}
  for tree in trees:
    for index, segment in enumerate(tree.segments):
      path = tokens_of(tree, index)
      start = len(path) - len(segment.tokens)
      for offset in range(len(segment.tokens)):
        key = int(segment.tokens[offset])
        true_paths[key] = (path[: start + offset + 1], tree.example_id)
  found = set()
  for row, column in zip(*np.nonzero(packed.example_id >= 0)):
    token = int(packed.tokens[row, column])
    path, example = true_paths[token]
    keys = np.flatnonzero(seen[row, column])
    assert packed.tokens[row, keys].tolist() == path
    assert packed.example_id[row, column] == example
    assert packed.positions[row, column] == len(path) - 1
    walked = []
    place = column
    while place >= 0:
      walked.append(int(packed.tokens[row, place]))
      place = packed.parent[row, place]
    assert walked[::-1] == path
    found.add(token)
  assert found == set(true_paths)


def check_padding(batch):
  packed = batch.packed
  is_pad = packed.example_id < 0
  seen = visible(packed)
  assert not (seen & is_pad[:, None, :] & ~is_pad[:, :, None]).any()
  assert not (seen & ~is_pad[:, None, :] & is_pad[:, :, None]).any()
  assert seen[is_pad].any(axis=-1).all()
  assert (packed.enter[is_pad] == 2**31 - 2).all()
  assert (packed.leave[is_pad] == 2**31 - 1).all()
  assert not packed.loss_mask[is_pad].any()
  assert (packed.parent[is_pad] == -1).all()


@hypothesis.given(random_trees())
def test_every_token_sees_its_path_and_nothing_else(trees):
  batch = packing.pack(trees, T, batch_size=8)
  check(trees, batch)
  check_padding(batch)


@hypothesis.given(random_trees())
def test_placements_items_and_targets(trees):
  batch = packing.pack(trees, T, batch_size=8)
  packed = batch.packed
  flat = packed.tokens.reshape(-1)
  targets = []
  item = 0
  for index, tree in enumerate(trees):
    for number, segment in enumerate(tree.segments):
      row, column = batch.placements[index][number]
      where = slice(column, column + len(segment.tokens))
      np.testing.assert_array_equal(packed.tokens[row, where], segment.tokens)
      has_parent = len(tokens_of(tree, number)) > len(segment.tokens)
      if segment.is_target:
        targets.extend(segment.tokens[0 if has_parent else 1 :].tolist())
    if tree.scored:
      expected = [tokens_of(tree, number)[-1] for number in tree.scored]
      where = packed.score_index[item]
      assert flat[where[where >= 0]].tolist() == expected
      assert packed.pair_weight[item] == tree.weight
      assert batch.items[item] == index
      item += 1
  assert packed.pair_mask.sum() == item
  assert (packed.score_index[item:] == -1).all()
  assert packed.score_index.shape == (8, 2)
  # A repeated prefix is a target in its first copy only.
  assert sorted(flat[packed.loss_mask.reshape(-1)].tolist()) == sorted(targets)
  assert batch.counts['targets'] == len(targets)


@hypothesis.given(random_trees())
def test_counts_add_up(trees):
  batch = packing.pack(trees, T, batch_size=8)
  num_real = int((batch.packed.example_id >= 0).sum())
  assert batch.counts['tokens'] == num_real
  assert batch.counts['padding'] == batch.packed.tokens.size - num_real
  once = sum(tree.num_tokens for tree in trees)
  assert batch.counts['repeated_tokens'] == num_real - once
  assert batch.counts['rows'] == len(batch.packed.tokens)


@hypothesis.given(random_trees())
def test_packing_is_deterministic(trees):
  first = packing.pack(trees, T, batch_size=8)
  second = packing.pack(list(trees), T, batch_size=8)
  for name, values in vars(first.packed).items():
    np.testing.assert_array_equal(values, getattr(second.packed, name))


def chain(length, token=10):
  return trees_lib.document_tree(
    np.arange(token, token + length, dtype=np.int32)
  )


def test_first_fit_decreasing_with_ties_by_order():
  trees = [chain(n) for n in (5, 10, 5, 7, 6)]
  batch = packing.pack(trees, T, batch_size=5)
  where = [placed[0] for placed in batch.placements]
  assert where == [(1, 0), (0, 0), (2, 0), (1, 5), (0, 10)]
  assert batch.counts['rows_used'] == 3


def test_a_split_tree_repeats_its_prefix():
  prompt = np.arange(10, 20, dtype=np.int32)
  replies = [np.arange(n, n + 4, dtype=np.int32) for n in (30, 40, 50)]
  tree = trees_lib.best_of_k_tree(prompt, replies, eoc=2)
  assert tree.num_tokens > T
  batch = packing.pack([tree], T, batch_size=1, num_candidates=3)
  assert batch.counts['rows_used'] == 3
  assert batch.counts['split_trees'] == 1
  assert batch.counts['repeated_tokens'] == 2 * len(prompt)
  flat = batch.packed.score_index[0]
  assert (batch.packed.tokens.reshape(-1)[flat] == 2).all()
  assert sorted(flat // T) == [0, 1, 2]
  seen = visible(batch.packed)
  for where, reply in zip(flat, replies):
    row, column = divmod(int(where), T)
    keys = np.flatnonzero(seen[row, column])
    assert batch.packed.tokens[row, keys].tolist() == [*prompt, *reply, 2]


def test_end_of_context_is_seen_by_nothing():
  tokenizer = samples.tokenizer()
  tree = trees_lib.comparison_tree(tokenizer, samples.comparison('Hi'))
  packed = packing.pack([tree], 64, batch_size=1).packed
  seen = visible(packed)
  ends = np.argwhere(packed.tokens == tokenizer.eoc)
  assert len(ends) == 2
  for row, column in ends:
    assert seen[row, :, column].sum() == 1


def test_several_items_of_one_tree():
  tokenizer = samples.tokenizer()
  pairs = [samples.comparison('Hi'), samples.comparison('Hi', 'Yes.', 'Why?')]
  tree = trees_lib.conversation_tree(tokenizer, pairs)
  batch = packing.pack([tree], 128, batch_size=3)
  assert batch.items.tolist() == [0, 0, -1]
  assert batch.packed.pair_mask.tolist() == [True, True, False]
  with pytest.raises(ValueError, match='hold 2 examples and batch_size=1'):
    packing.pack([tree], 128, batch_size=1)


def test_an_empty_batch_is_all_masked():
  batch = packing.pack([], T, batch_size=4)
  assert batch.packed.tokens.shape == (1, T)
  assert not batch.packed.pair_mask.any()
  check_padding(batch)


def test_a_path_longer_than_a_row_is_an_error():
  with pytest.raises(ValueError, match='path of 17 tokens'):
    packing.pack([chain(T + 1)], T, batch_size=1)
  assert packing.pack([chain(T)], T, batch_size=1).counts['rows'] == 1


def test_buckets():
  sizes = [packing.row_bucket(n) for n in (0, 1, 2, 3, 4, 5, 7, 9, 13, 17)]
  assert sizes == [1, 1, 2, 3, 4, 6, 8, 12, 16, 24]
  trees = [chain(T)] * 3
  batch = packing.pack(trees, T, batch_size=3, row_buckets=(2, 8, 5))
  assert batch.counts['rows'] == 5
  with pytest.raises(ValueError, match='needs 3 rows'):
    packing.pack(trees, T, batch_size=3, row_buckets=(1, 2))


def test_row_buckets_waste_the_fewest_rows():
  batches = [[chain(T)] * n for n in (3, 3, 3, 4, 9, 9, 10)]

  def found(**more):
    return packing.row_buckets(batches, T, **{'rows_per_bucket': 0, **more})

  assert found(max_buckets=4) == (3, 4, 9, 10)
  assert found(max_buckets=2) == (4, 10)
  assert found(max_buckets=1) == (10,)
  assert found(multiple=8) == (8, 16)
  # (3, 4, 9, 10) take 41 rows, (3, 4, 10) 43, (4, 10) 46, (10,) 70.
  assert found(rows_per_bucket=1) == (3, 4, 9, 10)
  assert found(rows_per_bucket=2) == (3, 4, 10)
  assert found(rows_per_bucket=4) == (4, 10)
  assert found(rows_per_bucket=24) == found(rows_per_bucket=1000) == (10,)
  assert [packing.num_rows(batch, T) for batch in batches[3:5]] == [4, 9]


@pytest.mark.parametrize('seed', range(5))
@pytest.mark.parametrize('count', [1, 2, 3, 4])
def test_no_choice_of_row_buckets_wastes_fewer(seed, count):
  needs = np.random.default_rng(seed).integers(1, 12, 20).tolist()

  def total(buckets):
    return sum(min(b for b in buckets if b >= need) for need in needs)

  sizes = sorted(set(needs))
  every = itertools.combinations(sizes[:-1], min(count, len(sizes)) - 1)
  best = min(total((*lower, sizes[-1])) for lower in every)
  batches = [[chain(T)] * need for need in needs]
  found = packing.row_buckets(batches, T, rows_per_bucket=0, max_buckets=count)
  assert len(found) <= count
  assert total(found) == best
