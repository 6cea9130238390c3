"""What entry points set before jax starts."""

import os
import subprocess
import sys

import pytest

from hh_jax.launch import environment


def test_deterministic_flags_keep_what_the_user_set():
  environ = {'XLA_FLAGS': '--xla_gpu_deterministic_ops=false --xla_foo=1'}
  environment.set_deterministic_flags(environ)
  environment.set_deterministic_flags(environ)
  assert environ['XLA_FLAGS'].split() == [
    '--xla_gpu_deterministic_ops=false',
    '--xla_foo=1',
    '--xla_gpu_exclude_nondeterministic_ops=true',
  ]


def test_a_chosen_allocator_is_left_alone(monkeypatch):
  monkeypatch.setenv('MALLOC_ARENA_MAX', '4')
  assert not environment.keep_freed_memory()


def test_freed_memory_is_kept():
  """Touching the same large block twice faults its pages in only once."""
  code = (
    'import resource, sys\n'
    'from hh_jax.launch import environment\n'
    'if sys.argv[1] == "keep":\n'
    '  assert environment.keep_freed_memory()\n'
    'def faults():\n'
    '  before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt\n'
    '  bytearray(b"x") * (1 << 26)\n'
    '  return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before\n'
    'faults()\n'
    'print(faults())\n'
  )
  environ = {
    name: value
    for name, value in os.environ.items()
    if not name.startswith('MALLOC_')
    and name not in ('GLIBC_TUNABLES', 'LD_PRELOAD')
  }
  counts = {
    mode: int(
      subprocess.run(
        [sys.executable, '-c', code, mode],
        env=environ,
        capture_output=True,
        check=True,
        text=True,
      ).stdout
    )
    for mode in ('keep', 'default')
  }
  if not sys.platform.startswith('linux'):
    pytest.skip('mallopt is an interface of glibc')
  assert counts['keep'] < 100 < counts['default']
