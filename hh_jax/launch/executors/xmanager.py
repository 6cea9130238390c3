"""Trials as the jobs of an XManager experiment.

The image holds this repository and its packages; a job's arguments are the
whole command, so the image has no entry point of its own. A trial is a job on
one node, added once those that it starts from are done.

Nothing is known of jobs that were added before: each call makes an experiment
of all trials that are not done by their folders. Wait for its end before the
next.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from hh_jax.launch import states, sweep
from hh_jax.launch.executors.outcome import Outcome
from hh_jax.launch.sweep import Trial

SEES_FILES = False  # of the trials, from this machine


@dataclasses.dataclass(frozen=True)
class Options:
  """The image and the devices."""

  image: str = ''
  device: str = ''  # as XManager names them, 'A100'; '': none is asked for
  title: str = 'hh_jax'
  devices_per_node: int = 16

  def __post_init__(self):
    if not self.image:
      raise ValueError('--executor=xmanager needs image=NAME')


def launch(trials: Sequence[Trial], options: Options) -> Outcome:
  """Adds the trials that need not wait to a new experiment on Vertex AI."""
  for trial in trials:
    sweep.require_processes(trial, 1)
    if trial.num_devices > options.devices_per_node:
      raise ValueError(
        f'{trial.name} has a mesh of {trial.num_devices} devices, more than '
        f'devices_per_node={options.devices_per_node}; --executor=xmanager '
        'runs a trial on one node, slurm and gke on several'
      )
  xm, xm_local = _import()
  ready = sweep.ready(trials)
  with xm_local.create_experiment(experiment_title=options.title) as experiment:
    (executable,) = experiment.package(
      [
        xm.Packageable(
          executable_spec=xm.Container(image_path=options.image),
          executor_spec=xm_local.Vertex.Spec(),
        )
      ]
    )
    for trial in ready:
      devices = {options.device: trial.num_devices} if options.device else {}
      experiment.add(
        xm.Job(
          executable=executable,
          executor=xm_local.Vertex(xm.JobRequirements(**devices)),
          args=trial.command(),
          name=trial.name,
        )
      )
  waiting = len(trials) - len(ready)
  return Outcome({'added': len(ready), states.WAITING: waiting})


def _import() -> tuple[Any, Any]:
  """Returns `xm` and `xm_local`.

  Raises:
    ValueError: XManager is not installed.
  """
  try:
    from xmanager import xm, xm_local
  except ImportError:
    raise ValueError(
      '--executor=xmanager needs XManager: pip install xmanager'
    ) from None
  return xm, xm_local
