"""Slices of chips by name, and devices to compile for.

1. `v5p:2x2x1` is a slice of TPUs, `h100:8` that many GPUs.
2. With libtpu installed a TPU slice has devices that the real compiler knows,
   though none is there.
3. Without it, and for GPUs, as many virtual CPU devices stand in. The program
   is then partitioned as it would be, but fused, laid out and scheduled by
   another compiler.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import math
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from hh_jax.config.convert import nearest
from hh_jax.planning import chips

if TYPE_CHECKING:
  import jax

KINDS = {
  'v4': 'TPU v4',
  'v5e': 'TPU v5 lite',
  'v5p': 'TPU v5p',
  'v6e': 'TPU v6 lite',
  'a100': 'NVIDIA A100-SXM4-80GB',
  'h100': 'NVIDIA H100 80GB HBM3',
  'h200': 'NVIDIA H200',
}
# Chips of the largest slice, and along its longest axis.
LARGEST = {
  'v4': (4096, 16),
  'v5e': (256, 16),
  'v5p': (8960, 28),
  'v6e': (256, 16),
}
SIZES_BELOW = (1, 2)  # other axes of a torus are multiples of 4
CANNOT_KNOW = (
  'compiled for virtual CPU devices, not by the compiler of the chip: the '
  'partitioning and its collectives are those of the chip, temporaries, fused '
  'memory traffic and what fits are not known'
)


@dataclasses.dataclass(frozen=True)
class Topology:
  """A slice of chips of one kind."""

  name: str
  kind: str
  shape: tuple[int, ...]

  @property
  def chip(self) -> chips.Chip:
    return chips.CHIPS[KINDS[self.kind]]

  @property
  def num_chips(self) -> int:
    return math.prod(self.shape)

  @property
  def has_compiler(self) -> bool:
    """Whether the chip's own compiler is installed."""
    return (
      bool(self.chip.torus) and importlib.util.find_spec('libtpu') is not None
    )

  @property
  def compiler(self) -> str:
    """Who compiles for it here."""
    return 'libtpu' if self.has_compiler else 'virtual CPU devices'

  def devices(self) -> Sequence[jax.Device]:
    """Devices to compile for; nothing can be run on them.

    Raises:
      ValueError: The compiler has no such slice, or jax has started with
        fewer virtual devices.
    """
    import jax

    if self.has_compiler:
      from jax.experimental import topologies

      try:
        described = topologies.get_topology_desc(
          platform='tpu', topology_name=self.name
        )
      except Exception as error:  # whatever libtpu raises for a name
        raise ValueError(
          f'libtpu has no topology {self.name!r}: {str(error)[:160]}'
        ) from None
      return list(described.devices)
    devices = jax.devices('cpu')
    if len(devices) < self.num_chips:
      raise ValueError(
        f'{self.name} needs {self.num_chips} virtual devices and jax started '
        f'with {len(devices)}; call prepare before importing jax'
      )
    return devices[: self.num_chips]


def parse(name: str) -> Topology:
  """Reads a slice's name.

  Raises:
    ValueError: The kind is unknown, or it has no slices of that shape.
  """
  kind, _, sizes = name.partition(':')
  if kind not in KINDS:
    raise ValueError(
      f'topology {name!r}: no chip {kind!r}{nearest(kind, [*KINDS])}'
    )
  parts = sizes.split('x')
  if not all(part.isdecimal() and int(part) for part in parts):
    raise ValueError(
      f'topology {name!r} has no size; for example {_example(kind)}'
    )
  shape = tuple(map(int, parts))
  axes = chips.CHIPS[KINDS[kind]].torus or 1
  if len(shape) != axes:
    raise ValueError(
      f'topology {name!r} has {len(shape)} axes, and slices of {kind} have '
      f'{axes}; for example {_example(kind)}'
    )
  if kind in LARGEST:
    _require_slice(name, kind, shape)
  return Topology(name, kind, shape)


def _require_slice(name: str, kind: str, shape: tuple[int, ...]) -> None:
  most, longest = LARGEST[kind]
  odd = [n for n in shape if n not in SIZES_BELOW and n % 4]
  if odd or max(shape) > longest or math.prod(shape) > most:
    raise ValueError(
      f'there is no slice {name!r}: along an axis are 1, 2, or a multiple of 4 '
      f'up to {longest} chips, {most} in all; for example {_example(kind)}'
    )


def _example(kind: str) -> str:
  axes = chips.CHIPS[KINDS[kind]].torus
  return f'{kind}:' + ({2: '4x4', 3: '4x4x4'}.get(axes, '8'))


def prepare(topology: Topology) -> None:
  """Sets what jax reads when it starts; call it before jax is imported."""
  os.environ['TPU_SKIP_MDS_QUERY'] = '1'
  for name in ('TF_CPP', 'TPU'):
    os.environ.setdefault(f'{name}_MIN_LOG_LEVEL', '3')
  os.environ.setdefault('TPU_STDERR_LOG_LEVEL', '3')
  # No accelerator of this machine is touched, so that several may compile.
  os.environ['JAX_PLATFORMS'] = 'cpu'
  os.environ['ALLOW_MULTIPLE_LIBTPU_LOAD'] = '1'
  os.environ.setdefault('TPU_WORKER_HOSTNAMES', 'localhost')
  if not topology.has_compiler:
    flag = f'--xla_force_host_platform_device_count={topology.num_chips}'
    os.environ['XLA_FLAGS'] = (
      f'{os.environ.get("XLA_FLAGS", "")} {flag}'.strip()
    )
