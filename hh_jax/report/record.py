"""Result files: numbers together with how they came about.

A file under `results/` is `{command, commit, hardware, versions, seeds,
seconds, values}`. The tables of the README are made from such files.
"""

from __future__ import annotations

import json
import math
import os
import pathlib
import platform
from collections.abc import Mapping, Sequence

import numpy as np

from hh_jax.report import table
from hh_jax.training import provenance
from hh_jax.training import workdir as workdir_lib

FIELDS = (
  'command',
  'commit',
  'hardware',
  'versions',
  'seeds',
  'seconds',
  'values',
)


def write_result(
  path: str | os.PathLike[str],
  values: Mapping[str, table.Value] | Sequence[Mapping[str, table.Value]],
  *,
  command: str,
  seeds: Sequence[int],
  seconds: float,
  machine: Mapping[str, table.Value] | None = None,
) -> pathlib.Path:
  """Writes a result file.

  Args:
    path: Where to; its folder is made.
    values: The numbers; NumPy scalars and arrays are taken too.
    command: Shell command that makes the same file again.
    seeds: Every seed the numbers depend on.
    seconds: Wall-clock time of the command; where it was stopped and started
      again, at least that of its stages.
    machine: The `hardware` that was measured; by default this process's.

  Returns:
    The path written.
  """
  path = pathlib.Path(path)
  path.parent.mkdir(parents=True, exist_ok=True)
  content: dict[str, table.Value] = {
    'command': command,
    'commit': provenance.commit(ignore=path),
    'hardware': dict(machine) if machine else hardware(),
    'versions': provenance.versions(),
    'seeds': [int(seed) for seed in seeds],
    'seconds': round(float(seconds), 1),
    'values': to_plain(values),
  }
  workdir_lib.write_json(path, content)
  return path


def describe_run(workdir: str | os.PathLike[str], command: str) -> pathlib.Path:
  """Adds to a run's `results.json` how it came about.

  Args:
    workdir: Folder of the run.
    command: Shell command that was run.

  Returns:
    The path of `results.json`.
  """
  path = pathlib.Path(workdir) / 'results.json'
  content = json.loads(path.read_text(encoding='utf-8'))
  content |= {
    'command': command,
    'commit': provenance.commit(ignore=path),
    'hardware': hardware(),
    'versions': provenance.versions(),
  }
  workdir_lib.write_json(path, content)
  return path


def to_plain(value: object, where: str = 'values') -> table.Value:
  """Turns NumPy and JAX values into what JSON holds.

  Args:
    value: Mappings, sequences, arrays and scalars, nested.
    where: Name used in an error.

  Returns:
    The same made of plain Python values.
  """
  if isinstance(value, Mapping):
    return {str(k): to_plain(v, f'{where}.{k}') for k, v in value.items()}
  if value is None or isinstance(value, (str, bool, int)):
    return value
  if isinstance(value, (float, np.floating)):
    if not math.isfinite(value):
      raise ValueError(f'{where}={value} is not finite; use null if unknown')
    return float(value)
  if isinstance(value, (list, tuple)):
    return [to_plain(v, f'{where}[{i}]') for i, v in enumerate(value)]
  array = np.asarray(value)
  if array.dtype == object:
    raise ValueError(f'{where} is a {type(value).__name__}, no JSON value')
  return to_plain(array.tolist(), where)


def hardware() -> dict[str, table.Value]:
  """Processor, cores this process may use, memory and JAX devices."""
  import jax

  devices = [device.device_kind for device in jax.devices()]
  num_bytes = os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES')
  return {
    'cpu': _cpu_model(),
    'cores': _num_cores(),
    'memory_gib': round(num_bytes / 2**30, 1),
    'devices': {kind: devices.count(kind) for kind in sorted(set(devices))},
    'backend': jax.default_backend(),
  }


def _num_cores() -> int:
  if hasattr(os, 'sched_getaffinity'):
    return len(os.sched_getaffinity(0))
  return os.cpu_count() or 1


def _cpu_model() -> str:
  info = pathlib.Path('/proc/cpuinfo')
  if info.exists():
    for line in info.read_text(encoding='utf-8').splitlines():
      if line.startswith('model name'):
        return line.partition(':')[2].strip()
  return platform.processor() or platform.machine() or 'unknown'


def hardware_line(hardware: table.Value) -> str:
  """The hardware of a result file in a few words."""
  if not isinstance(hardware, Mapping):
    return table.format_value(hardware)
  devices = hardware.get('devices')
  devices = devices if isinstance(devices, Mapping) else {}
  parts = [
    str(hardware.get('cpu', '')),
    f'{hardware["cores"]} cores' if 'cores' in hardware else '',
    f'{hardware["memory_gib"]} GiB' if 'memory_gib' in hardware else '',
    *(f'{count} x {kind}' for kind, count in devices.items() if kind != 'cpu'),
  ]
  return ', '.join(part for part in parts if part)


def versions_line(versions: table.Value) -> str:
  """The versions that matter most, in a few words."""
  if not isinstance(versions, Mapping):
    return table.format_value(versions)
  shown = [name for name in ('python', 'jax', 'flax') if name in versions]
  return ', '.join(f'{name} {versions[name]}' for name in shown or versions)
