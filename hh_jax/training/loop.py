"""The host loop of every stage.

1. Restore the newest checkpoint that verifies, if one was ever published.
2. Advance step by step. Metrics of a step are fetched after the next one is
   dispatched, so that the device never waits for the host.
3. At a checkpoint all metrics are on disk before the checkpoint is published;
   a run killed anywhere resumes with every step in `metrics.jsonl` once.
4. A step that could not be used is named; too many of them in a row end the
   run (`soundness`).
5. A step that takes many times as long as the others ends the process, with
   its stacks (`watchdog`); hooks and checkpoints have no usual time.
6. SIGTERM or SIGINT: the step is finished, a checkpoint saved, and the
   process exits with code 75, which asks to be started again.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from os import PathLike
from types import FrameType
from typing import Any

import jax
import tqdm

from hh_jax.config import LoopConfig
from hh_jax.training import checkpoint, exit_codes, soundness, watchdog
from hh_jax.training import metrics as metrics_lib
from hh_jax.types import RunState

Values = Mapping[str, float | jax.Array]
Advance = Callable[[RunState, int], tuple[RunState, Values]]
OnStep = Callable[[RunState, int], Values | None]
OnRow = Callable[[int, metrics_lib.Row], None]


@dataclasses.dataclass(frozen=True)
class Hooks:
  """What a stage does beside its steps."""

  # Called as (state, number of steps done) after each step, for snapshots and
  # evaluations; what it returns joins the metrics of the step. It must be an
  # idempotent function of its arguments, for steps after the last checkpoint
  # are repeated on resume, and must not keep the state, whose buffers the next
  # step may take over.
  on_step: OnStep | None = None
  # Called as (step, metrics) on the first process once they are written.
  on_row: OnRow | None = None


NO_HOOKS = Hooks()

log = logging.getLogger(__name__)


def run_loop(
  workdir: str | PathLike[str],
  *,
  state: RunState,
  advance: Advance,
  total_steps: int,
  fingerprint: Mapping[str, Any],
  loop: LoopConfig,
  stage: str,
  hooks: Hooks = NO_HOOKS,
) -> RunState:
  """Runs a stage to its last step, from wherever it was left.

  Args:
    workdir: Of the run; all processes share it.
    state: Before the first step; its shapes, dtypes and shardings are those a
      checkpoint is restored to.
    advance: (state, t) to the next state, which counts t + 1, and the
      metrics of the step, as arrays that the next step does not donate; t
      counts from 0 and names batch and keys.
    total_steps: Where the run ends.
    fingerprint: What must be equal for a checkpoint to be continued.
    loop: Intervals and limits.
    stage: For log lines.
    hooks: What to do after steps.

  Returns:
    The state after `total_steps`.

  Raises:
    SystemExit: Code 75, after a checkpoint, when asked to stop; code 3 after
      too many bad steps in a row.
    ValueError: Damaged checkpoints, or those of another run; or a step that
      is to be kept comes after the last.
  """
  if any(step > total_steps for step in loop.keep_steps):
    raise ValueError(
      f'loop.keep_steps={loop.keep_steps} are not all of the {total_steps} '
      f'steps of {stage}'
    )
  restored = checkpoint.restore(workdir, state, fingerprint)
  state = state if restored is None else restored
  start = int(state.step)
  if start:
    log.info('%s: resumed after step %d of %d', stage, start, total_steps)
  if start >= total_steps:
    return state
  with contextlib.ExitStack() as stack:
    stop = stack.enter_context(_stop_requests())
    steps = StepLog(workdir, start, total_steps, loop, stage, hooks.on_row)
    stack.callback(steps.close)
    watch = watchdog.StepWatch(loop.watchdog)
    stack.callback(watch.close)
    for done in range(start + 1, total_steps + 1):
      with watch.step():
        state, values = advance(state, done - 1)
        steps.flush_pending()
      if done == start + 1:
        _check_step(state, done)
      found = hooks.on_step(state, done) if hooks.on_step else None
      # At once: what a hook reads off the state dies with its buffers.
      steps.put(done, {**values, **metrics_lib.to_numbers(found or {})})
      is_stopping = _is_stopping(stop, done)
      if is_stopping or _is_due(loop, done) or done == total_steps:
        steps.flush()
        _save(workdir, state, done, fingerprint, loop)
      if is_stopping:
        break
  if is_stopping:
    _exit_stopped(stage, done, total_steps)
  return state


def _save(
  workdir: str | PathLike[str],
  state: RunState,
  done: int,
  fingerprint: Mapping[str, Any],
  loop: LoopConfig,
) -> None:
  _check_step(state, done)
  checkpoint.save(
    workdir,
    state,
    step=done,
    fingerprint=fingerprint,
    keep=loop.keep_checkpoints,
    keep_steps=loop.keep_steps,
  )


def _is_due(loop: LoopConfig, done: int) -> bool:
  """Whether a checkpoint is to be saved after a step that is not the last."""
  if done in loop.keep_steps:
    return True
  return loop.checkpoint_every > 0 and done % loop.checkpoint_every == 0


def _check_step(state: RunState, done: int) -> None:
  if int(state.step) != done:
    raise ValueError(
      f'state.step={int(state.step)} after step {done}; advance must add one'
    )


class StepLog:
  """Writes every step once and tells the user, one step behind the device."""

  def __init__(
    self,
    workdir: str | PathLike[str],
    start: int,
    total_steps: int,
    loop: LoopConfig,
    stage: str,
    on_row: OnRow | None = None,
  ):
    is_first = jax.process_index() == 0
    self._file = (
      metrics_lib.MetricsLog(workdir, resume_step=start) if is_first else None
    )
    self._bar = tqdm.tqdm(
      initial=start,
      total=total_steps,
      desc=stage,
      disable=not (is_first and sys.stderr.isatty()),
    )
    self._total_steps = total_steps
    self._log_every = loop.log_every
    self._bad = soundness.BadSteps(stage, loop.max_bad_steps)
    self._stage = stage
    self._on_row = on_row
    self._pending: tuple[int, Values] | None = None
    self._last_time = time.monotonic()

  def put(self, step: int, values: Values) -> None:
    """Takes the metrics of a step; those of the one before are written."""
    self._pending = (step, values)

  def flush(self) -> None:
    """Writes everything, durably."""
    self.flush_pending()
    if self._file is not None:
      self._file.sync()

  def flush_pending(self) -> None:
    """Writes the metrics of the last step once the device has them."""
    if self._pending is None:
      return
    step, values = self._pending
    self._pending = None
    row = metrics_lib.to_numbers(values)
    now = time.monotonic()
    clock = {
      'time/step_seconds': now - self._last_time,
      'time/unix': time.time(),
    }
    self._last_time = now
    if self._file is not None:
      self._file.write(step, row | clock)
      self._tell(step, row, clock['time/step_seconds'])
      if self._on_row is not None:
        self._on_row(step, row)
    self._bad.look(step, row)

  def _tell(self, step: int, row: metrics_lib.Row, step_seconds: float) -> None:
    self._bar.update()
    if step % self._log_every and step != self._total_steps:
      return
    shown = ' '.join(f'{name}={value:.4g}' for name, value in row.items())
    if self._bar.disable:
      log.info(
        '%s: step %d/%d (%.2f s) %s',
        self._stage,
        step,
        self._total_steps,
        step_seconds,
        shown,
      )
    else:
      self._bar.set_postfix_str(shown)

  def close(self) -> None:
    self._bar.close()
    if self._file is not None:
      self._file.close()


@contextlib.contextmanager
def _stop_requests() -> Iterator[threading.Event]:
  """Collects SIGTERM and SIGINT; a second SIGINT interrupts at once.

  With several processes JAX itself listens for SIGTERM, to agree on a step;
  and outside the main thread Python takes no handlers.
  """
  stop = threading.Event()
  is_main = threading.current_thread() is threading.main_thread()

  def request(number: int, frame: FrameType | None) -> None:
    if stop.is_set() and number == signal.SIGINT:
      raise KeyboardInterrupt
    stop.set()

  if not is_main or jax.process_count() > 1:
    yield stop
    return
  previous = {
    number: signal.signal(number, request)
    for number in (signal.SIGTERM, signal.SIGINT)
  }
  try:
    yield stop
  finally:
    for number, handler in previous.items():
      signal.signal(number, handler)


def _is_stopping(stop: threading.Event, done: int) -> bool:
  if jax.process_count() > 1:
    from jax.experimental import multihost_utils

    return multihost_utils.reached_preemption_sync_point(done)
  return stop.is_set()


def _exit_stopped(stage: str, done: int, total_steps: int) -> None:
  if jax.process_index() == 0:
    print(
      f'{stage}: stopped after step {done} of {total_steps}; a checkpoint is '
      'saved, run the same command again to go on',
      file=sys.stderr,
      flush=True,
    )
  raise SystemExit(exit_codes.STOPPED)
