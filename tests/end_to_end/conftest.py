"""One toy pipeline and the toy figures, run once for all tests and workers."""

import fcntl
import json
import os
import pathlib

import pytest

from tests.end_to_end import toy, toy_figures


def _folder_of_session(tmp_path_factory) -> pathlib.Path:
  folder = tmp_path_factory.getbasetemp()
  return folder.parent if 'PYTEST_XDIST_WORKER' in os.environ else folder


@pytest.fixture(scope='session')
def cache(tmp_path_factory):
  """Folder of compiled programs, shared by all processes of the tests."""
  folder = _folder_of_session(tmp_path_factory) / 'compiled'
  folder.mkdir(exist_ok=True)
  return folder


@pytest.fixture(scope='session')
def lab(tmp_path_factory, cache):
  """Workdir of the finished toy pipeline on the lab, and what it printed.

  The first worker to get the lock runs it, the others wait. Tests only read.
  """
  folder = _folder_of_session(tmp_path_factory)
  workdir, printed = folder / 'lab', folder / 'lab.txt'
  with (folder / 'lab.lock').open('w') as lock:
    fcntl.flock(lock, fcntl.LOCK_EX)
    if not printed.exists():
      text = toy.finish('pipeline', *toy.arguments(workdir, cache))
      printed.write_text(text)
  return workdir, printed.read_text()


@pytest.fixture(scope='session')
def figures(tmp_path_factory, cache, monkeypatch_session):
  """Workdir with every figure, and what each printed.

  The first worker to get the lock makes them, the others wait.
  """
  folder = cache.parent
  workdir, printed = folder / 'figures', folder / 'figures.json'
  with (folder / 'figures.lock').open('w') as lock:
    fcntl.flock(lock, fcntl.LOCK_EX)
    if not printed.exists():
      said = {
        name: toy_figures.run(
          name, *toy_figures.arguments(name, workdir, cache)
        )
        for name in toy_figures.FIGURES
      }
      printed.write_text(json.dumps(said))
  return workdir, json.loads(printed.read_text())


@pytest.fixture(scope='session')
def monkeypatch_session():
  with pytest.MonkeyPatch.context() as patch:
    patch.chdir(toy.ROOT)
    yield patch
