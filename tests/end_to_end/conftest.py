"""One toy pipeline, run once for all tests and workers of a session."""

import fcntl
import os
import pathlib

import jax
import pytest
from jax.experimental.compilation_cache import compilation_cache

from tests.end_to_end import toy


def _folder_of_session(tmp_path_factory) -> pathlib.Path:
  folder = tmp_path_factory.getbasetemp()
  return folder.parent if 'PYTEST_XDIST_WORKER' in os.environ else folder


@pytest.fixture(scope='session')
def cache(tmp_path_factory):
  """Folder of compiled programs, shared with every process of the tests."""
  names = (
    'jax_compilation_cache_dir',
    'jax_persistent_cache_min_compile_time_secs',
  )
  before = {name: getattr(jax.config, name) for name in names}
  folder = _folder_of_session(tmp_path_factory) / 'compiled'
  folder.mkdir(exist_ok=True)
  yield folder
  for name, value in before.items():
    jax.config.update(name, value)
  compilation_cache.reset_cache()


@pytest.fixture(scope='session')
def lab(tmp_path_factory, cache):
  """Workdir of the finished toy pipeline on the lab, and what it printed.

  The first worker to get the lock runs it, the others wait. Tests only read.
  """
  from experiments import pipeline

  folder = _folder_of_session(tmp_path_factory)
  workdir, printed = folder / 'lab', folder / 'lab.txt'
  with (folder / 'lab.lock').open('w') as lock:
    fcntl.flock(lock, fcntl.LOCK_EX)
    if not printed.exists():
      config = toy.parse(toy.arguments(workdir, cache))
      printed.write_text(pipeline.main(config, str(workdir)))
  return workdir, printed.read_text()
