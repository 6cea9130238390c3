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
  environment.use_huge_pages()  # and this process goes on


@pytest.mark.parametrize(
  ('library', 'version', 'has'),
  [
    ('glibc', '2.36', True),
    ('glibc', '2.9', False),
    ('glibc', '2.34', False),
    ('musl', '2.40', False),
    ('', '', False),
  ],
)
def test_only_a_new_glibc_gives_huge_pages(
  monkeypatch, tmp_path, library, version, has
):
  kernel = tmp_path / 'enabled'
  kernel.write_text('[always] madvise never')
  monkeypatch.setattr(environment, '_KERNEL', kernel)
  monkeypatch.setattr(
    environment.platform, 'libc_ver', lambda: (library, version)
  )
  assert environment._has_huge_pages() == has


@pytest.mark.parametrize('enabled', ['always [madvise] never', None])
def test_a_script_starts_again_once_with_huge_pages(tmp_path, enabled):
  kernel = tmp_path / 'enabled'
  if enabled:
    kernel.write_text(enabled)
  script = tmp_path / 'script.py'
  script.write_text(
    'import os, pathlib, sys\n'
    'from hh_jax.launch import environment\n'
    f'environment._KERNEL = pathlib.Path({str(kernel)!r})\n'
    'print("started", os.getpid(), flush=True)\n'
    'environment.use_huge_pages()\n'
    'print(os.environ.get("GLIBC_TUNABLES"), sys.argv[1:])\n'
  )
  said = subprocess.run(
    [sys.executable, str(script), 'a b', '--c'],
    env=unchosen(),
    capture_output=True,
    check=True,
    text=True,
  ).stdout.splitlines()
  if enabled:
    assert said[0] == said[1]  # the same process
    assert said[2:] == [f"{environment.HUGE_PAGES} ['a b', '--c']"]
  else:
    assert said[1:] == ["None ['a b', '--c']"]


def unchosen():
  """The environment without a choice of allocator."""
  return {
    name: value
    for name, value in os.environ.items()
    if not name.startswith('MALLOC_')
    and name not in ('GLIBC_TUNABLES', 'LD_PRELOAD')
  }


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
  counts = {
    mode: int(
      subprocess.run(
        [sys.executable, '-c', code, mode],
        env=unchosen(),
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
