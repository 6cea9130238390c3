"""What jax computes on, and what its maker says that it can do.

1. A process of its own asks jax for the device, so that the one that drives a
   benchmark holds no memory of it.
2. Known chips have the dense peaks and the bandwidth of their data sheets. An
   unknown one has neither; its rows have the measured peak only.
3. Matrix products reach about `ATTAINABLE_FLOPS` of a data sheet's peak and
   copies about `ATTAINABLE_BANDWIDTH` of its bandwidth: what an ideal is
   reckoned with. MFU is against the data sheet.
"""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

from benchmarks import environment

ATTAINABLE_FLOPS = 0.8  # seen on H100 and H200: 0.79 to 0.81 of 989 TFLOP/s
ATTAINABLE_BANDWIDTH = 0.9  # seen on both: 3.0 of 3.35 and 4.3 of 4.8 TB/s


@dataclasses.dataclass(frozen=True)
class Chip:
  """Facts of one chip, from its data sheet; dense, no sparsity."""

  name: str
  bf16: float  # FLOP/s
  bandwidth: float  # bytes/s of its memory
  memory: float  # bytes
  tf32: float | None = None  # FLOP/s; what float32 products use on a GPU

  def peak(self, dtype: str) -> float | None:
    """Most operations a second on operands of a type; None if not known."""
    return self.bf16 if dtype == 'bfloat16' else self.tf32


_TERA, _GB, _GIB = 1e12, 1e9, 2.0**30
_A100 = {'bf16': 312 * _TERA, 'tf32': 156 * _TERA}
_HOPPER = {'bf16': 989.4 * _TERA, 'tf32': 494.7 * _TERA}
_V5P = Chip('TPU v5p', 459 * _TERA, 2765 * _GB, 95 * _GIB)
_V6E = Chip('TPU v6e', 918 * _TERA, 1638 * _GB, 32 * _GIB)

# By what jax calls the device.
CHIPS: dict[str, Chip] = {
  'NVIDIA A100-SXM4-40GB': Chip(
    'A100 SXM 40 GB', bandwidth=1555 * _GB, memory=40 * _GIB, **_A100
  ),
  'NVIDIA A100-SXM4-80GB': Chip(
    'A100 SXM 80 GB', bandwidth=2039 * _GB, memory=80 * _GIB, **_A100
  ),
  'NVIDIA H100 80GB HBM3': Chip(
    'H100 SXM', bandwidth=3350 * _GB, memory=80 * _GIB, **_HOPPER
  ),
  'NVIDIA H200': Chip(
    'H200 SXM', bandwidth=4800 * _GB, memory=141 * _GB, **_HOPPER
  ),
  'TPU v4': Chip('TPU v4', 275 * _TERA, 1228 * _GB, 32 * _GIB),
  'TPU v5 lite': Chip('TPU v5e', 197 * _TERA, 819 * _GB, 16 * _GIB),
  'TPU v5': _V5P,
  'TPU v5p': _V5P,
  'TPU v6 lite': _V6E,
  'TPU v6e': _V6E,
}


@dataclasses.dataclass(frozen=True)
class Device:
  """What our side runs on."""

  platform: str = 'cpu'  # as jax calls it: 'cpu', 'gpu' or 'tpu'
  kind: str = 'cpu'
  limit: float | None = None  # bytes that jax may use, where it says so
  hardware: Mapping[str, Any] | None = None  # of the result file

  @property
  def chip(self) -> Chip | None:
    return CHIPS.get(self.kind)

  @property
  def is_accelerator(self) -> bool:
    """Whether the jobs of accelerators run; on a CPU they would take days."""
    return self.platform != 'cpu' or self.chip is not None

  @property
  def memory(self) -> float | None:
    """Bytes that one process may use; None if not known."""
    if self.limit is not None or self.chip is None:
      return self.limit
    return self.chip.memory * environment.MEMORY_FRACTION


_QUESTION = """
import json
import jax
from hh_jax.report import record
device = jax.devices()[0]
print(json.dumps({
  'platform': device.platform,
  'kind': device.device_kind,
  'limit': (device.memory_stats() or {}).get('bytes_limit'),
  'hardware': record.hardware(),
}))
"""


def find(platform: str = '') -> Device:
  """Asks jax what it finds, or finds on a named platform.

  Raises:
    SystemExit: There is no such platform.
  """
  done = subprocess.run(
    [sys.executable, '-c', _QUESTION],
    cwd=environment.ROOT,
    env=environment.of_platform(platform),
    capture_output=True,
    text=True,
  )
  if done.returncode:
    sys.exit(
      f'jax finds no device of --platform={platform!r}:\n{done.stderr[-2000:]}'
    )
  device = Device(**json.loads(done.stdout.splitlines()[-1]))
  if platform not in ('', device.platform):
    sys.exit(
      f'--platform={platform!r}, but jax computes on {device.platform!r}'
    )
  return device
