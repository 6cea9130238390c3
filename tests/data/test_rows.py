"""Language-model rows: nothing lost, nothing seen across documents."""

import numpy as np
import pytest

from hh_jax.data import packing
from hh_jax.data import rows as rows_lib
from hh_jax.data import trees as trees_lib

T = 8


def documents():
  """Documents of many lengths; all tokens are different."""
  lengths = [3, 20, 1, 8, 5, 9, 16, 2, 2, 0, 7]
  starts = np.cumsum([10, *lengths])
  return [
    np.arange(start, start + length, dtype=np.int32)
    for start, length in zip(starts, lengths)
  ]


def test_every_token_once_but_for_lone_ones():
  docs = documents()
  rows = rows_lib.pack_documents(docs, T, seed=3)
  # Cut at 8: the document of 1 and the last token of 9 stand alone.
  lone = {int(docs[2][0]), int(docs[5][8])}
  expected = set(np.concatenate(docs).tolist()) - lone
  assert sorted(rows.tokens.tolist()) == sorted(expected)
  assert rows.counts['tokens_left_out'] == 2
  assert rows.counts['tokens'] == len(expected)
  size = rows.num_rows * T
  assert rows.counts['padding'] == size - len(expected)
  lengths = np.diff(rows.row_tokens)
  assert lengths.max() <= T and lengths.min() > 0


def test_batches_agree_with_tree_packing():
  docs = documents()
  rows = rows_lib.pack_documents(docs, T, seed=1)
  for index in range(rows.num_rows):
    one = rows.rows([index], 1)
    pieces = rows.piece_lengths[
      rows.row_pieces[index] : rows.row_pieces[index + 1]
    ]
    used = int(pieces.sum())
    cuts = np.split(one.tokens[0, :used], np.cumsum(pieces)[:-1])
    order = np.argsort([-len(cut) for cut in cuts], kind='stable')
    trees = [trees_lib.document_tree(cuts[n], index) for n in order]
    expected = packing.pack(trees, T, batch_size=8).packed
    for column in range(used):
      is_same = expected.tokens[0] == one.tokens[0, column]
      (place,) = np.flatnonzero(is_same)
      for name in ('positions', 'loss_mask', 'example_id'):
        here, there = getattr(one, name), getattr(expected, name)
        assert here[0, column] == there[0, place]
    for name in ('enter', 'leave', 'parent', 'example_id', 'loss_mask'):
      np.testing.assert_array_equal(
        getattr(one, name)[0, used:], getattr(expected, name)[0, used:]
      )


def test_pieces_of_a_row_do_not_see_each_other():
  rows = rows_lib.pack_documents(documents(), T, seed=2)
  batch = rows.rows(np.arange(rows.num_rows), rows.num_rows)
  text = {
    int(token): number
    for number, ids in enumerate(documents())
    for token in ids
  }
  for row, column in np.argwhere(batch.example_id >= 0):
    parent = batch.parent[row, column]
    assert batch.loss_mask[row, column] == (parent >= 0)
    if parent >= 0:
      token = int(batch.tokens[row, column])
      assert batch.tokens[row, parent] == token - 1
      assert text[token] == text[token - 1]
      assert batch.enter[row, parent] == batch.enter[row, column]
  assert batch.loss_mask.sum() == rows.counts['targets']


def test_batches_are_random_access_and_the_last_is_padded():
  rows = rows_lib.pack_documents(documents(), T, seed=2)
  size = rows.num_rows - 1
  full, short = rows.batch(0, 0, size), rows.batch(0, 1, size)
  ids = {int(i) for b in (full, short) for i in b.example_id[:, 0]}
  assert ids == set(range(rows.num_rows)) | {-1}
  assert short.tokens.shape == (size, T)
  assert (short.example_id[1:] == -1).all()
  again = rows.batch(0, 0, size)
  np.testing.assert_array_equal(again.tokens, full.tokens)


def test_seed_decides_the_rows():
  rows = [rows_lib.pack_documents(documents(), T, seed=s) for s in (1, 1, 2)]
  assert rows[0].tokens.tolist() == rows[1].tokens.tolist()
  assert rows[0].tokens.tolist() != rows[2].tokens.tolist()


def test_errors():
  with pytest.raises(ValueError, match='no two tokens'):
    rows_lib.pack_documents([np.asarray([5], np.int32)], T)
  rows = rows_lib.pack_documents(documents(), T)
  with pytest.raises(ValueError, match='2 rows do not fit a batch of 1'):
    rows.rows([0, 1], 1)
