"""Language-model documents laid out in rows once; an example is one row.

1. Documents are cut into pieces of at most a row. A piece of one token has
   nothing to predict and is left out.
2. Pieces are taken in a seeded order, each into the first open row with room;
   only the last few rows are open, so that the work stays linear.
3. Batch t takes rows by `order.batch_ids`; pieces of a row do not see each
   other.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from hh_jax import types
from hh_jax.data import order, packing

_OPEN_ROWS = 64


@dataclasses.dataclass(frozen=True)
class LMRows:
  """All rows of a corpus, with random access to packed batches."""

  tokens: np.ndarray  # [N] int32, the rows' tokens one after another
  piece_lengths: np.ndarray  # [M] int64, in the same order
  row_pieces: np.ndarray  # [R + 1] int64, first piece of each row
  row_tokens: np.ndarray  # [R + 1] int64, first token of each row
  row_length: int
  pad: int
  counts: dict[str, int]

  @property
  def num_rows(self) -> int:
    return len(self.row_tokens) - 1

  @property
  def num_tokens(self) -> int:
    return len(self.tokens)

  def batch(self, seed: int, t: int, batch_size: int) -> types.Packed:
    """Batch t of a run, [batch_size, row_length]; a short one is padded."""
    ids = order.batch_ids(seed, 'rows', t, self.num_rows, batch_size)
    return self.rows(ids, batch_size)

  def rows(self, ids: Sequence[int] | np.ndarray, size: int) -> types.Packed:
    """The named rows as a packed batch of `size` rows."""
    if len(ids) > size:
      raise ValueError(f'{len(ids)} rows do not fit a batch of {size}')
    shape = (size, self.row_length)
    tokens = np.full(shape, self.pad, np.int32)
    positions = np.zeros(shape, np.int32)
    enter = np.full(shape, types.PAD_ENTER, np.int32)
    leave = np.full(shape, types.PAD_LEAVE, np.int32)
    example_id = np.full(shape, -1, np.int32)
    for row, index in enumerate(ids):
      first, end = self.row_tokens[index], self.row_tokens[index + 1]
      pieces = self.piece_lengths[
        self.row_pieces[index] : self.row_pieces[index + 1]
      ]
      used = int(end - first)
      starts = np.repeat(np.cumsum(pieces) - pieces, pieces)
      number = np.repeat(np.arange(len(pieces)), pieces)
      tokens[row, :used] = self.tokens[first:end]
      positions[row, :used] = np.arange(used) - starts
      enter[row, :used] = number
      leave[row, :used] = number + 1
      example_id[row, :used] = index
    is_inner = positions > 0
    columns = np.arange(self.row_length, dtype=np.int32)
    return packing.as_packed(
      tokens=tokens,
      positions=positions,
      parent=np.where(is_inner, columns[None] - 1, -1).astype(np.int32),
      enter=enter,
      leave=leave,
      example_id=example_id,
      loss_mask=is_inner,
      score_index=np.full((size, 2), -1, np.int32),
      pair_weight=np.zeros((size,), np.float32),
      pair_mask=np.zeros((size,), np.bool_),
    )


def _cut(
  lengths: Sequence[int], row_length: int
) -> tuple[list[tuple[int, int, int]], int]:
  """Pieces (document, start, length) and how many tokens are left over."""
  pieces = []
  left_out = 0
  for document, length in enumerate(lengths):
    for start in range(0, length, row_length):
      size = min(row_length, length - start)
      if size > 1:
        pieces.append((document, start, size))
      else:
        left_out += size
  return pieces, left_out


def _fill(sizes: Sequence[int], row_length: int) -> list[list[int]]:
  """Pieces of each row: first fit among the last `_OPEN_ROWS` rows."""
  rows: list[list[int]] = []
  open_rows: list[list[int]] = []  # [row, room]
  for piece, size in enumerate(sizes):
    for place in open_rows:
      if size <= place[1]:
        break
    else:
      place = [len(rows), row_length]
      rows.append([])
      open_rows.append(place)
    rows[place[0]].append(piece)
    place[1] -= size
    if place[1] < 2:
      open_rows.remove(place)
    elif len(open_rows) > _OPEN_ROWS:
      open_rows.pop(0)
  return rows


def pack_documents(
  documents: Sequence[np.ndarray],
  row_length: int,
  *,
  seed: int = 0,
  pad: int = 0,
) -> LMRows:
  """Lays documents out in rows.

  Args:
    documents: Ids of each document, [N] int32 each.
    row_length: T, tokens of a row.
    seed: Of the order in which pieces are taken.
    pad: Id of padding tokens.

  Raises:
    ValueError: no document has two tokens.
  """
  pieces, left_out = _cut([len(ids) for ids in documents], row_length)
  if not pieces:
    raise ValueError(
      f'{len(documents)} documents have no two tokens to learn from'
    )
  taken = order.permutation(seed, 'rows/pieces', 0, len(pieces))
  pieces = [pieces[index] for index in taken]
  rows = _fill([size for _, _, size in pieces], row_length)
  placed = [pieces[index] for row in rows for index in row]
  lengths = np.asarray([size for _, _, size in placed], np.int64)
  row_pieces = np.cumsum([0, *(len(row) for row in rows)])
  tokens = np.concatenate(
    [documents[index][start : start + size] for index, start, size in placed]
  ).astype(np.int32)
  row_tokens = np.concatenate(([0], np.cumsum(lengths)))[row_pieces]
  return LMRows(
    tokens=tokens,
    piece_lengths=lengths,
    row_pieces=row_pieces,
    row_tokens=row_tokens,
    row_length=row_length,
    pad=pad,
    counts={
      'documents': len(documents),
      'rows': len(rows),
      'tokens': len(tokens),
      'padding': len(rows) * row_length - len(tokens),
      'targets': len(tokens) - len(placed),
      'tokens_left_out': left_out,
    },
  )
