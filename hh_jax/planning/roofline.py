"""How long a step takes, by what bounds each of its parts.

1. An operation takes the longer of its arithmetic at what a chip sustains of
   its peak and its bytes at what copies attain of the bandwidth; operations
   run one after the other.
2. Exchanges along `data` and `fsdp` inside a loop over layers are prefetched
   while the layer before computes: what is longer than all computation, and
   those outside loops, are waited for. Exchanges along `tensor` are between
   two products that need them: all are waited for.
3. MFU is the operations that the task needs (`flops.Counter`: causal, no
   recomputation, no padding) over those that the chips could do in that time.

The same sum of parts is made of a compiled program and of an account on paper
(`ledger`), by which meshes are proposed and published steps are predicted.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence

from hh_jax.planning import chips, cost
from hh_jax.planning.collectives import Collective
from hh_jax.planning.hlo import Program

ASSUMPTIONS = (
  'an operation takes the longer of its arithmetic at {sustained:.0%} of the '
  'peak of {peak:.0f} TFLOP/s and its bytes at {attained:.0%} of '
  '{bandwidth:.0f} GB/s; operations run one after the other',
  '{network}; exchanges along tensor are waited for, those of weights and '
  'gradients in loops over layers overlap with computation',
  'the host, the input pipeline, checkpoints and failures cost nothing',
)
TORUS = (
  'a ring gathers {link:.0f} GB/s along each axis of the {shape} torus that '
  'its chips span'
)
NODES = (
  'a ring gathers {link:.0f} GB/s within a node of {node} GPUs, beyond it its '
  'share of the {leaving:.0f} GB/s that leave a node'
)


@dataclasses.dataclass(frozen=True)
class Work:
  """What one chip does in a step."""

  arithmetic: float  # seconds, of operations bound by it
  memory: float  # seconds, of operations bound by their bytes
  flops: float  # executed
  bytes: float  # moved in main memory
  hidden: float  # seconds of exchanges that may overlap
  waited: float  # seconds of those that may not

  @property
  def computing(self) -> float:
    return self.arithmetic + self.memory

  @property
  def exposed(self) -> float:
    """Seconds of exchanges during which nothing is computed."""
    return self.waited + max(0.0, self.hidden - self.computing)

  @property
  def seconds(self) -> float:
    return self.computing + self.exposed

  @property
  def bound(self) -> str:
    """What takes most of the time."""
    parts = {
      'arithmetic': self.arithmetic,
      'memory': self.memory,
      'network': self.exposed,
    }
    return max(parts, key=lambda name: parts[name])


@dataclasses.dataclass(frozen=True)
class Rates:
  """What a chip does in a second, in a slice of some shape."""

  chip: chips.Chip
  shape: tuple[int, ...]
  dtype: str = 'bfloat16'

  @property
  def flops(self) -> float:
    peak = self.chip.peak(self.dtype)
    # Float32 takes six passes of a matrix unit that multiplies bfloat16.
    return self.chip.sustained * (peak or self.chip.bf16 / 6)

  @property
  def bytes(self) -> float:
    return chips.ATTAINABLE_BANDWIDTH * self.chip.bandwidth

  def assumptions(self) -> list[str]:
    """What the estimate takes for granted, in words."""
    chip = self.chip
    network = (TORUS if chip.torus else NODES).format(
      link=chip.link / 1e9,
      shape='x'.join(map(str, self.shape)),
      node=chips.NODE,
      leaving=chip.network / 1e9,
    )
    facts = {
      'sustained': chip.sustained,
      'peak': chip.bf16 / 1e12,
      'attained': chips.ATTAINABLE_BANDWIDTH,
      'bandwidth': chip.bandwidth / 1e9,
      'network': network,
    }
    return [line.format(**facts) for line in ASSUMPTIONS]


def work_of(
  program: Program, found: Iterable[Collective], rates: Rates
) -> Work:
  """The work of a compiled step."""
  operations = [
    (cost.flops(program, step), cost.traffic(program, step), step.times)
    for step in program.steps()
  ]
  return sum_up(operations, found, rates)


def sum_up(
  operations: Sequence[tuple[float, float, float]],
  found: Iterable[Collective],
  rates: Rates,
) -> Work:
  """Adds up operations, given as (flops, bytes, runs), and exchanges."""
  arithmetic = memory = 0.0
  for flops, moved, times in operations:
    by_flops, by_bytes = flops / rates.flops, moved / rates.bytes
    if by_flops >= by_bytes:
      arithmetic += times * by_flops
    else:
      memory += times * by_bytes
  hidden = waited = 0.0
  for one in found:
    bandwidth = rates.chip.bandwidth_of(one.members, rates.shape)
    seconds = one.times * one.bytes / bandwidth if bandwidth else 0.0
    may_hide = rates.chip.overlaps and one.depth > 0
    if may_hide and 'tensor' not in one.axes:
      hidden += seconds
    else:
      waited += seconds
  return Work(
    arithmetic=arithmetic,
    memory=memory,
    flops=sum(flops * times for flops, _, times in operations),
    bytes=sum(moved * times for _, moved, times in operations),
    hidden=hidden,
    waited=waited,
  )


def mfu(
  needed: float, seconds: float, num_chips: int, chip: chips.Chip
) -> float:
  """Share of the data sheet's bfloat16 peak that needed operations take."""
  return needed / (seconds * num_chips * chip.bf16) if seconds else 0.0
