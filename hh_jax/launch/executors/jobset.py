"""JobSet manifests for GKE, one a trial, applied by kubectl.

1. A trial is one slice: as many pods as its mesh has hosts, which find each
   other by the names that JobSet gives them. A pod that fails takes the job
   with it, and the JobSet starts the whole trial again, from its checkpoint.
   Exit codes 2 and 3 say that this would not help: then the JobSet fails.
2. `runs/` of the image is a claim on storage that all pods share, so that the
   command is the same as everywhere; where this machine has the same storage
   at `runs/`, it sees what is done there, too.
3. A trial is applied once those that it starts from are done: run the same
   command again to go on. A JobSet that failed is replaced, one that runs or
   is complete is left alone.
4. A JobSet is of one image and one command. Where the trial now has another,
   one that is complete is replaced, and one that runs is refused.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
import math
import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

from hh_jax.launch import processes, states, sweep
from hh_jax.launch.executors import tools
from hh_jax.launch.executors.outcome import Outcome
from hh_jax.launch.sweep import Trial
from hh_jax.training import exit_codes, files

RUNS = 'runs'  # folder of the image where the claim is mounted
PORT = 8476
COMMAND = 'hh-jax/command'  # annotation: SHA-256 of image and command
_SLICE, _CONTAINER = 'slice', 'trial'
_OTHER = 'Completed another command'  # a condition of ours
_NAME_LENGTH = 40  # of 63, for JobSet appends to it

# Chips of a slice -> topology, from Google's tables of each generation.
TOPOLOGIES = {
  'tpu-v5p-slice': {
    4: '2x2x1',
    8: '2x2x2',
    16: '2x2x4',
    32: '2x4x4',
    64: '4x4x4',
    128: '4x4x8',
    256: '4x8x8',
    512: '8x8x8',
    1024: '8x8x16',
  },
  'tpu-v5-lite-podslice': {
    4: '2x2',
    16: '4x4',
    32: '4x8',
    64: '8x8',
    128: '8x16',
    256: '16x16',
  },
  'tpu-v6e-slice': {
    4: '2x2',
    16: '4x4',
    32: '4x8',
    64: '8x8',
    128: '8x16',
    256: '16x16',
  },
}
CHIPS_PER_HOST = 4

SEES_FILES = False  # of the trials, from this machine

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Options:
  """The cluster, and what is run there."""

  image: str = ''  # with this repository and its packages in `root`
  claim: str = ''  # PersistentVolumeClaim that all pods can write
  accelerator: str = 'tpu-v5p-slice'  # as GKE labels its nodes
  root: str = '/hh_jax'
  namespace: str = 'default'
  queue: str = ''  # Kueue's LocalQueue; '': none
  restarts: int = 100  # of a trial
  grace_seconds: int = 60  # between the request to stop and the kill
  apply: bool = False  # False: manifests are written and no more

  def __post_init__(self):
    for name in ('image', 'claim'):
      if not getattr(self, name):
        raise ValueError(f'--executor=gke needs {name}=NAME')
    if self.accelerator not in TOPOLOGIES:
      raise ValueError(
        f'accelerator={self.accelerator!r} is not one of {tuple(TOPOLOGIES)}'
      )
    if self.restarts < 0 or self.grace_seconds < 1:
      raise ValueError(
        f'restarts={self.restarts} and grace_seconds={self.grace_seconds} '
        'must be positive'
      )


def launch(trials: Sequence[Trial], options: Options) -> Outcome:
  """Writes the manifests, and applies those whose time has come."""
  import yaml

  manifests = {trial.name: manifest(trial, options) for trial in trials}
  if options.apply:
    tools.require('kubectl', 'version', '--client')
  for trial in trials:
    path = manifest_file(trial)
    path.parent.mkdir(parents=True, exist_ok=True)
    text = yaml.safe_dump(manifests[trial.name], sort_keys=False, width=1000)
    files.write_atomic(path, text)
  if not options.apply:
    log.info('manifests are in %s', manifest_file(trials[0]).parent)
    return Outcome({'written': len(trials)})
  found = _conditions(manifests, options)
  names = [_submit(trial, trials, found, options) for trial in trials]
  counts = {name: names.count(name) for name in dict.fromkeys(names)}
  return Outcome(counts)


def manifest(trial: Trial, options: Options) -> dict[str, Any]:
  """Returns the JobSet of a trial.

  Raises:
    ValueError: Its devices make no slice, or the pods would not see its folder.
  """
  require_shared(trial)
  topology = topology_of(trial, options.accelerator)
  num_hosts = trial.num_devices // CHIPS_PER_HOST
  sweep.require_processes(trial, num_hosts)
  pod = _pod(trial, options, topology, num_hosts)
  labels = {'kueue.x-k8s.io/queue-name': options.queue} if options.queue else {}
  fails = {
    'action': 'FailJob',
    'onExitCodes': {
      'containerName': _CONTAINER,
      'operator': 'In',
      'values': [exit_codes.USAGE, exit_codes.UNSOUND],
    },
  }
  job = {
    'parallelism': num_hosts,
    'completions': num_hosts,
    'completionMode': 'Indexed',
    'backoffLimit': 0,
    'podFailurePolicy': {'rules': [fails]},
    'template': {'spec': pod},
  }
  return {
    'apiVersion': 'jobset.x-k8s.io/v1alpha2',
    'kind': 'JobSet',
    'metadata': {
      'name': job_name(trial),
      'namespace': options.namespace,
      'labels': {**labels, 'app': 'hh-jax'},
      'annotations': {
        'hh-jax/workdir': trial.workdir,
        COMMAND: _digest(pod),
        'alpha.jobset.sigs.k8s.io/exclusive-topology': (
          'cloud.google.com/gke-nodepool'
        ),
      },
    },
    'spec': {
      'failurePolicy': {
        'maxRestarts': options.restarts,
        'rules': [
          {
            'name': 'wrong-or-unsound',
            'action': 'FailJobSet',
            'onJobFailureReasons': ['PodFailurePolicy'],
          }
        ],
      },
      'replicatedJobs': [
        {'name': _SLICE, 'replicas': 1, 'template': {'spec': job}}
      ],
    },
  }


def _digest(pod: Mapping[str, Any]) -> str:
  """Names what a pod runs."""
  (container,) = pod['containers']
  spelled = json.dumps([container['image'], container['command']])
  return hashlib.sha256(spelled.encode()).hexdigest()[:16]


def _pod(
  trial: Trial, options: Options, topology: str, num_hosts: int
) -> dict[str, Any]:
  """Returns the pod of one host."""
  name = job_name(trial)
  coordinator = f'{name}-{_SLICE}-0-0.{name}:{PORT}'
  index = "metadata.annotations['batch.kubernetes.io/job-completion-index']"
  return {
    'restartPolicy': 'Never',
    'terminationGracePeriodSeconds': options.grace_seconds,
    'nodeSelector': {
      'cloud.google.com/gke-tpu-accelerator': options.accelerator,
      'cloud.google.com/gke-tpu-topology': topology,
    },
    'containers': [
      {
        'name': _CONTAINER,
        'image': options.image,
        'workingDir': options.root,
        'command': [
          *trial.command(),
          *processes.flags_of(coordinator, num_hosts, '$(PROCESS_ID)'),
        ],
        'env': [
          {
            'name': 'PROCESS_ID',
            'valueFrom': {'fieldRef': {'fieldPath': index}},
          }
        ],
        'ports': [{'containerPort': PORT}],
        'resources': {'limits': {'google.com/tpu': CHIPS_PER_HOST}},
        'volumeMounts': [{'name': RUNS, 'mountPath': f'{options.root}/{RUNS}'}],
      }
    ],
    'volumes': [
      {'name': RUNS, 'persistentVolumeClaim': {'claimName': options.claim}}
    ],
  }


def topology_of(trial: Trial, accelerator: str) -> str:
  """Returns the shape of the slice that has a trial's devices.

  Raises:
    ValueError: There is none; the nearest ones are named.
  """
  known = TOPOLOGIES[accelerator]
  if trial.num_devices in known:
    return known[trial.num_devices]
  near = sorted(known, key=lambda n: abs(math.log(n / trial.num_devices)))[:2]
  raise ValueError(
    f'{trial.name} has a mesh of {trial.num_devices} devices, and '
    f'{accelerator} has no such slice; nearest are {near[0]} and {near[1]}'
  )


def job_name(trial: Trial) -> str:
  """Returns a name that Kubernetes takes, the same for the same workdir."""
  digest = hashlib.sha256(trial.workdir.encode()).hexdigest()[:6]
  folder = pathlib.Path(trial.workdir)
  spelled = f'hh-{folder.parent.name}-{folder.name}'.lower()
  short = re.sub(r'[^a-z0-9]+', '-', spelled)[: _NAME_LENGTH - 7].strip('-')
  return f'{short}-{digest}'


def manifest_file(trial: Trial) -> pathlib.Path:
  """Where the manifest of a trial is written."""
  folder = pathlib.Path(trial.workdir).parent / 'manifests'
  return folder / f'{trial.name}.yaml'


def require_shared(trial: Trial) -> None:
  """Raises ValueError unless the pods see the folder of a trial."""
  path = pathlib.Path(trial.workdir)
  if path.is_absolute() or path.parts[0] != RUNS or '..' in path.parts:
    raise ValueError(
      f'--workdir={path.parent} is not in {RUNS}/, which is what the pods share'
    )


def _conditions(
  manifests: Mapping[str, Mapping[str, Any]], options: Options
) -> Mapping[str, str]:
  """Returns 'Completed', 'Failed' or 'active' of every JobSet of ours.

  Raises:
    ValueError: One runs another command than its manifest's.
  """
  own = {
    manifest['metadata']['name']: manifest['metadata']['annotations'][COMMAND]
    for manifest in manifests.values()
  }
  command = ['kubectl', 'get', 'jobsets', f'--namespace={options.namespace}']
  listed = tools.run([*command, '--selector=app=hh-jax', '--output=json'])
  try:
    items = json.loads(listed)['items']
  except (ValueError, KeyError, TypeError):
    raise ValueError(
      f'kubectl get jobsets answered no list: {listed.strip()[:80]!r}'
    ) from None
  found = {}
  for item in items:
    ended = [
      condition['type']
      for condition in item.get('status', {}).get('conditions', [])
      if condition['status'] == 'True'
      and condition['type'] in ('Completed', 'Failed')
    ]
    name = item['metadata']['name']
    found[name] = ended[0] if ended else 'active'
    command = item['metadata'].get('annotations', {}).get(COMMAND)
    if command == own.get(name, command) or found[name] == 'Failed':
      continue
    if found[name] == 'active':
      raise ValueError(
        f'JobSet {name} runs another command or image; wait for its end, or '
        f'`kubectl delete jobset {name}`'
      )
    found[name] = _OTHER
  return found


def _submit(
  trial: Trial,
  trials: Sequence[Trial],
  found: Mapping[str, str],
  options: Options,
) -> str:
  """Applies a trial's manifest if it is to run now; returns what it is."""
  condition = found.get(job_name(trial))
  if condition == 'Completed':
    return states.DONE
  if condition == 'active':
    return 'queued or running'
  starts = set(trial.starts.values())
  # Those that are done by their folders are not among the trials.
  if any(
    other.name in starts and found.get(job_name(other)) != 'Completed'
    for other in trials
  ):
    return states.WAITING
  where = f'--namespace={options.namespace}'
  if condition in ('Failed', _OTHER):
    tools.run(['kubectl', 'delete', 'jobset', job_name(trial), where])
  tools.run(['kubectl', 'apply', where, f'--filename={manifest_file(trial)}'])
  log.info('%s: applied as %s', trial.name, job_name(trial))
  return 'applied'
