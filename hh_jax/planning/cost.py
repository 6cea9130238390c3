"""What the instructions of a compiled program cost: operations and bytes.

1. Operations are those of `dot`, and of `convolution`, which is what a TPU
   makes of it: only places of the window that meet real input count.
2. Bytes are what an instruction reads and writes in the chip's main memory. Of
   what it slices only the slice counts, of what it updates in place only the
   update.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import re
from collections.abc import Sequence

import numpy as np

from hh_jax.planning.hlo import (
  Computation,
  Instruction,
  Program,
  Step,
  is_collective,
)

# What moves nothing, or whose parts are counted on their own.
_FREE = frozenset(
  'parameter constant tuple get-tuple-element bitcast while conditional call '
  'after-all partition-id replica-id iota copy-done optimization-barrier '
  'custom-call async-done async-update domain'.split()
)


def flops(program: Program, step: Step) -> float:
  """Operations of one run of an instruction, what it fuses included."""
  return _flops(program, step.instruction, step.computation)


def _flops(
  program: Program, found: Instruction, computation: Computation
) -> float:
  if found.opcode == 'dot':
    return _dot_flops(found, computation)
  if found.opcode == 'convolution':
    return _convolution_flops(found, computation)
  if found.opcode != 'fusion':
    return 0.0
  inner = program.computations[found.called[0]]
  return sum(_flops(program, part, inner) for part in inner.values())


def traffic(program: Program, step: Step) -> float:
  """Bytes of one run of an instruction, read and written."""
  found, computation = step.instruction, step.computation
  if found.opcode in _FREE or is_collective(found):
    return 0.0
  operands = [
    computation[name] for name in found.operands if name in computation
  ]
  if found.opcode == 'fusion':
    inner = program.computations[found.called[0]]
    return _fusion_bytes(found, operands, inner)
  return _own_bytes(found, operands)


def _fusion_bytes(
  found: Instruction, operands: Sequence[Instruction], inner: Computation
) -> float:
  parameters = {
    int(i.rest.split(')')[0]): i
    for i in inner.values()
    if i.opcode == 'parameter'
  }
  total = 0.0
  for number, operand in enumerate(operands):
    whole = sum(shape.traffic for shape in operand.shapes)
    total += min(whole, _read(parameters[number], inner))
  written = [_written(i, inner) for i in inner.values() if i.is_root]
  whole = sum(shape.traffic for shape in found.shapes)
  return total + min([whole, *written])


def _dot_flops(found: Instruction, computation: Computation) -> float:
  left = computation[found.operands[0]].shapes[0].dims
  numbers = re.findall(r'\d+', found.attribute('lhs_contracting_dims'))
  contracted = math.prod(left[int(number)] for number in numbers)
  return 2.0 * math.prod(found.shapes[0].dims) * contracted


def _convolution_flops(found: Instruction, computation: Computation) -> float:
  left, right, out = found.attribute('dim_labels').replace('->', '_').split('_')
  lhs = computation[found.operands[0]].shapes[0].dims
  rhs = computation[found.operands[1]].shapes[0].dims
  result = found.shapes[0].dims
  total = 2.0 * result[out.index('b')] * result[out.index('f')]
  total *= rhs[right.index('i')]
  window = _Window.of(found.attribute('window'))
  for number, label in enumerate(c for c in out if c.isdigit()):
    total *= window.valid(
      number, lhs[left.index(label)], result[out.index(label)]
    )
  return total


@dataclasses.dataclass(frozen=True)
class _Window:
  """How a convolution reads its input, a number for each spatial axis."""

  size: tuple[int, ...]
  stride: tuple[int, ...]
  pad: tuple[int, ...]  # before the first
  base: tuple[int, ...]  # dilation of the input
  dilation: tuple[int, ...]  # of the window

  @classmethod
  @functools.cache
  def of(cls, text: str) -> _Window:
    fields = dict(
      part.split('=') for part in text.strip('{}').split() if '=' in part
    )
    size = tuple(int(n) for n in fields.get('size', '').split('x') if n)

    def numbers(name: str, default: int) -> tuple[int, ...]:
      if name not in fields:
        return (default,) * len(size)
      return tuple(int(n.split('_')[0]) for n in fields[name].split('x'))

    return cls(
      size,
      numbers('stride', 1),
      numbers('pad', 0),
      numbers('lhs_dilate', 1),
      numbers('rhs_dilate', 1),
    )

  def valid(self, axis: int, num_inputs: int, num_outputs: int) -> int:
    """Pairs of an output and a place of the window that meet real input."""
    outputs = self.stride[axis] * np.arange(num_outputs)
    count = 0
    for place in range(self.size[axis]):
      at = outputs + place * self.dilation[axis] - self.pad[axis]
      inside = (at >= 0) & (at < num_inputs * self.base[axis])
      count += int(np.sum(inside & (at % self.base[axis] == 0)))
    return count


def _own_bytes(found: Instruction, operands: Sequence[Instruction]) -> float:
  written = sum(shape.traffic for shape in found.shapes)
  if found.opcode in ('dynamic-slice', 'slice', 'gather'):
    return 2.0 * written
  if found.opcode in ('dynamic-update-slice', 'scatter') and len(operands) > 1:
    update = operands[1 if found.opcode == 'dynamic-update-slice' else -1]
    return 2.0 * sum(shape.traffic for shape in update.shapes)
  if found.opcode == 'copy-start':  # its result holds source and target
    return float(sum(shape.traffic for shape in found.shapes[:2]))
  read = sum(shape.traffic for o in operands for shape in o.shapes)
  return float(written + read)


def _users(found: Instruction, inner: Computation) -> list[Instruction]:
  users = [i for i in inner.values() if found.name in i.operands]
  through = [i for i in users if i.opcode == 'bitcast']
  others = [i for i in users if i.opcode != 'bitcast']
  return others + [user for i in through for user in _users(i, inner)]


def _read(parameter: Instruction, inner: Computation) -> float:
  """Bytes of a fusion's operand that are read."""
  total = 0.0
  for user in _users(parameter, inner):
    if user.opcode in ('dynamic-slice', 'gather', 'slice'):
      total += user.shapes[0].bytes
    elif user.opcode == 'dynamic-update-slice':
      updated = inner.get(user.operands[0])
      is_target = updated is not None and updated.shapes == parameter.shapes
      total += 0.0 if is_target else math.inf
    else:
      return math.inf
  return total


def _written(root: Instruction, inner: Computation) -> float:
  """Bytes that a fusion writes, by what its root is."""
  if root.opcode == 'bitcast':
    return _written(inner[root.operands[0]], inner)
  if root.opcode == 'tuple':
    return sum(_written(inner[name], inner) for name in root.operands)
  if root.opcode == 'dynamic-update-slice':
    return float(inner[root.operands[1]].shapes[0].bytes)
  return float(sum(shape.bytes for shape in root.shapes))
