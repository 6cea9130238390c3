import logging
import os
import signal

import jax.numpy as jnp
import optax
import pytest

from hh_jax.config import LoopConfig
from hh_jax.training import checkpoint, loop, metrics
from hh_jax.training import state as state_lib

FINGERPRINT = {'stage': 'toy'}


def run(
  workdir,
  advance,
  total_steps=4,
  fingerprint=FINGERPRINT,
  hooks=loop.NO_HOOKS,
  **fields,
):
  state = state_lib.init_state({'x': jnp.zeros(2)}, optax.sgd(0.1))
  return loop.run_loop(
    workdir,
    state=state,
    advance=advance,
    total_steps=total_steps,
    fingerprint=fingerprint,
    loop=LoopConfig(**fields),
    stage='toy',
    hooks=hooks,
  )


def count(state, step):
  params = {'x': state.params['x'] + step}
  state = state.replace(step=state.step + 1, params=params)
  return state, {'toy/x': params['x'][0]}


def test_every_step_is_written_and_the_last_is_saved(tmp_path, caplog):
  with caplog.at_level(logging.INFO):
    state = run(tmp_path, count, total_steps=5, log_every=2)
  assert int(state.step) == 5
  rows = metrics.read_metrics(tmp_path)
  assert [row['toy/x'] for row in rows] == [0.0, 1.0, 3.0, 6.0, 10.0]
  assert all(row['time/step_seconds'] >= 0 for row in rows)
  assert checkpoint.published_steps(tmp_path) == [5]
  said = [r.message for r in caplog.records if 'toy: step' in r.message]
  assert [line.split()[2] for line in said] == ['2/5', '4/5', '5/5']


def test_finished_runs_return_what_they_saved(tmp_path):
  run(tmp_path, count)

  def fail(state, step):
    pytest.fail('nothing is left to do')

  state = run(tmp_path, fail)
  assert float(state.params['x'][0]) == 6.0


def test_steps_to_keep_are_saved_whenever_others_are(tmp_path):
  fields = {'checkpoint_every': 2, 'keep_checkpoints': 1}
  run(tmp_path, count, total_steps=7, keep_steps=(1, 4), **fields)
  assert checkpoint.published_steps(tmp_path) == [7, 4, 1]
  with pytest.raises(ValueError, match=r'\(1, 4\) are not all of the 3 steps'):
    run(tmp_path / 'other', count, total_steps=3, keep_steps=(1, 4))


def test_another_run_is_refused(tmp_path):
  run(tmp_path, count)
  with pytest.raises(ValueError, match="stage='toy' saved, 'pm' now"):
    run(tmp_path, count, fingerprint={'stage': 'pm'})


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_step_first(tmp_path, number, capsys):
  def interrupted(state, step):
    if step == 2:
      os.kill(os.getpid(), number)
    return count(state, step)

  before = signal.getsignal(number)
  with pytest.raises(SystemExit) as caught:
    run(tmp_path, interrupted, total_steps=9)
  assert caught.value.code == 75
  assert signal.getsignal(number) is before
  assert len(metrics.read_metrics(tmp_path)) == 3
  assert checkpoint.published_steps(tmp_path) == [3]
  assert 'stopped after step 3 of 9' in capsys.readouterr().err


def test_a_second_interrupt_does_not_wait(tmp_path):
  def impatient(state, step):
    os.kill(os.getpid(), signal.SIGINT)
    os.kill(os.getpid(), signal.SIGINT)
    return count(state, step)

  with pytest.raises(KeyboardInterrupt):
    run(tmp_path, impatient)
  assert checkpoint.published_steps(tmp_path) == []


def test_a_step_that_does_not_count_is_caught_at_once(tmp_path):
  with pytest.raises(ValueError, match=r'state\.step=0 after step 1'):
    run(tmp_path, lambda state, step: (state, {}))
