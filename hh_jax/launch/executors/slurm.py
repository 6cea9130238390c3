"""Job arrays on a Slurm cluster, submitted by submitit.

1. Trials that start from the same ones and need as many devices are one array.
   It waits for the jobs of those that it starts from (`afterok`), so that one
   call submits the whole sweep.
2. A job has one task a node, which drives all devices of the node. Tasks find
   each other at the first node of the job.
3. Before its time is up the trial is asked to save and stop, and the job is
   requeued by submitit. A preemption, which comes as SIGTERM, asks the same.
   Signals reach the trial by way of the job alone: those that Slurm sends to
   all processes would kill it. The job is requeued, too, when the trial itself
   asks for that, by exit code 75. Other codes fail the job and those after it.
4. A trial whose job is still queued or running is not submitted again.
"""

from __future__ import annotations

import collections
import dataclasses
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from typing import Any

from hh_jax.launch import processes, states, sweep
from hh_jax.launch.executors import tools
from hh_jax.launch.executors.outcome import EXIT_FAILED, Outcome
from hh_jax.launch.sweep import Trial
from hh_jax.training import exit_codes

_POLL_SECONDS = 0.5
_PORTS = 20_000, 40_000  # first of those that are tried, and how many

SEES_FILES = True  # of the trials, from this machine

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Options:
  """Of every job; what is empty or 0 is left to the cluster."""

  minutes: int = 24 * 60  # after which a job saves and is requeued
  devices_per_node: int = 8
  gpus: bool = True  # False: devices are made of cores
  cpus_per_task: int = 8
  mem_gb: int = 0
  partition: str = ''
  account: str = ''
  qos: str = ''
  constraint: str = ''
  parallel: int = 256  # jobs of an array at a time
  requeues: int = 100  # of a job whose time was up
  save_seconds: int = 90  # between the request to stop and the kill
  cluster: str = 'slurm'  # 'local': submitit's own, on this machine, for tests

  def __post_init__(self):
    for name in (
      'minutes',
      'devices_per_node',
      'cpus_per_task',
      'parallel',
      'save_seconds',
    ):
      if getattr(self, name) < 1:
        raise ValueError(f'{name}={getattr(self, name)} must be positive')
    if self.cluster not in ('slurm', 'local'):
      raise ValueError(f"cluster={self.cluster!r} is not 'slurm' or 'local'")


class Job:
  """What a task of a job does; submitit saves it and runs it on the node."""

  _process: subprocess.Popen[bytes] | None = None  # on the node alone

  def __call__(self, trial: Trial) -> int:
    """Runs a trial to its end; a requeued job calls this again.

    Raises:
      RuntimeError: It failed: the job fails, too.
    """
    import submitit

    task = submitit.JobEnvironment()
    joined = processes.flags_of(
      f'{task.hostnames[0]}:{_port(task.job_id)}',
      task.num_tasks,
      task.global_rank,
    )
    path = states.log_file(trial, task.global_rank)
    path.parent.mkdir(parents=True, exist_ok=True)
    if task.global_rank == 0:
      states.forget_end(trial)
    with path.open('ab') as file:
      self._process = process = subprocess.Popen(
        [*trial.command(sys.executable), *joined],
        stdin=subprocess.DEVNULL,
        stdout=file,
        stderr=subprocess.STDOUT,
        start_new_session=True,
      )
    # submitit lets SIGTERM pass by.
    signal.signal(signal.SIGTERM, lambda *_: _ask_to_stop(process))
    code = _wait(process)
    if code == exit_codes.STOPPED:
      if task.global_rank:
        return code  # the first task requeues the job of all
      # submitit's handler of this signal calls `checkpoint` and requeues.
      os.kill(os.getpid(), requeue_signal())
    if code:
      record = states.write_end(trial, code, is_failed=code > 0)
      raise RuntimeError(f'{trial.name}: {states.spell_end(record)}')
    return code

  def checkpoint(self, trial: Trial) -> Any:
    """Has the trial save and stop; returns what the requeued job calls."""
    import submitit

    if self._process is not None:
      _ask_to_stop(self._process)
      _wait(self._process)
    return submitit.helpers.DelayedSubmission(Job(), trial)


def _ask_to_stop(process: subprocess.Popen[bytes]) -> None:
  if process.poll() is None:
    process.send_signal(signal.SIGTERM)


def _wait(process: subprocess.Popen[bytes]) -> int:
  """Polls, because a signal's handler may wait for the same process."""
  while (code := process.poll()) is None:
    time.sleep(_POLL_SECONDS)
  return code


def launch(trials: Sequence[Trial], options: Options) -> Outcome:
  """Submits trials; with submitit's local cluster, runs them to their ends."""
  submitit = _import()
  if options.cluster == 'slurm':
    tools.require('sbatch', '--version')
  active = _active_jobs(trials, options)
  jobs: dict[str, Any] = {}
  for batch in _batches(trials, active, options):
    after = [
      jobs[name].job_id if name in jobs else active[name]
      for name in batch[0].starts.values()
      if name in jobs or name in active
    ]
    executor = _executor(submitit, batch, after, options)
    submitted = _submit(submitit, executor, batch)
    for trial, job in zip(batch, submitted, strict=True):
      jobs[trial.name] = job
      states.write_job(trial, job.job_id)
      log.info('%s: job %s', trial.name, job.job_id)
    if options.cluster == 'local':
      for job in submitted:
        job.wait()
  if options.cluster == 'local':
    done = sum(map(states.is_done, trials))
    failed = len(trials) - done
    counts = {states.DONE: done, states.FAILED: failed}
    return Outcome(counts, EXIT_FAILED if failed else 0)
  return Outcome({'submitted': len(jobs), 'queued or running': len(active)})


def _batches(
  trials: Sequence[Trial], active: Iterable[str], options: Options
) -> list[list[Trial]]:
  """Groups trials of the same starts and size, in an order that works."""
  groups: dict[tuple[Any, ...], list[Trial]] = collections.defaultdict(list)
  for trial in trials:
    if trial.name not in active:
      starts = tuple(sorted(set(trial.starts.values())))
      groups[trial.stage, starts, shape_of(trial, options)].append(trial)
  return list(groups.values())


def shape_of(trial: Trial, options: Options) -> tuple[int, int]:
  """Returns how many nodes a trial has, and how many devices of each.

  Raises:
    ValueError: Its devices do not fill nodes evenly.
  """
  nodes = -(-trial.num_devices // options.devices_per_node)
  if trial.num_devices % nodes:
    raise ValueError(
      f'{trial.name} has a mesh of {trial.num_devices} devices, which is no '
      f'multiple of devices_per_node={options.devices_per_node}'
    )
  sweep.require_processes(trial, nodes)
  return nodes, trial.num_devices // nodes


def _executor(
  submitit: Any, batch: Sequence[Trial], after: list[str], options: Options
) -> Any:
  """Returns submitit's executor with what a batch needs."""
  nodes, devices = shape_of(batch[0], options)
  executor = submitit.AutoExecutor(
    folder=states.logs(batch[0]) / 'slurm',
    cluster=options.cluster,
    slurm_max_num_timeout=options.requeues,
  )
  named = {
    'slurm_partition': options.partition,
    'slurm_account': options.account,
    'slurm_qos': options.qos,
    'slurm_constraint': options.constraint,
    'mem_gb': options.mem_gb,
    'gpus_per_node': devices if options.gpus else 0,
  }
  more = {}
  if after:
    more['dependency'] = 'afterok:' + ':'.join(sorted(set(after)))
    more['kill-on-invalid-dep'] = 'yes'
  executor.update_parameters(
    name=f'hh-{batch[0].stage}',
    nodes=nodes,
    tasks_per_node=1,
    cpus_per_task=options.cpus_per_task,
    timeout_min=options.minutes,
    slurm_array_parallelism=options.parallel,
    slurm_signal_delay_s=options.save_seconds,
    slurm_additional_parameters=more,
    **{name: value for name, value in named.items() if value},
  )
  return executor


def _submit(submitit: Any, executor: Any, batch: Sequence[Trial]) -> list[Any]:
  """Submits a batch as one array.

  Raises:
    ValueError: The cluster refuses it; its own words are told.
  """
  try:
    return executor.map_array(Job(), batch)
  except (RuntimeError, OSError, subprocess.SubprocessError) as error:
    raise ValueError(f'sbatch refused {batch[0].name}: {error}') from error


def _active_jobs(trials: Sequence[Trial], options: Options) -> dict[str, str]:
  """Returns the jobs of earlier calls that are still queued or running."""
  known = {trial.name: states.read_job(trial) for trial in trials}
  jobs = {name: job for name, job in known.items() if job}
  if not jobs or options.cluster == 'local':
    return {}
  tools.require('squeue', '--version')
  listed = tools.run(['squeue', '--me', '--noheader', '--array', '--format=%i'])
  active = set(listed.split())
  # A job of one trial is listed by its own number.
  return {name: job for name, job in jobs.items() if job in active}


def _import() -> Any:
  """Returns submitit.

  Raises:
    ValueError: It is not installed.
  """
  try:
    import submitit
  except ImportError:
    raise ValueError(
      '--executor=slurm needs submitit: pip install submitit'
    ) from None
  return submitit


def requeue_signal() -> signal.Signals:
  """The signal that submitit takes for a preemption."""
  from submitit.core import job_environment

  return signal.Signals[f'SIG{job_environment.JobEnvironment.USR_SIG}']


def _port(job_id: str) -> int:
  """A port that jobs on one node are unlikely to share."""
  digits = ''.join(filter(str.isdigit, job_id)) or '0'
  first, number = _PORTS
  return first + int(digits) % number
