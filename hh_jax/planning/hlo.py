"""Reads the text of a compiled program: its instructions, how often each runs.

1. A line of a computation is an instruction: name, shapes, opcode, operands.
   Shapes that a TPU keeps in its on-chip memory (`S(1)`) are marked.
2. A loop runs as often as its condition says: it counts from 0 to a constant,
   or the backend says `known_trip_count`. Where neither is so (`decode` ends
   when all replies do) the caller says it.
3. `steps` walks from the entry through loops, calls and branches, every
   instruction with the number of its runs. A fusion is one instruction.
4. Operations are those of `dot`, and of `convolution`, which is what a TPU
   makes of it: only places of the window that meet real input count.
5. Bytes are what an instruction reads and writes in the chip's main memory. Of
   what it slices only the slice counts, of what it updates in place only the
   update.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import re
from collections.abc import Iterator, Sequence

import numpy as np

_BYTES = {'pred': 1, 's8': 1, 'u8': 1, 'bf16': 2, 'f16': 2, 's16': 2, 'u16': 2}
_BYTES |= {'s4': 1, 'u4': 1, 's64': 8, 'u64': 8, 'f64': 8, 'c64': 8, 'token': 0}

_SHAPE = re.compile(r'([a-z][a-z0-9]*)\[([\d,]*)\](\{[^{}]*\})?')
_LINE = re.compile(r'\s+(?:ROOT )?%?([\w.\-]+) = ')
_HEAD = re.compile(r'(ENTRY )?%?([\w.\-]+) \(.*\{$')
_CALLED = re.compile(r'(?:calls|to_apply|body|branch_computations)=\{?([^,}]+)')
_ON_CHIP = re.compile(r'S\([1-9]')

# What moves nothing, or whose parts are counted on their own.
_FREE = frozenset(
  'parameter constant tuple get-tuple-element bitcast while conditional call '
  'after-all partition-id replica-id iota copy-done optimization-barrier '
  'custom-call async-done async-update domain'.split()
)


@dataclasses.dataclass(frozen=True)
class Shape:
  """One array of an instruction."""

  dtype: str
  dims: tuple[int, ...]
  is_on_chip: bool = False

  @property
  def bytes(self) -> int:
    return math.prod(self.dims) * _BYTES.get(self.dtype, 4)

  @property
  def traffic(self) -> int:
    """Bytes of it in the chip's main memory."""
    return 0 if self.is_on_chip else self.bytes


@dataclasses.dataclass(frozen=True)
class Instruction:
  """One line of a computation."""

  name: str
  opcode: str
  shapes: tuple[Shape, ...]
  operands: tuple[str, ...]
  rest: str  # attributes, and a constant's value
  is_root: bool

  def attribute(self, name: str) -> str:
    """What stands after `name=`, up to the next comma outside brackets."""
    found = re.search(rf'\b{name}=(\{{[^{{}}]*\}}|[^\s,]+)', self.rest)
    return found[1] if found else ''

  @property
  def called(self) -> tuple[str, ...]:
    """Computations it runs."""
    return tuple(
      name.strip().lstrip('%') for name in _CALLED.findall(self.rest)
    )


Computation = dict[str, Instruction]


@dataclasses.dataclass(frozen=True)
class Step:
  """An instruction where it runs, and how often."""

  instruction: Instruction
  computation: Computation
  times: float
  depth: int  # loops around it


@dataclasses.dataclass(frozen=True)
class Program:
  """All computations of a module."""

  computations: dict[str, Computation]
  entry: str
  trips: float = 1.0  # of loops whose number of runs is not in the text

  def steps(self) -> Iterator[Step]:
    """Every instruction that runs, fusions as one."""
    yield from self._walk(self.computations[self.entry], 1.0, 0)

  def _walk(
    self, computation: Computation, times: float, depth: int
  ) -> Iterator[Step]:
    for found in computation.values():
      yield Step(found, computation, times, depth)
      if found.opcode == 'while':
        body = self.computations[found.attribute('body').lstrip('%')]
        yield from self._walk(body, times * self.trip_count(found), depth + 1)
      elif found.opcode in ('call', 'conditional', 'async-start'):
        for name in found.called:
          if name in self.computations:
            yield from self._walk(self.computations[name], times, depth)

  def trip_count(self, loop: Instruction) -> float:
    """How often the body of a loop runs."""
    known = re.search(r'known_trip_count\D*(\d+)', loop.rest)
    if known:
      return float(known[1])
    condition = self.computations[loop.attribute('condition').lstrip('%')]
    root = next(i for i in condition.values() if i.is_root)
    while root.opcode in ('fusion', 'call', 'copy', 'bitcast'):
      # The comparison is inside, its constant outside.
      constants = _constants(root, condition)
      if constants:
        return constants[-1]
      if root.opcode in ('copy', 'bitcast'):
        root = condition[root.operands[0]]
        continue
      condition = self.computations[root.called[0]]
      root = next(i for i in condition.values() if i.is_root)
    constants = _constants(root, condition)
    return constants[-1] if constants else self.trips

  def flops(self, step: Step) -> float:
    """Operations of one run of an instruction, what it fuses included."""
    return self._flops(step.instruction, step.computation)

  def _flops(self, found: Instruction, computation: Computation) -> float:
    if found.opcode == 'dot':
      return _dot_flops(found, computation)
    if found.opcode == 'convolution':
      return _convolution_flops(found, computation)
    if found.opcode != 'fusion':
      return 0.0
    inner = self.computations[found.called[0]]
    return sum(
      self._flops(instruction, inner) for instruction in inner.values()
    )

  def bytes(self, step: Step) -> float:
    """Bytes of one run of an instruction, read and written."""
    found, computation = step.instruction, step.computation
    if found.opcode in _FREE or is_collective(found):
      return 0.0
    if found.opcode == 'fusion':
      return self._fusion_bytes(found, computation)
    operands = [computation.get(name) for name in found.operands]
    return _own_bytes(found, [o for o in operands if o is not None])

  def _fusion_bytes(
    self, found: Instruction, computation: Computation
  ) -> float:
    inner = self.computations[found.called[0]]
    parameters = {
      int(i.rest.split(')')[0]): i
      for i in inner.values()
      if i.opcode == 'parameter'
    }
    total = 0.0
    for number, name in enumerate(found.operands):
      operand = computation.get(name)
      if operand is None or number not in parameters:
        continue
      whole = sum(shape.traffic for shape in operand.shapes)
      total += min(whole, _read(parameters[number], inner))
    written = [_written(i, inner) for i in inner.values() if i.is_root]
    whole = sum(shape.traffic for shape in found.shapes)
    return total + min([whole, *written])


def is_collective(found: Instruction) -> bool:
  """Whether chips exchange something here."""
  return (
    found.opcode.removesuffix('-start').removesuffix('-done') in COLLECTIVES
  )


COLLECTIVES = (
  'all-gather',
  'all-reduce',
  'reduce-scatter',
  'all-to-all',
  'collective-permute',
  'ragged-all-to-all',
)


def parse(text: str, trips: float = 1.0) -> Program:
  """Reads a module as the compiler prints it.

  Args:
    text: Of `compiled.as_text()`.
    trips: How often a loop runs of which the text does not say it.

  Raises:
    ValueError: There is no entry computation.
  """
  computations: dict[str, Computation] = {}
  current: Computation = {}
  entry = ''
  for line in text.splitlines():
    head = _HEAD.match(line)
    if head:
      current = computations.setdefault(head[2], {})
      entry = head[2] if head[1] else entry
      continue
    named = _LINE.match(line)
    if named:
      found = _instruction(named[1], line, named.end())
      current[found.name] = found
  if not entry:
    raise ValueError('the text of the program has no entry computation')
  return Program(computations, entry, trips)


def _instruction(name: str, line: str, start: int) -> Instruction:
  end = _closing(line, start) if line[start] == '(' else line.index(' ', start)
  shapes = tuple(
    Shape(
      dtype,
      tuple(int(n) for n in dims.split(',') if n),
      bool(_ON_CHIP.search(layout)),
    )
    for dtype, dims, layout in _SHAPE.findall(line[start:end])
  )
  opening = line.index('(', end)
  closing = _closing(line, opening)
  inside = line[opening + 1 : closing - 1]
  return Instruction(
    name=name,
    opcode=line[end:opening].strip(),
    shapes=shapes,
    operands=tuple(re.findall(r'%([\w.\-]+)', inside)),
    rest=f'{inside}){line[closing:]}' if '%' not in inside else line[closing:],
    is_root=line.lstrip().startswith('ROOT '),
  )


def _closing(line: str, start: int) -> int:
  """The place after the bracket that closes the one at `start`."""
  level = 0
  for place in range(start, len(line)):
    level += (line[place] == '(') - (line[place] == ')')
    if level == 0:
      return place + 1
  return len(line)


def _constants(found: Instruction, computation: Computation) -> list[float]:
  """Whole numbers among the operands of an instruction."""
  values = []
  for name in found.operands:
    operand = computation.get(name)
    if operand is not None and operand.opcode == 'constant':
      number = operand.rest.split(')')[0]
      values += [float(number)] if number.isdecimal() else []
  return values


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
