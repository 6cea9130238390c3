"""What jax computes on.

1. A process of its own asks jax for the device, so that the one that drives a
   benchmark holds no memory of it.
2. Known chips have the peaks of their data sheets (`hh_jax.planning.chips`). An
   unknown one has none; its rows have the measured peak only.
"""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

from benchmarks import environment
from hh_jax.planning.chips import CHIPS, Chip


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
