"""Runs the sides of a job, each time in a process of its own."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import subprocess
import sys
from typing import Any

from benchmarks import devices, environment, inputs
from benchmarks import jobs as jobs_lib
from hh_jax.config import ModelConfig

Process = dict[str, Any]  # what `clock.finish` wrote
Row = dict[str, Any]

OUT_OF_MEMORY = 'out of memory'
# What jax, PyTorch and CUDA say where memory ends.
_SIGNS = ('RESOURCE_EXHAUSTED', 'OutOfMemoryError', 'out of memory')
_KILLED = -9  # by the kernel, where the memory of the host ends


@dataclasses.dataclass(frozen=True)
class Setting:
  """What every job of one run shares."""

  size: str
  vocab: int
  dtype: str
  rounds: int
  folder: pathlib.Path  # of the inputs
  peers: pathlib.Path  # environment of the other side
  device: devices.Device = devices.Device()
  has_peers: bool = True
  peer_python: str = ''  # interpreter with PyTorch; '': that of `peers`
  peer_ppo: str = ''  # folder of the TRL with PPO; '': that of `peers`

  def config_of(self, family: str) -> ModelConfig:
    """The networks of one architecture."""
    return dataclasses.replace(
      inputs.model_config(self.size, self.vocab, family),
      compute_dtype=self.dtype,
      cache_dtype=self.cache_dtype,
    )

  @property
  def cache_dtype(self) -> str:
    return self.dtype if self.goes_on else 'float32'

  @property
  def goes_on(self) -> bool:
    """Whether a failure becomes a row: time on an accelerator is dear."""
    return self.device.is_accelerator


class ProcessFailed(SystemExit):
  """A process ended with an error; ends the run where nobody goes on."""

  def __init__(self, what: str, done: subprocess.CompletedProcess[str]):
    super().__init__(f'{what} failed:\n{done.stderr[-4000:]}')
    is_full = done.returncode == _KILLED or any(
      sign in done.stderr for sign in _SIGNS
    )
    lines = done.stderr.strip().splitlines()
    what = (
      lines[-1][:200] if lines else f'no result, exit code {done.returncode}'
    )
    if done.returncode < 0:  # whatever it wrote before
      what = f'ended by signal {-done.returncode}: {what}'
    self.reason = OUT_OF_MEMORY if is_full else f'failed: {what}'


def run_process(
  side: str, module: str, fields: Row, setting: Setting
) -> Process:
  """Runs one side of a job, 'ours/VARIANT'; returns what it measured.

  Raises:
    ProcessFailed: It wrote no result.
  """
  owner, _, variant = side.partition('/')
  is_ours = owner == 'ours'
  job = {
    **fields,
    'dtype': setting.dtype,
    'cache_dtype': setting.cache_dtype,
    'variant': variant,
  }
  out = setting.folder / 'result.json'
  out.unlink(missing_ok=True)
  done = subprocess.run(
    [
      environment.python_of(
        setting.peers, is_ours, module, setting.peer_python
      ),
      '-m',
      f'benchmarks.{owner}.{module}',
      f'--job={json.dumps(job)}',
      f'--inputs={setting.folder}',
      f'--out={out}',
    ],
    cwd=environment.ROOT,
    env=environment.of_side(
      setting.peers,
      is_ours,
      module,
      setting.device.platform,
      setting.peer_ppo,
      setting.folder / 'compiled',
    ),
    capture_output=True,
    text=True,
  )
  if done.returncode or not out.exists():
    raise ProcessFailed(f'{side} {module} {job}', done)
  return json.loads(out.read_text())


def run_job(
  job: jobs_lib.Job, setting: Setting
) -> tuple[dict[str, list[Process]], dict[str, str]]:
  """Runs all sides of a job in turn.

  Returns:
    What the processes of each side measured, none for a side that failed; and
    why it failed.
  """
  found: dict[str, list[Process]] = {side: [] for side in job.sides()}
  failures: dict[str, str] = {}
  for _ in range(setting.rounds):
    for side in found:
      if side in failures or any(s.startswith('ours') for s in failures):
        continue
      try:
        module = job.module(side.partition('/')[0])
        done = run_process(side, module, job.fields_of(side), setting)
      except ProcessFailed as failure:
        if not setting.goes_on:
          raise
        print(failure, file=sys.stderr, flush=True)
        failures[side] = failure.reason
        found[side] = []
      else:
        found[side].append(done)
  return found, failures
