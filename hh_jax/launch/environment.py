"""What a process needs set before jax starts: memory and determinism.

XLA on a CPU allocates the temporaries of every step anew. By default glibc
returns blocks of that size to the kernel at once, and touching fresh pages
costs more than the arithmetic of a small model. Freed memory is kept instead.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import MutableMapping

# Parameters of mallopt(3).
_M_TRIM_THRESHOLD = -1
_M_TOP_PAD = -2
_M_MMAP_MAX = -4
_M_ARENA_MAX = -8

DETERMINISTIC_FLAGS = (
  '--xla_gpu_deterministic_ops=true',
  '--xla_gpu_exclude_nondeterministic_ops=true',
)

_KEEP_BYTES = 2**31 - 1
_GROW_BYTES = 2**26


def keep_freed_memory() -> bool:
  """Tells glibc to hold on to freed memory; True where that was possible.

  Does nothing on other C libraries, or where the user set `MALLOC_` variables
  or `GLIBC_TUNABLES` or loaded another allocator.
  """
  is_chosen = any(
    name.startswith('MALLOC_') or name in ('GLIBC_TUNABLES', 'LD_PRELOAD')
    for name in os.environ
  )
  if is_chosen or not sys.platform.startswith('linux'):
    return False
  try:
    mallopt = ctypes.CDLL(None).mallopt
  except (AttributeError, OSError):
    return False
  options = (
    (_M_ARENA_MAX, 1),
    (_M_MMAP_MAX, 0),
    (_M_TRIM_THRESHOLD, _KEEP_BYTES),
    (_M_TOP_PAD, _GROW_BYTES),
  )
  return all(mallopt(option, value) == 1 for option, value in options)


def set_deterministic_flags(
  environ: MutableMapping[str, str] = os.environ,
) -> str:
  """Adds the GPU determinism flags to `XLA_FLAGS`; returns the new value.

  XLA reads the variable when its first backend starts, so entry points call
  this before any array is made. A flag the user already set is left alone.
  """
  flags = environ.get('XLA_FLAGS', '').split()
  names = {flag.split('=')[0] for flag in flags}
  flags += [f for f in DETERMINISTIC_FLAGS if f.split('=')[0] not in names]
  environ['XLA_FLAGS'] = ' '.join(flags)
  return environ['XLA_FLAGS']
