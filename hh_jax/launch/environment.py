"""What a process needs set before jax starts: memory and determinism.

XLA on a CPU allocates the temporaries of every step anew. By default glibc
returns blocks of that size to the kernel at once, and touching fresh pages
costs more than the arithmetic of a small model. A script starts again with
huge pages, which are few; where that cannot be, freed memory is kept.
"""

from __future__ import annotations

import ctypes
import os
import pathlib
import platform
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


HUGE_PAGES = 'glibc.malloc.hugetlb=1'  # from glibc 2.35 on
_KERNEL = pathlib.Path('/sys/kernel/mm/transparent_hugepage/enabled')


def use_huge_pages() -> None:
  """Starts this script again with huge pages; call it before long work.

  glibc reads the setting when a process starts. The process keeps its number.
  Returns where there is nothing to gain: the script was started again, the
  kernel or the C library gives no huge pages, or the user chose an allocator.
  """
  if _is_chosen() or not _has_huge_pages():
    return
  sys.stdout.flush()
  sys.stderr.flush()
  command = [sys.executable, *sys.orig_argv[1:]]
  os.execve(command[0], command, {**os.environ, 'GLIBC_TUNABLES': HUGE_PAGES})


def _has_huge_pages() -> bool:
  library, version = platform.libc_ver()
  numbers = tuple(int(part) for part in version.split('.') if part.isdigit())
  if library != 'glibc' or numbers < (2, 35):
    return False
  return _KERNEL.exists() and '[never]' not in _KERNEL.read_text()


def _is_chosen() -> bool:
  return any(
    name.startswith('MALLOC_') or name in ('GLIBC_TUNABLES', 'LD_PRELOAD')
    for name in os.environ
  )


def keep_freed_memory() -> bool:
  """Tells glibc to hold on to freed memory; True where that was possible.

  Does nothing on other C libraries, or where the user set `MALLOC_` variables
  or `GLIBC_TUNABLES` or loaded another allocator.
  """
  if _is_chosen() or not sys.platform.startswith('linux'):
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
