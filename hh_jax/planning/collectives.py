"""What chips exchange in a compiled program: kind, bytes, which mesh axes.

1. Bytes are what one chip receives in one run: of a gathered array all but its
   own part, of a reduced one twice that, of a scattered sum once.
2. A TPU fuses a sum with the slice that a chip keeps: an all-reduce inside a
   fusion of that name is a reduce-scatter.
3. The group of a collective tells its mesh axes: chips are numbered with
   `tensor` fastest, then `fsdp`, then `data`.
"""

from __future__ import annotations

import collections
import dataclasses
import math
import re
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from hh_jax.planning import hlo

_SCATTERED = 'all-reduce-scatter'


@dataclasses.dataclass(frozen=True)
class Collective:
  """One exchange, and how often it happens in a step."""

  kind: str
  shapes: tuple[hlo.Shape, ...]  # of the result on one chip
  members: Sequence[int]  # chips of the first group, as they are numbered
  axes: tuple[str, ...]  # of the mesh
  times: float
  depth: int  # loops around it
  source: str  # what the program says it is for

  @property
  def group(self) -> int:
    """Chips that take part."""
    return len(self.members)

  @property
  def bytes(self) -> float:
    """Received by one chip in one run."""
    size = float(sum(shape.bytes for shape in self.shapes))
    others = (self.group - 1) / self.group
    if self.kind == 'all-reduce':
      return 2 * size * others
    if self.kind == 'reduce-scatter':
      return size * (self.group - 1)
    return size if self.kind == 'collective-permute' else size * others


def find(
  program: hlo.Program, mesh_shape: Mapping[str, int]
) -> list[Collective]:
  """The collectives of a step among more than one chip.

  Args:
    program: The compiled step.
    mesh_shape: Chips along every axis, in the order they are numbered.
  """
  found = []
  for step in program.steps():
    for instruction, kind, shapes in _collectives_in(program, step):
      members = _first_group(instruction, math.prod(mesh_shape.values()))
      if len(members) < 2:
        continue
      found.append(
        Collective(
          kind,
          shapes,
          members,
          _axes(members, mesh_shape),
          step.times,
          step.depth,
          _source(instruction, step.instruction),
        )
      )
  return found


def totals(
  found: Iterable[Collective],
) -> dict[str, dict[str, float]]:
  """Number and bytes of every kind, over a step, for one chip."""
  table: dict[str, dict[str, float]] = collections.defaultdict(
    lambda: {'number': 0.0, 'bytes': 0.0}
  )
  for one in found:
    table[one.kind]['number'] += one.times
    table[one.kind]['bytes'] += one.bytes * one.times
  return dict(table)


def _collectives_in(
  program: hlo.Program, step: hlo.Step
) -> list[tuple[hlo.Instruction, str, tuple[hlo.Shape, ...]]]:
  own = step.instruction
  if own.opcode.endswith('-done'):
    return []
  if hlo.is_collective(own):
    return [(own, own.opcode.removesuffix('-start'), _results(own))]
  if own.opcode != 'fusion':
    return []
  name = own.called[0]
  inner = [
    i for i in program.computations[name].values() if hlo.is_collective(i)
  ]
  if name.startswith(_SCATTERED):
    return [(i, 'reduce-scatter', own.shapes) for i in inner]
  return [(i, i.opcode, i.shapes) for i in inner]


def _results(own: hlo.Instruction) -> tuple[hlo.Shape, ...]:
  """What an exchange leaves on a chip.

  One that is started names its operands first, then as many results, then what
  the hardware keeps of it; an all-reduce its results alone.
  """
  if not own.opcode.endswith('-start') or own.opcode == 'all-reduce-start':
    return own.shapes
  num = len(own.operands)
  return own.shapes[num : 2 * num]


def _first_group(found: hlo.Instruction, num_chips: int) -> Sequence[int]:
  """The chips of the first group, as they are numbered."""
  text = found.rest
  pairs = re.search(r'source_target_pairs=\{\{(\d+),(\d+)', text)
  if pairs:
    return [int(pairs[1]), int(pairs[2])]
  explicit = re.search(r'replica_groups=\{\{([\d,]+)\}', text)
  if explicit:
    return [int(n) for n in explicit[1].split(',')]
  meshed = re.search(r'replica_groups=mesh\[([^\]]*)\]\s*\{([^}]*)\}', text)
  if meshed:
    return _of_mesh(meshed[1], meshed[2])
  iota = re.search(
    r'replica_groups=\[([\d,]+)\]<=\[([\d,]+)\](?:T\(([\d,]+)\))?', text
  )
  if iota:
    groups, dims, turn = (
      [int(n) for n in part.split(',')] if part else []
      for part in iota.groups()
    )
    ids = np.arange(math.prod(dims)).reshape(dims)
    ids = ids.transpose(turn) if turn else ids
    return list(map(int, ids.reshape(groups)[0]))
  return range(num_chips)


def _of_mesh(shape: str, axes: str) -> list[int]:
  sizes = {n: int(s) for n, s in re.findall(r"'([^']+)'=(\d+)", shape)}
  wanted = re.findall(r"'([^']+)'", axes)
  ids = np.arange(math.prod(sizes.values())).reshape(tuple(sizes.values()))
  kept = tuple(slice(None) if name in wanted else 0 for name in sizes)
  return [int(i) for i in np.ravel(ids[kept])]


def _axes(
  members: Sequence[int], mesh_shape: Mapping[str, int]
) -> tuple[str, ...]:
  """Mesh axes along which the members of a group differ."""
  names = [name for name, size in mesh_shape.items() if size > 1]
  places = np.unravel_index(list(members), tuple(mesh_shape.values()))
  moves = {
    name: len(set(map(int, place))) > 1
    for name, place in zip(mesh_shape, places, strict=True)
  }
  return tuple(name for name in names if moves[name])


def _source(inner: hlo.Instruction, outer: hlo.Instruction) -> str:
  for found in (inner, outer):
    match = re.search(r'op_name="([^"]*)"', found.rest)
    if match:
      return match[1]
  return ''
