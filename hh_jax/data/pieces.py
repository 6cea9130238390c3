"""Trees cut into pieces of at most a row, and pieces put into rows.

1. A tree's segments are visited in pre-order. A tree longer than a row is
   split by leaves; each piece repeats the prefix its leaves need.
2. Pieces go, longest first, ties in the order of the trees, into the first
   row with room.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from hh_jax.data import trees as trees_lib


@dataclasses.dataclass(frozen=True)
class Piece:
  """Segments of one tree that lie together in a row, in pre-order."""

  tree: int
  part: int  # of the tree, in the order of its leaves
  segments: tuple[int, ...]
  length: int  # tokens


def _preorder(tree: trees_lib.Tree) -> tuple[int, ...]:
  children: list[list[int]] = [[] for _ in tree.segments]
  waiting = []
  for index, segment in enumerate(tree.segments):
    if segment.parent < 0:
      waiting.append(index)
    else:
      children[segment.parent].append(index)
  waiting.reverse()
  found = []
  while waiting:
    index = waiting.pop()
    found.append(index)
    waiting.extend(reversed(children[index]))
  return tuple(found)


def _split(
  index: int, tree: trees_lib.Tree, order: tuple[int, ...], row_length: int
) -> list[Piece]:
  """Pieces of at most a row: leaves in order, as many as fit together."""
  lengths = [len(segment.tokens) for segment in tree.segments]
  has_child = {segment.parent for segment in tree.segments}
  pieces: list[Piece] = []
  taken: set[int] = set()
  used = 0

  def close() -> None:
    if taken:
      kept = tuple(node for node in order if node in taken)
      pieces.append(Piece(index, len(pieces), kept, used))

  for leaf in order:
    if leaf in has_child:
      continue
    path = trees_lib.path_of(tree, leaf)
    added = sum(lengths[node] for node in path if node not in taken)
    if used + added > row_length:
      close()
      taken, used = set(), 0
      added = sum(lengths[node] for node in path)
    if added > row_length:
      raise ValueError(
        f'example {tree.example_id} has a path of {added} tokens and rows '
        f'have {row_length}; call trees.fit_paths or raise row_length'
      )
    taken.update(path)
    used += added
  close()
  return pieces


def pieces_of(trees: Sequence[trees_lib.Tree], row_length: int) -> list[Piece]:
  """Pieces of all trees, longest first."""
  found: list[Piece] = []
  for index, tree in enumerate(trees):
    order = _preorder(tree)
    length = tree.num_tokens
    if length <= row_length:
      found.append(Piece(index, 0, order, length))
    else:
      found.extend(_split(index, tree, order, row_length))
  return sorted(found, key=lambda piece: -piece.length)


def first_fit(lengths: Sequence[int], row_length: int) -> list[int]:
  """Row of each length, given in the order of placing."""
  free: list[int] = []
  rows = []
  for length in lengths:
    fitting = (row for row, room in enumerate(free) if length <= room)
    row = next(fitting, len(free))
    if row == len(free):
      free.append(row_length)
    free[row] -= length
    rows.append(row)
  return rows
