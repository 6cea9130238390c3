"""Runs trials on this machine, some at a time, each in one or more processes.

1. A trial is started when those that it starts from are done and a place is
   free. What it prints goes to `logs/`.
2. Where one process of several ends badly the others are ended, too, after
   they had time to see it themselves: then the trial is as if killed.
3. SIGTERM or SIGINT: every trial is asked to save and stop, no other one is
   started, and the exit code is 75. Run again, everything goes on. Trials are
   asked the same where the launcher itself fails.
4. A trial that another process works on is waited for, also where that one was
   faster by a moment.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from types import FrameType
from typing import IO

from hh_jax.launch import processes as processes_lib
from hh_jax.launch import states, sweep
from hh_jax.launch.executors.outcome import EXIT_FAILED, Outcome
from hh_jax.launch.sweep import Trial
from hh_jax.training import exit_codes
from hh_jax.training import workdir as workdir_lib

_POLL_SECONDS = 0.1
# A survivor needs the heartbeat, 10 s, to see that another process is gone.
_GRACE_SECONDS = 30.0

SEES_FILES = True  # of the trials, from this machine

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Options:
  """How many things at a time."""

  parallel: int = 1  # trials at a time
  processes: int = 1  # of each trial, joined over the loopback interface
  retries: int = 0  # times that a trial is started again that was killed

  def __post_init__(self):
    for name in ('parallel', 'processes'):
      if getattr(self, name) < 1:
        raise ValueError(f'{name}={getattr(self, name)} must be positive')
    if self.retries < 0:
      raise ValueError(f'retries={self.retries} is < 0')


@dataclasses.dataclass
class Running:
  """The processes of a trial; none where others work on it."""

  trial: Trial
  processes: list[subprocess.Popen[bytes]]
  attempt: int
  is_asked: bool = False  # to stop
  cause: int = 0  # exit code of the first process that ended badly
  deadline: float = 0.0  # when the others are killed, once one has

  def exit_code(self) -> int | None:
    """None while one of them runs; else 0, or how the first one failed."""
    if not self.processes:
      return None if workdir_lib.is_held(self.trial.workdir) else 0
    codes = [process.poll() for process in self.processes]
    bad = [code for code in codes if code]
    if bad and not self.cause:
      self.cause = bad[0]
      self.deadline = time.monotonic() + _GRACE_SECONDS
    if None not in codes:
      return self.cause
    if self.cause and time.monotonic() > self.deadline:
      self.send(signal.SIGKILL)
    return None

  def ask_to_stop(self) -> None:
    """Lets it save and end, once."""
    if not self.is_asked:
      self.is_asked = True
      self.send(signal.SIGTERM)

  def is_taken(self, code: int) -> bool:
    """Whether it ended because others had begun to work on the trial."""
    return code == exit_codes.USAGE and workdir_lib.is_held(self.trial.workdir)

  def send(self, number: signal.Signals) -> None:
    """Sends a signal to every process that still runs."""
    for process in self.processes:
      if process.poll() is None:
        process.send_signal(number)


def launch(trials: Sequence[Trial], options: Options) -> Outcome:
  """Runs trials to their ends; returns how many went which way.

  Args:
    trials: Those that are not done, each after those it starts from.
    options: How many at a time.
  """
  for trial in trials:
    sweep.require_processes(trial, options.processes)
  waiting = list(trials)
  running: list[Running] = []
  ended: dict[str, str] = {}
  with _stop_requests() as stop, _leave_none(running):
    while running or (waiting and not stop):
      if not stop:
        _start(waiting, running, ended, options)
      time.sleep(_POLL_SECONDS)
      for item in list(running):
        if stop:
          item.ask_to_stop()
        code = 0 if stop and not item.processes else item.exit_code()
        if code is None:
          continue
        running.remove(item)
        how = _end(item, code)
        if how == states.STOPPED and _may_go_on(item, options) and not stop:
          attempt = item.attempt + bool(item.processes)
          running.append(_run(item.trial, options, attempt))
        else:
          ended[item.trial.name] = how
  return _outcome(trials, ended, is_stopped=bool(stop))


def _start(
  waiting: list[Trial],
  running: list[Running],
  ended: dict[str, str],
  options: Options,
) -> None:
  """Starts what can be, and gives up what starts from a failure."""
  open_names = {item.name for item in waiting}
  open_names |= {item.trial.name for item in running}
  for trial in list(waiting):
    starts = set(trial.starts.values())
    lost = [n for n in starts if ended.get(n, states.DONE) != states.DONE]
    if lost:
      waiting.remove(trial)
      open_names.discard(trial.name)
      ended[trial.name] = 'left out'
      log.info('%s: left out, for %s is not done', trial.name, min(lost))
    elif not starts & open_names and len(running) < options.parallel:
      waiting.remove(trial)
      running.append(_run(trial, options))


def _run(trial: Trial, options: Options, attempt: int = 0) -> Running:
  """Starts the processes of a trial, unless others work on it."""
  if workdir_lib.is_held(trial.workdir):
    log.info('%s: another process works on it; waiting', trial.name)
    return Running(trial, [], attempt)
  states.logs(trial).mkdir(parents=True, exist_ok=True)
  states.forget_end(trial)
  command = trial.command(sys.executable)
  coordinator = f'localhost:{_free_port()}'
  processes = []
  for index in range(options.processes):
    own = processes_lib.flags_of(coordinator, options.processes, index)
    with states.log_file(trial, index).open('ab') as file:
      processes.append(_popen([*command, *own], file))
  log.info('%s: started', trial.name)
  return Running(trial, processes, attempt)


def _popen(command: Sequence[str], file: IO[bytes]) -> subprocess.Popen[bytes]:
  return subprocess.Popen(
    command, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT
  )


def _may_go_on(item: Running, options: Options) -> bool:
  """Whether a trial that was stopped, here or elsewhere, is started again."""
  return not item.processes or item.attempt < options.retries


def _end(item: Running, code: int) -> str:
  """Records how a trial ended; returns its state."""
  trial = item.trial
  if states.is_done(trial):
    states.forget_end(trial)
    line = workdir_lib.read_result(trial.workdir)['line']
    log.info('%s: done: %s', trial.name, line)
    return states.DONE
  if item.is_taken(code):
    item.processes.clear()
  if not item.processes:
    return states.STOPPED
  is_failed = code >= 0 and code != exit_codes.STOPPED
  record = states.write_end(trial, code, is_failed)
  log.info('%s: %s', trial.name, states.spell_end(record))
  return states.FAILED if is_failed else states.STOPPED


def _outcome(
  trials: Sequence[Trial], ended: dict[str, str], is_stopped: bool
) -> Outcome:
  names = [ended.get(trial.name, 'not started') for trial in trials]
  counts = {name: names.count(name) for name in dict.fromkeys(names)}
  if all(name == states.DONE for name in names):
    return Outcome(counts)
  return Outcome(counts, exit_codes.STOPPED if is_stopped else EXIT_FAILED)


@contextlib.contextmanager
def _leave_none(running: list[Running]) -> Iterator[None]:
  """Lets what still runs save and end, if the launcher fails."""
  try:
    yield
  finally:
    for item in running:
      item.ask_to_stop()
    for process in (p for item in running for p in item.processes):
      process.wait()


@contextlib.contextmanager
def _stop_requests() -> Iterator[list[int]]:
  """Yields a list that SIGTERM and SIGINT are added to."""
  stop: list[int] = []

  def request(number: int, frame: FrameType | None) -> None:
    stop.append(number)

  numbers = (signal.SIGTERM, signal.SIGINT)
  previous = {number: signal.signal(number, request) for number in numbers}
  try:
    yield stop
  finally:
    for number, handler in previous.items():
      signal.signal(number, handler)


def _free_port() -> int:
  with socket.socket() as found:
    found.bind(('localhost', 0))
    return found.getsockname()[1]
