"""The flags that join several processes to one run.

Each process of a run is given the same command with

  --coordinator=HOST:PORT --num_processes=N --process_id=I

where HOST is the machine of process 0 and I counts from 0. Launchers write
them; nothing is guessed from the machine.
"""

from __future__ import annotations

import dataclasses
import math
import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

from hh_jax.config import (
  DistillConfig,
  PMConfig,
  PMPConfig,
  PretrainConfig,
  RLHFConfig,
)

FLAGS = ('coordinator', 'num_processes', 'process_id')
SPREAD = (PretrainConfig, DistillConfig, PMPConfig, PMConfig, RLHFConfig)
_LOOPBACK = re.compile(r'localhost|127\.[\d.]+|\[?::1\]?')


@dataclasses.dataclass(frozen=True)
class Group:
  """One process of several."""

  coordinator: str  # host:port
  num_processes: int
  process_id: int

  def __post_init__(self):
    if not re.fullmatch(r'.+:\d+', self.coordinator):
      raise ValueError(f'--coordinator={self.coordinator} is not HOST:PORT')
    if not 0 <= self.process_id < self.num_processes:
      raise ValueError(
        f'--process_id={self.process_id} is not within 0 .. '
        f'--num_processes={self.num_processes} - 1'
      )


def flags_of(coordinator: str, number: int, index: int | str) -> list[str]:
  """Spells the flags of one process, none for a process alone."""
  if number == 1:
    return []
  values = (coordinator, number, index)
  return [f'--{name}={value}' for name, value in zip(FLAGS, values)]


def take(args: Sequence[str]) -> tuple[Group | None, list[str]]:
  """Splits these flags off the other arguments; without them there is no group.

  Raises:
    ValueError: Some are missing, or a value is wrong.
  """
  found, rest = {}, []
  for arg in args:
    name, has_value, value = arg.lstrip('-').partition('=')
    if has_value and name in FLAGS and arg.startswith('-'):
      found[name] = value
    else:
      rest.append(arg)
  if not found:
    return None, rest
  missing = [name for name in FLAGS if name not in found]
  if missing:
    raise ValueError(
      f'--{missing[0]} is missing: several processes need --coordinator, '
      '--num_processes and --process_id'
    )
  numbers = [_number(name, found[name]) for name in FLAGS[1:]]
  return Group(found['coordinator'], *numbers), rest


def require_spread(kind: type[Any], number: int) -> None:
  """Raises ValueError unless a stage, by its config, runs in processes."""
  if number > 1 and not issubclass(kind, SPREAD):
    names = ', '.join(kind.__name__.removesuffix('Config') for kind in SPREAD)
    raise ValueError(
      f'{kind.__name__.removesuffix("Config")} runs in one process, not in '
      f'{number}; those that run in several are {names}'
    )


def require_even(num_devices: int, number: int) -> None:
  """Raises ValueError unless processes share a mesh evenly."""
  if num_devices % number:
    raise ValueError(
      f'{number} processes do not share the {num_devices} devices of the mesh '
      'evenly; set loop.mesh_data, mesh_fsdp and mesh_tensor'
    )


def devices_of(config: Any) -> int:
  """Returns how many devices the mesh of a config has."""
  loop = config.loop
  return math.prod((loop.mesh_data, loop.mesh_fsdp, loop.mesh_tensor))


def require_reachable(
  group: Group, environ: Mapping[str, str] = os.environ
) -> None:
  """Raises ValueError for a coordinator that other hosts cannot mean.

  Several hosts are seen by what Slurm and GKE say of them.
  """
  nodes = environ.get('SLURM_JOB_NUM_NODES', '1')
  hosts = environ.get('TPU_WORKER_HOSTNAMES', '').split(',')
  has_several = len(hosts) > 1 or (nodes.isdigit() and int(nodes) > 1)
  host = group.coordinator.rpartition(':')[0]
  if has_several and _LOOPBACK.fullmatch(host):
    raise ValueError(
      f'--coordinator={group.coordinator} is this host to every one of '
      'several hosts; name the host of process 0'
    )


def _number(name: str, text: str) -> int:
  if not text.isdigit():
    raise ValueError(f'--{name}={text} is not a whole number')
  return int(text)
