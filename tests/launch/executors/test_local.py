"""Trials on this machine: order, failures, signals, and going on."""

import dataclasses
import logging
import os
import pathlib
import signal
import threading
import time

import pytest

from hh_jax.launch import states
from hh_jax.launch.executors import local
from hh_jax.training import workdir
from tests.launch import trials

DEADLINE = 60
# Ends when it is asked to, as a stage does.
SLEEP = """
import pathlib, signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(75))
pathlib.Path({flag!r}).touch()
time.sleep(60)
"""


def launch(todo, **options):
  return local.launch(todo, local.Options(**options))


def wait_for(condition):
  deadline = time.monotonic() + DEADLINE
  while not condition():
    assert time.monotonic() < deadline
    time.sleep(0.02)


def test_trials_run_after_those_they_start_from(tmp_path):
  order = tmp_path / 'order'
  code = f"open({str(order)!r}, 'a').write({{name!r}})\nFINISH"
  todo = [
    trials.fake(tmp_path, 'c', code.format(name='c'), starts=['b', 'a']),
    trials.fake(tmp_path, 'b', code.format(name='b'), starts=['a']),
    trials.fake(tmp_path, 'a', code.format(name='a')),
  ]
  outcome = launch(todo, parallel=3)
  assert (outcome.line(), outcome.exit_code) == ('3 done', 0)
  assert order.read_text() == 'abc'


@pytest.mark.parametrize('parallel', [1, 3])
def test_only_so_many_run_at_a_time(tmp_path, parallel):
  for name in ('started', 'running'):
    (tmp_path / name).mkdir()
  code = f"""
import os, pathlib, time
folder, own = pathlib.Path({str(tmp_path)!r}), str(os.getpid())
(folder / 'running' / own).touch()
(folder / 'started' / own).touch()
while len(list((folder / 'started').iterdir())) < {parallel}:
  time.sleep(0.01)
time.sleep(0.2)  # one too many would come now
number = len(list((folder / 'running').iterdir()))
(folder / f'most{{own}}').write_text(str(number))
(folder / 'running' / own).unlink()
FINISH"""
  todo = [trials.fake(tmp_path, f't{i}', code) for i in range(4)]
  assert launch(todo, parallel=parallel).exit_code == 0
  most = max(int(path.read_text()) for path in tmp_path.glob('most*'))
  assert most == parallel


def test_a_failure_leaves_out_what_starts_from_it(tmp_path):
  bad = "import sys; print('error: no data', file=sys.stderr); sys.exit(2)"
  todo = [
    trials.fake(tmp_path, 'bad', bad),
    trials.fake(tmp_path, 'after', starts=['bad']),
    trials.fake(tmp_path, 'last', starts=['after']),
    trials.fake(tmp_path, 'other'),
  ]
  outcome = launch(todo)
  assert outcome.line() == '1 failed, 2 left out, 1 done'
  assert outcome.exit_code == 1
  found = states.of(todo)
  assert found['bad'].name == states.FAILED
  assert found['bad'].note == 'exit code 2: error: no data'
  assert found['after'].name == states.WAITING
  assert found['other'].name == states.DONE
  todo[0] = dataclasses.replace(todo[0], code=trials.fake(tmp_path, 'bad').code)
  assert launch(todo[:3]).line() == '3 done'
  assert states.of(todo)['bad'].name == states.DONE


def test_exit_code_0_without_done_is_a_failure(tmp_path):
  todo = [trials.fake(tmp_path, 'a', "print('nothing')")]
  assert launch(todo).line() == '1 failed'
  assert states.of(todo)['a'].note == 'exit code 0: nothing'


def kill_once(tmp_path, how):
  return f"""
import os, pathlib, signal, sys
first = pathlib.Path({str(tmp_path / 'first')!r})
if not first.exists():
  first.touch()
  {how}
FINISH"""


@pytest.mark.parametrize(
  'how', ['os.kill(os.getpid(), signal.SIGKILL)', 'sys.exit(75)']
)
def test_a_killed_trial_goes_on(tmp_path, how):
  todo = [trials.fake(tmp_path, 'a', kill_once(tmp_path, how))]
  outcome = launch(todo)
  assert (outcome.line(), outcome.exit_code) == ('1 stopped', 1)
  assert states.of(todo)['a'].name in (states.STOPPED, states.READY)
  assert launch(todo).line() == '1 done'


def test_a_killed_trial_is_started_again_at_once_if_asked(tmp_path):
  how = 'os.kill(os.getpid(), signal.SIGKILL)'
  todo = [trials.fake(tmp_path, 'a', kill_once(tmp_path, how))]
  assert launch(todo, retries=1).line() == '1 done'


def test_a_wrong_trial_is_not_started_again(tmp_path):
  todo = [trials.fake(tmp_path, 'a', kill_once(tmp_path, 'sys.exit(2)'))]
  assert launch(todo, retries=3).line() == '1 failed'


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_all_and_starts_none(tmp_path, number):
  before = signal.getsignal(number)
  flags = [tmp_path / f'flag{i}' for i in range(2)]
  todo = [
    trials.fake(tmp_path, f't{i}', SLEEP.format(flag=str(flag)))
    for i, flag in enumerate(flags)
  ]
  todo.append(trials.fake(tmp_path, 'never'))

  def send():
    wait_for(lambda: all(flag.exists() for flag in flags))
    os.kill(os.getpid(), number)

  thread = threading.Thread(target=send)
  thread.start()
  outcome = launch(todo, parallel=2)
  thread.join()
  assert outcome.line() == '2 stopped, 1 not started'
  assert outcome.exit_code == 75
  assert signal.getsignal(number) == before


def test_a_trial_that_another_process_works_on_is_waited_for(tmp_path, caplog):
  caplog.set_level(logging.INFO)
  todo = [trials.fake(tmp_path, 'a', 'raise SystemExit(9)')]
  folder = pathlib.Path(todo[0].workdir)
  folder.mkdir()
  workdir.hold(folder)

  def finish():
    wait_for(lambda: 'another process works on it' in caplog.text)
    workdir.write_done(folder, {'line': 'theirs', 'steps': 1})
    workdir.release(folder)

  thread = threading.Thread(target=finish)
  thread.start()
  assert launch(todo).line() == '1 done'
  thread.join()
  assert not states.logs(todo[0]).exists()  # nothing was started


def test_a_signal_ends_waiting_for_another_process(tmp_path, caplog):
  caplog.set_level(logging.INFO)
  todo = [trials.fake(tmp_path, 'a', 'raise SystemExit(9)')]
  folder = pathlib.Path(todo[0].workdir)
  folder.mkdir()
  workdir.hold(folder)

  def send():
    wait_for(lambda: 'another process works on it' in caplog.text)
    os.kill(os.getpid(), signal.SIGTERM)

  thread = threading.Thread(target=send)
  thread.start()
  outcome = launch(todo)
  thread.join()
  workdir.release(folder)
  assert (outcome.line(), outcome.exit_code) == ('1 stopped', 75)


def test_who_was_faster_by_a_moment_is_waited_for(tmp_path, caplog):
  """Two launchers start a trial; the second one finds its folder held."""
  caplog.set_level(logging.INFO)
  code = f"""
import pathlib, sys, time
folder = pathlib.Path({str(tmp_path)!r})
(folder / 'started').touch()
while not (folder / 'held').exists():
  time.sleep(0.01)
sys.exit(2)"""
  todo = [trials.fake(tmp_path, 'a', code)]
  folder = pathlib.Path(todo[0].workdir)
  folder.mkdir()

  def win():
    wait_for((tmp_path / 'started').exists)
    workdir.hold(folder)
    (tmp_path / 'held').touch()
    wait_for(lambda: 'another process works on it' in caplog.text)
    workdir.write_done(folder, {'line': 'theirs', 'steps': 1})
    workdir.release(folder)

  thread = threading.Thread(target=win)
  thread.start()
  assert launch(todo).line() == '1 done'
  thread.join()
  assert states.read_end(todo[0]) is None


def test_a_launcher_that_fails_leaves_no_trial_running(tmp_path, monkeypatch):
  flag = tmp_path / 'flag'
  bad = f"""
import pathlib, sys, time
while not pathlib.Path({str(flag)!r}).exists():
  time.sleep(0.01)
sys.exit(2)"""
  asked = tmp_path / 'asked'
  sleep = SLEEP.format(flag=str(flag)).replace(
    'sys.exit(75)', f'(pathlib.Path({str(asked)!r}).touch(), sys.exit(75))'
  )
  todo = [trials.fake(tmp_path, 'bad', bad), trials.fake(tmp_path, 'b', sleep)]

  def fail(*_):
    raise OSError('no space left')

  monkeypatch.setattr(states, 'write_end', fail)
  with pytest.raises(OSError, match='no space left'):
    launch(todo, parallel=2)
  assert asked.exists()


def test_processes_are_told_of_each_other(tmp_path):
  code = """
import pathlib, sys
folder = pathlib.Path({folder!r})
(folder / sys.argv[3]).write_text(' '.join(sys.argv[1:3]))
FINISH"""
  code = code.format(folder=str(tmp_path))
  todo = [trials.fake(tmp_path, 'a', code, num_devices=4)]
  assert launch(todo, processes=2).exit_code == 0
  told = [(tmp_path / f'--process_id={i}').read_text() for i in (0, 1)]
  assert told[0] == told[1]
  assert told[0].startswith('--coordinator=localhost:')
  assert told[0].endswith(' --num_processes=2')


def test_the_first_process_that_ends_badly_is_the_cause(tmp_path, monkeypatch):
  monkeypatch.setattr(local, '_GRACE_SECONDS', 0.3)
  code = """
import os, signal, sys, time
if sys.argv[3] == '--process_id=1':
  os.kill(os.getpid(), signal.SIGKILL)
time.sleep(60)"""
  todo = [trials.fake(tmp_path, 'a', code, num_devices=2)]
  started = time.monotonic()
  assert launch(todo, processes=2).line() == '1 stopped'
  assert time.monotonic() - started < 20
  assert states.read_end(todo[0])['exit_code'] == -signal.SIGKILL


def test_processes_that_share_no_mesh_are_refused_before_any_starts(tmp_path):
  todo = [
    trials.fake(tmp_path, 'a', num_devices=2),
    trials.fake(tmp_path, 'b', num_devices=1),
  ]
  with pytest.raises(ValueError, match='b: 2 processes do not share the 1 dev'):
    launch(todo, processes=2)
  assert not list(tmp_path.iterdir())


@pytest.mark.parametrize('name', ['parallel', 'processes', 'retries'])
def test_options_that_make_no_sense(name):
  with pytest.raises(ValueError, match=f'{name}=-1 '):
    local.Options(**{name: -1})
