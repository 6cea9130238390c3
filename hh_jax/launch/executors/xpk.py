"""Prints one `xpk workload create` a trial, for clusters that xpk has made.

xpk writes and queues the JobSet itself. Storage that was attached by `xpk
storage attach --auto-mount=true --mount-point=ROOT/runs` is what pods share.
"""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Sequence

from hh_jax.launch import processes, states, sweep
from hh_jax.launch.executors import jobset
from hh_jax.launch.executors.outcome import Outcome
from hh_jax.launch.sweep import Trial

# How xpk names a slice: by cores, of which a v5p chip has two, or by chips.
TYPES = {
  'v5p': ('tpu-v5p-slice', 'v5p-{}', 2),
  'v5e': ('tpu-v5-lite-podslice', 'v5litepod-{}', 1),
  'v6e': ('tpu-v6e-slice', 'v6e-{}', 1),
}

SEES_FILES = False  # of the trials, from this machine


@dataclasses.dataclass(frozen=True)
class Options:
  """The cluster, and what is run there."""

  cluster: str = ''
  image: str = ''  # with this repository and its packages in `root`
  tpu: str = 'v5p'
  root: str = '/hh_jax'
  restarts: int = 100  # of a trial

  def __post_init__(self):
    for name in ('cluster', 'image'):
      if not getattr(self, name):
        raise ValueError(f'--executor=xpk needs {name}=NAME')
    if self.tpu not in TYPES:
      raise ValueError(f'tpu={self.tpu!r} is not one of {tuple(TYPES)}')
    if self.restarts < 0:
      raise ValueError(f'restarts={self.restarts} is < 0')


def launch(trials: Sequence[Trial], options: Options) -> Outcome:
  """Prints the command of every trial that need not wait for another one."""
  lines = {trial.name: line_of(trial, options) for trial in trials}
  ready = sweep.ready(trials)
  for trial in ready:
    print(lines[trial.name])
  waiting = len(trials) - len(ready)
  return Outcome({'printed': len(ready), states.WAITING: waiting})


def line_of(trial: Trial, options: Options) -> str:
  """Returns the command that has xpk run a trial.

  Raises:
    ValueError: Its devices make no slice, or the pods would not see its folder.
  """
  accelerator, spelled, cores = TYPES[options.tpu]
  jobset.require_shared(trial)
  jobset.topology_of(trial, accelerator)
  num_hosts = trial.num_devices // jobset.CHIPS_PER_HOST
  sweep.require_processes(trial, num_hosts)
  # The shell of the pod fills in what GKE tells each host of a slice.
  coordinator = f'${{TPU_WORKER_HOSTNAMES%%,*}}:{jobset.PORT}'
  joined = processes.flags_of(coordinator, num_hosts, '$TPU_WORKER_ID')
  inside = ' '.join([f'cd {options.root} && exec', trial.line(), *joined])
  return shlex.join(
    [
      'xpk',
      'workload',
      'create',
      f'--cluster={options.cluster}',
      f'--workload={jobset.job_name(trial)}',
      f'--tpu-type={spelled.format(cores * trial.num_devices)}',
      '--num-slices=1',
      f'--docker-image={options.image}',
      f'--max-restarts={options.restarts}',
      f'--command={inside}',
    ]
  )
