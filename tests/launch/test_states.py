"""Where trials stand, by what lies in their folders."""

import dataclasses
import json
import pathlib

import pytest

from hh_jax.launch import states
from hh_jax.training import workdir
from tests.launch import trials


@pytest.fixture
def trial(tmp_path):
  return trials.fake(tmp_path, 'pm', num_steps=10)


def state(trial, *others):
  return states.of([*others, trial])[trial.name]


def folder_of(trial):
  folder = pathlib.Path(trial.workdir)
  folder.mkdir(parents=True, exist_ok=True)
  return folder


def test_nothing_is_there_yet(tmp_path, trial):
  assert state(trial).name == states.READY
  start = trials.fake(tmp_path, 'pmp')
  after = dataclasses.replace(trial, starts={'init_from': 'pmp'})
  assert state(after, start) == states.State(states.WAITING, 0, None, 'for pmp')
  workdir.write_done(folder_of(start), {'line': 'x', 'steps': 1})
  assert state(after, start).name == states.READY


def test_a_stopped_trial_has_steps(trial):
  lines = '{"step": 1}\n{"step": 2}\n{"step": 3'
  (folder_of(trial) / 'metrics.jsonl').write_text(lines)
  found = state(trial)
  assert (found.name, found.step) == (states.STOPPED, 2)
  assert 0 <= found.seconds_ago < 60


def test_a_trial_that_is_worked_on(trial):
  folder = folder_of(trial)
  workdir.hold(folder)
  try:
    assert state(trial).name == states.RUNNING
  finally:
    workdir.release(folder)
  assert state(trial).name == states.READY


def test_a_done_trial_may_have_to_go_on(trial):
  workdir.write_done(folder_of(trial), {'line': 'all good', 'steps': 10})
  found = state(trial)
  assert (found.name, found.step, found.note) == (states.DONE, 10, 'all good')
  longer = dataclasses.replace(trial, num_steps=11)
  assert state(longer).name == states.STOPPED


@pytest.mark.parametrize(
  ('code', 'is_failed', 'name', 'note'),
  [
    (2, True, states.FAILED, 'exit code 2: error: no data'),
    (-9, False, states.STOPPED, 'signal 9: error: no data'),
  ],
)
def test_how_the_last_process_ended(trial, code, is_failed, name, note):
  (folder_of(trial) / 'metrics.jsonl').write_text('{"step": 1}\n')
  path = states.log_file(trial)
  path.parent.mkdir()
  path.write_text('2026 started\nerror: no data\n\n')
  states.write_end(trial, code, is_failed)
  assert (state(trial).name, state(trial).note) == (name, note)
  states.forget_end(trial)
  assert (state(trial).name, state(trial).note) == (states.STOPPED, '')


def test_logs_of_several_processes_have_names_of_their_own(trial):
  first, second = (states.log_file(trial, index) for index in (0, 1))
  assert first.name == 'pm.log' and second.name == 'pm@1.log'


def test_the_last_step_of_a_long_file(tmp_path):
  path = tmp_path / 'metrics.jsonl'
  row = {'step': 0, 'text': 'x' * 1000}
  lines = [json.dumps({**row, 'step': n}) for n in range(1, 200)]
  path.write_text('\n'.join(lines) + '\n')
  assert path.stat().st_size > states._TAIL_BYTES
  assert states.last_step(path) == 199
  assert states.last_step(tmp_path / 'none') == 0


def test_rows_for_people(tmp_path, trial):
  (row,) = states.rows([trial])
  assert row['trial'] == 'pm' and row['state'] == 'ready' and row['of'] == 10
