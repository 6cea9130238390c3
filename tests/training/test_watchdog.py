"""What hangs is ended, with the stacks of its threads; what is slow is not."""

import pathlib
import signal
import subprocess
import sys
import threading

import pytest

from hh_jax.training import distributed, watchdog

ROOT = pathlib.Path(__file__).parents[2]


@pytest.fixture
def given_up(monkeypatch):
  """What was given up, in place of this process."""
  found, is_done = [], threading.Event()

  def note(what, seconds):
    found.append((what, seconds))
    is_done.set()

  monkeypatch.setattr(watchdog, 'give_up', note)
  monkeypatch.setattr(watchdog, '_POLL_SECONDS', 0.01)
  return found, is_done.wait


def test_a_block_that_hangs_is_given_up(given_up):
  found, wait = given_up
  with watchdog.limit('this', 60.0):
    pass
  with watchdog.limit('that', 0.01):
    assert wait(60)
  assert found == [('that', 0.01)]


def test_a_step_that_hangs_is_given_up(given_up):
  found, wait = given_up
  steps = watchdog.StepWatch(times=20, least=0.05)
  try:
    for _ in range(watchdog._FEWEST):
      with steps.step():
        pass
    with steps.step():
      assert wait(60)
  finally:
    steps.close()
  assert {what for what, _ in found} == {'a step'}


@pytest.mark.parametrize(
  ('times', 'num_before', 'least'), [(0, 9, 0.0), (20, 1, 0.0), (20, 9, 60.0)]
)
def test_a_step_is_let_be(given_up, times, num_before, least):
  """Nobody watches, there is no median yet, or it may take so long."""
  found, wait = given_up
  steps = watchdog.StepWatch(times=times, least=least)
  for _ in range(num_before):
    with steps.step():
      pass
  with steps.step():
    assert not wait(0.1)
  steps.close()
  assert not found


def test_the_process_says_where_it_hangs_and_is_gone():
  code = """
import time
from hh_jax.training import watchdog

def reads_for_ever():
  time.sleep(60)

with watchdog.limit("barrier 'done'", 0.1):
  reads_for_ever()
"""
  done = subprocess.run(
    [sys.executable, '-c', code],
    cwd=ROOT,
    capture_output=True,
    text=True,
    timeout=60,
  )
  assert done.returncode == -signal.SIGKILL
  assert done.stderr.startswith("error: barrier 'done' did not end within 0 s")
  assert 'in reads_for_ever' in done.stderr


def test_barriers_have_a_limit(given_up, monkeypatch):
  from jax.experimental import multihost_utils

  found, wait = given_up
  monkeypatch.setattr(distributed.jax, 'process_count', lambda: 2)
  monkeypatch.setattr(distributed.watchdog, 'BARRIER_SECONDS', 0.01)
  monkeypatch.setattr(
    multihost_utils, 'sync_global_devices', lambda name: wait(60)
  )
  distributed.wait('workdir')
  assert found == [("barrier 'workdir'", 0.01)]
