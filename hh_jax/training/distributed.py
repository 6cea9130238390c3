"""Joins this process to the others of a run, before any array is made."""

from __future__ import annotations

import hashlib

import jax
import jax.numpy as jnp
import numpy as np

from hh_jax import sharding
from hh_jax.training import watchdog
from hh_jax.types import Params

# A process that is gone is noticed after as long.
HEARTBEAT_SECONDS = 10
# For all of them to arrive; those of a pod start within minutes of each other.
ARRIVAL_SECONDS = 300


def join(coordinator: str, num_processes: int, process_id: int) -> None:
  """Waits for all processes of a run.

  Args:
    coordinator: Where process 0 listens, 'host:port'.
    num_processes: How many there are.
    process_id: Which one this is, from 0.

  Raises:
    ValueError: They did not find each other in time.
  """
  try:
    jax.distributed.initialize(
      coordinator,
      num_processes,
      process_id,
      # Slurm would be taken to mean one device a process.
      cluster_detection_method='deactivate',
      initialization_timeout=ARRIVAL_SECONDS,
      heartbeat_timeout_seconds=HEARTBEAT_SECONDS,
    )
  except RuntimeError as error:
    raise ValueError(
      f'process {process_id} of {num_processes} found no others at '
      f'{coordinator}: {error}'
    ) from error


def is_first() -> bool:
  """Whether this is the process that writes what all of them know."""
  return jax.process_index() == 0


def wait(name: str) -> None:
  """Waits until every process has come to the same place, with a limit."""
  if jax.process_count() > 1:
    from jax.experimental import multihost_utils

    with watchdog.limit(f'barrier {name!r}'):
      multihost_utils.sync_global_devices(name)


def gather(name: str, own: np.ndarray) -> np.ndarray:
  """Returns what each process gives, stacked, with a limit."""
  from jax.experimental import multihost_utils

  with watchdog.limit(f'gathering {name!r}'):
    everyone = np.asarray(multihost_utils.process_allgather(own))
  return everyone.reshape(-1, *own.shape)


def own_copy(params: Params) -> Params:
  """Returns parameters that this process can work with alone.

  With several processes all of them must call this.
  """
  if jax.process_count() == 1:
    return params
  with watchdog.limit('copying parameters'):
    return jax.tree.map(
      lambda leaf: jnp.asarray(sharding.to_host(leaf)), params
    )


def require_same(text: str) -> None:
  """Raises ValueError unless every process gives the same text."""
  digest = hashlib.sha256(text.encode()).digest()
  own = np.frombuffer(digest, np.uint8)
  different = [
    index
    for index, other in enumerate(gather('commands', own))
    if (other != own).any()
  ]
  if different:
    raise ValueError(
      f'process {different[0]} was started with another config, --workdir or '
      f'version of the code than process {jax.process_index()}; give all the '
      'same command and the same code'
    )
