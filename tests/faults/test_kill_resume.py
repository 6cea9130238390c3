"""Runs killed at any point, resumed, must equal the undisturbed run."""

import os
import pathlib
import random
import signal
import subprocess
import sys
import time

import pytest

from hh_jax.training import checkpoint, metrics
from hh_jax.training import state as state_lib
from tests.faults import toy_run

ROOT = pathlib.Path(__file__).parents[2]
DEADLINE = 120  # seconds; a child needs three on an idle machine


class Crash(BaseException):
  """What a kill looks like from inside: no handler sees it."""


def outcome(workdir, state):
  rows = metrics.read_metrics(workdir, with_time=False)
  return rows, state_lib.state_sha256(state)


@pytest.fixture(scope='module')
def undisturbed(tmp_path_factory):
  """Returns a function of the number of steps, each run once."""
  found = {}

  def run(total_steps):
    if total_steps not in found:
      workdir = tmp_path_factory.mktemp('whole')
      found[total_steps] = outcome(workdir, toy_run.run(workdir, total_steps))
    return found[total_steps]

  return run


def test_the_toy_learns_and_reports(undisturbed):
  rows, _ = undisturbed(10)
  assert [row['step'] for row in rows] == [*range(1, 11)]
  assert rows[-1]['train/loss'] != rows[0]['train/loss']
  assert ['eval/mean_loss' in row for row in rows].count(True) == 2


@pytest.mark.slow
def test_a_crash_before_every_step(tmp_path, undisturbed):
  def crash_at(wanted):
    def before(number):
      if number == wanted:
        raise Crash

    return before

  for wanted in range(10):
    with pytest.raises(Crash):
      toy_run.run(tmp_path, 10, before=crash_at(wanted))
  state = toy_run.run(tmp_path, 10)
  assert outcome(tmp_path, state) == undisturbed(10)
  again = toy_run.run(tmp_path, 10, before=crash_at(0))
  assert outcome(tmp_path, again) == undisturbed(10)


def test_a_run_can_be_made_longer(tmp_path, undisturbed):
  toy_run.run(tmp_path, 4)
  state = toy_run.run(tmp_path, 10)
  assert outcome(tmp_path, state) == undisturbed(10)


def start(workdir, total_steps):
  environ = {
    **os.environ,
    'JAX_PLATFORMS': 'cpu',
    'PYTHONPATH': str(ROOT),
  }
  return subprocess.Popen(
    [sys.executable, '-m', 'tests.faults.toy_run', workdir, str(total_steps)],
    cwd=ROOT,
    env=environ,
    stderr=subprocess.PIPE,
    text=True,
  )


def wait_for(child, condition):
  deadline = time.monotonic() + DEADLINE
  while not condition():
    if child.poll() is not None:
      pytest.fail(f'the run ended before it was killed: {child.stderr.read()}')
    if time.monotonic() > deadline:
      child.kill()
      pytest.fail(f'nothing to kill after {DEADLINE} s')
    time.sleep(0.001)


def num_lines(workdir):
  path = workdir / 'metrics.jsonl'
  return path.read_bytes().count(b'\n') if path.exists() else 0


@pytest.mark.slow
def test_sigkill_at_random_times(tmp_path, undisturbed):
  rng = random.Random(3)
  total_steps = 24
  saving = tmp_path / 'checkpoints'
  for lines in (rng.randrange(1, 6), 11):
    child = start(tmp_path, total_steps)
    wait_for(child, lambda lines=lines: num_lines(tmp_path) >= lines)
    if lines == 11:  # once in the middle of a save
      wait_for(child, lambda: any(saving.glob('*.saving')))
    time.sleep(rng.random() * 0.05)
    child.send_signal(signal.SIGKILL)
    child.communicate()
    assert child.returncode == -signal.SIGKILL
  state = toy_run.run(tmp_path, total_steps)
  assert outcome(tmp_path, state) == undisturbed(total_steps)


@pytest.mark.slow
def test_sigterm_saves_and_asks_to_be_started_again(tmp_path, undisturbed):
  total_steps = 24
  child = start(tmp_path, total_steps)
  wait_for(child, lambda: num_lines(tmp_path) >= 4)
  child.send_signal(signal.SIGTERM)
  _, errors = child.communicate(timeout=DEADLINE)
  assert child.returncode == 75, errors
  done = num_lines(tmp_path)
  assert 4 <= done < total_steps
  assert checkpoint.published_steps(tmp_path)[0] == done
  last_line = errors.strip().splitlines()[-1]
  assert f'toy: stopped after step {done} of {total_steps}' in last_line
  assert len(errors.splitlines()) == 1 + done // 10, errors
  assert 'Traceback' not in errors
  state = toy_run.run(tmp_path, total_steps)
  assert outcome(tmp_path, state) == undisturbed(total_steps)
