"""Trees to a batch: `types.Packed` rows, filled first-fit decreasing.

1. A tree's segments lie in pre-order in one row. A tree longer than a row is
   split by leaves: each piece repeats the prefix that its leaves share with
   the others, and only the first copy of a segment is a target.
2. Pieces go, longest first, ties in the order of the trees, into the first row
   with room. The number of rows is raised to the next of a few buckets, so
   that few shapes are compiled. Devices play no part in any of this.
3. Padding sees only padding; missing examples of a short batch are masked.
"""

from __future__ import annotations

import collections
import dataclasses
import typing
from collections.abc import Sequence

import jax
import numpy as np

from hh_jax import types
from hh_jax.data import pieces as pieces_lib
from hh_jax.data import trees as trees_lib

OF_ITEMS = ('score_index', 'pair_weight', 'pair_mask')  # not of rows

# Compiling a step takes as long as training on so many rows, of the nano rungs
# on two cores; 450 of the smallest (benchmarks/NOTES.md).
ROWS_PER_BUCKET = 100

Placement = tuple[int, int]  # row and column of a segment's first token


@dataclasses.dataclass(frozen=True)
class PackedBatch:
  """A packed batch and where everything in it is."""

  packed: types.Packed  # of numpy arrays
  placements: tuple[tuple[Placement, ...], ...]  # [tree][segment], first copy
  items: np.ndarray  # [P] int32, tree of each item, -1 where masked
  counts: dict[str, int]

  def rows(self, start: int, stop: int) -> types.Packed:
    """Some of the rows, and no items."""
    fields = {
      name: array[:0] if name in OF_ITEMS else array[start:stop]
      for name, array in vars(self.packed).items()
    }
    return types.Packed(**fields)


def as_packed(**arrays: np.ndarray) -> types.Packed:
  """A batch whose arrays are still on the host."""
  return types.Packed(**typing.cast(dict[str, jax.Array], arrays))


def row_bucket(num_rows: int) -> int:
  """Smallest of 1, 2, 3, 4, 6, 8, 12, 16, 24 ... that holds `num_rows`."""
  if num_rows <= 2:
    return max(1, num_rows)
  power = 1 << (num_rows - 1).bit_length()
  return power * 3 // 4 if num_rows <= power * 3 // 4 else power


def num_rows(trees: Sequence[trees_lib.Tree], row_length: int) -> int:
  """Rows that `pack` needs for these trees, before buckets."""
  pieces = pieces_lib.pieces_of(trees, row_length)
  rows = pieces_lib.first_fit([piece.length for piece in pieces], row_length)
  return max(rows, default=0) + 1


def row_buckets(
  batches: Sequence[Sequence[trees_lib.Tree]],
  row_length: int,
  *,
  rows_per_bucket: int = ROWS_PER_BUCKET,
  max_buckets: int = 6,
  multiple: int = 1,
) -> tuple[int, ...]:
  """The row counts that cost least over the given batches.

  A batch costs the rows of its bucket, and a bucket its compilation.

  Args:
    batches: Trees of each batch of a run.
    row_length: Tokens of a row.
    rows_per_bucket: What a compilation costs, in rows trained.
    max_buckets: Most row counts.
    multiple: Row counts are multiples of this.
  """
  needs = [
    -(-num_rows(batch, row_length) // multiple) * multiple for batch in batches
  ]
  if not needs:
    return (multiple,)
  sizes, counts = np.unique(needs, return_counts=True)
  before = np.concatenate([[0], np.cumsum(counts)])
  # best[i]: fewest rows, and their buckets, for batches of the i first sizes.
  best: list[tuple[int, tuple[int, ...]]] = [(0, ())] * (len(sizes) + 1)
  found = []
  for number in range(min(max_buckets, len(sizes))):
    best = [(0, ())] + [
      min(
        (
          best[start][0] + int((before[end] - before[start]) * sizes[end - 1]),
          (*best[start][1], int(sizes[end - 1])),
        )
        for start in range(end)
        if start == 0 or number > 0
      )
      for end in range(1, len(sizes) + 1)
    ]
    found.append(best[-1])
  return min(found, key=lambda it: it[0] + rows_per_bucket * len(it[1]))[1]


def _num_batch_rows(needed: int, buckets: Sequence[int] | None) -> int:
  if buckets is None:
    return row_bucket(needed)
  fitting = [bucket for bucket in buckets if bucket >= needed]
  if not fitting:
    raise ValueError(
      f'the batch needs {needed} rows and row_buckets={tuple(buckets)} end '
      'below; add a larger bucket'
    )
  return min(fitting)


@dataclasses.dataclass
class _Columns:
  """One entry a placed segment, in the order of placing."""

  tokens: list[np.ndarray] = dataclasses.field(default_factory=list)
  table: list[tuple[int, ...]] = dataclasses.field(default_factory=list)


def _place(
  trees: Sequence[trees_lib.Tree],
  pieces: Sequence[pieces_lib.Piece],
  rows: Sequence[int],
  row_length: int,
) -> tuple[_Columns, list[dict[int, Placement]], list[dict[int, int]]]:
  """Gives every segment of every piece its columns, interval and parent.

  Returns:
    The table behind the arrays, and per tree the placement of each segment
    and the flat index of its last token, both of the first copy.
  """
  columns = _Columns()
  placements: list[dict[int, Placement]] = [{} for _ in trees]
  lasts: list[dict[int, int]] = [{} for _ in trees]
  cursors: dict[int, tuple[int, int]] = {}  # row -> next column, next interval
  # A tree's pieces are visited in the order of its leaves, so that the first
  # copy of a segment does not depend on where its pieces were placed.
  for number in sorted(
    range(len(pieces)), key=lambda n: (pieces[n].tree, pieces[n].part)
  ):
    piece, row = pieces[number], rows[number]
    tree = trees[piece.tree]
    placed = placements[piece.tree]
    column, enter = cursors.get(row, (0, 0))
    subtree = dict.fromkeys(piece.segments, 1)
    for index in reversed(piece.segments):
      parent = tree.segments[index].parent
      if parent >= 0:
        subtree[parent] += subtree[index]
    ends: dict[int, tuple[int, int]] = {trees_lib.ROOT: (0, -1)}
    for index in piece.segments:
      segment = tree.segments[index]
      length = len(segment.tokens)
      depth, last = ends[segment.parent]
      is_first = index not in placed
      columns.tokens.append(segment.tokens)
      columns.table.append(
        (
          row * row_length,
          column,
          length,
          depth,
          last,
          enter,
          enter + subtree[index],
          tree.example_id,
          segment.is_target and is_first,
        )
      )
      ends[index] = (depth + length, column + length - 1 if length else last)
      if is_first:
        placed[index] = (row, column)
        lasts[piece.tree][index] = row * row_length + ends[index][1]
      column += length
      enter += 1
    cursors[row] = (column, enter)
  return columns, placements, lasts


def _fill(
  columns: _Columns, shape: tuple[int, int], pad: int
) -> dict[str, np.ndarray]:
  """Writes the placed segments into padded [B, T] arrays."""
  size = shape[0] * shape[1]
  fills = {
    'tokens': pad,
    'positions': 0,
    'parent': -1,
    'enter': types.PAD_ENTER,
    'leave': types.PAD_LEAVE,
    'example_id': -1,
  }
  flat = {
    name: np.full((size,), fill, np.int32) for name, fill in fills.items()
  }
  flat['loss_mask'] = np.zeros((size,), np.bool_)
  if columns.table:
    table = np.asarray(columns.table, np.int64)
    lengths = table[:, 2]
    base, start, _, depth, last, enter, leave, example, target = np.repeat(
      table, lengths, axis=0
    ).T
    within = np.arange(len(base)) - np.repeat(
      np.cumsum(lengths) - lengths, lengths
    )
    parent = np.where(within == 0, last, start + within - 1)
    index = base + start + within
    flat['tokens'][index] = np.concatenate(columns.tokens)
    flat['positions'][index] = depth + within
    flat['parent'][index] = parent
    flat['enter'][index] = enter
    flat['leave'][index] = leave
    flat['example_id'][index] = example
    flat['loss_mask'][index] = (target == 1) & (parent >= 0)
  return {name: values.reshape(shape) for name, values in flat.items()}


def _num_split(pieces: Sequence[pieces_lib.Piece]) -> int:
  seen = collections.Counter(piece.tree for piece in pieces)
  return sum(count > 1 for count in seen.values())


def _item_tables(
  trees: Sequence[trees_lib.Tree],
  lasts: Sequence[dict[int, int]],
  batch_size: int,
  num_candidates: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """Score index [P, C], weight [P] and tree [P] of every item."""
  score_index = np.full((batch_size, num_candidates), -1, np.int32)
  weight = np.zeros((batch_size,), np.float32)
  items = np.full((batch_size,), -1, np.int32)
  used = num_examples = 0
  for index, tree in enumerate(trees):
    starts = range(0, len(tree.scored), num_candidates)
    num_examples += max(1, len(starts))
    if num_examples > batch_size:
      continue
    for start in starts:
      scored = tree.scored[start : start + num_candidates]
      score_index[used, : len(scored)] = [lasts[index][n] for n in scored]
      weight[used] = tree.weight
      items[used] = index
      used += 1
  if num_examples > batch_size:
    raise ValueError(
      f'{len(trees)} trees hold {num_examples} examples and batch_size='
      f'{batch_size}; raise it or give fewer trees'
    )
  return score_index, weight, items


def pack(
  trees: Sequence[trees_lib.Tree],
  row_length: int,
  *,
  batch_size: int,
  num_candidates: int = 2,
  row_buckets: Sequence[int] | None = None,
  pad: int = 0,
) -> PackedBatch:
  """Packs the trees of one batch.

  Args:
    trees: At most `batch_size` examples; a tree with several items counts as
      that many.
    row_length: T; no path may be longer (see `trees.fit_paths`).
    batch_size: P; missing examples are masked.
    num_candidates: C, scored segments of one item.
    row_buckets: Numbers of rows to choose from; None uses `row_bucket`.
    pad: Id of padding tokens.

  Raises:
    ValueError: too many examples, a path too long, or no bucket large enough.
  """
  pieces = pieces_lib.pieces_of(trees, row_length)
  rows = pieces_lib.first_fit([piece.length for piece in pieces], row_length)
  columns, placed, lasts = _place(trees, pieces, rows, row_length)
  score_index, weight, items = _item_tables(
    trees, lasts, batch_size, num_candidates
  )
  used_rows = max(rows, default=0) + 1
  batch_rows = _num_batch_rows(used_rows, row_buckets)
  arrays = _fill(columns, (batch_rows, row_length), pad)
  packed = as_packed(
    **arrays,
    score_index=score_index,
    pair_weight=weight,
    pair_mask=items >= 0,
  )
  num_tokens = sum(tree.num_tokens for tree in trees)
  num_placed = sum(piece.length for piece in pieces)
  counts = {
    'rows': batch_rows,
    'rows_used': used_rows if num_placed else 0,
    'tokens': num_placed,
    'padding': batch_rows * row_length - num_placed,
    'repeated_tokens': num_placed - num_tokens,
    'split_trees': _num_split(pieces),
    'targets': int(arrays['loss_mask'].sum()),
    'items': int((items >= 0).sum()),
  }
  placements = tuple(
    tuple(where[index] for index in range(len(tree.segments)))
    for tree, where in zip(trees, placed, strict=True)
  )
  return PackedBatch(packed, placements, items, counts)
