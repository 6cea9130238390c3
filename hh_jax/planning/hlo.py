"""Reads the text of a compiled program: its instructions, how often each runs.

1. A line of a computation is an instruction: name, shapes, opcode, operands.
   Shapes that a TPU keeps in its on-chip memory (`S(1)`) are marked.
2. A loop runs as often as its condition says: it counts from 0 to a constant,
   or the backend says `known_trip_count`. Where neither is so (`decode` ends
   when all replies do) the caller says it.
3. `steps` walks from the entry through loops, calls and branches, every
   instruction with the number of its runs. A fusion is one instruction; of a
   branch every arm counts.

What an instruction costs is in `cost`.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Iterator

_BYTES = {'pred': 1, 's8': 1, 'u8': 1, 'bf16': 2, 'f16': 2, 's16': 2, 'u16': 2}
_BYTES |= {'s4': 1, 'u4': 1, 's64': 8, 'u64': 8, 'f64': 8, 'c64': 8, 'token': 0}

_SHAPE = re.compile(r'([a-z][a-z0-9]*)\[([\d,]*)\](\{[^{}]*\})?')
_LINE = re.compile(r'\s+(?:ROOT )?%?([\w.\-]+) = ')
_HEAD = re.compile(r'(ENTRY )?%?([\w.\-]+) \(.*\{$')
_CALLED = re.compile(
  r'(?:calls|to_apply|body|branch_computations|(?:true|false)_computation)='
  r'(\{[^}]*\}|[^,\s]+)'
)
_NAME = re.compile(r'[\w.\-]+')
_ON_CHIP = re.compile(r'S\([1-9]')

COLLECTIVES = (
  'all-gather',
  'all-reduce',
  'reduce-scatter',
  'all-to-all',
  'collective-permute',
  'ragged-all-to-all',
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
    lists = _CALLED.findall(self.rest)
    return tuple(name for text in lists for name in _NAME.findall(text))


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


def is_collective(found: Instruction) -> bool:
  """Whether chips exchange something here."""
  return (
    found.opcode.removesuffix('-start').removesuffix('-done') in COLLECTIVES
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
