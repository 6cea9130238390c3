"""What can be wrong with a sweep, found before anything of it is started.

1. `parse` reads every trial's command line as its script will.
2. `check` asks of every trial what its script asks before it works: whether
   its folder is its own, and whether what it names is there and fits. Runs
   that the sweep has yet to make are asked of the trials that make them.
"""

from __future__ import annotations

import dataclasses
import logging
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from hh_jax.config import require_positions
from hh_jax.launch import cli, processes
from hh_jax.launch import sweep as sweep_lib
from hh_jax.launch.sweep import Trial
from hh_jax.stages import identity, inputs
from hh_jax.training import workdir as workdir_lib

ResultT = TypeVar('ResultT')
Configs = dict[str, Any]  # by name of the trial

log = logging.getLogger(__name__)


def parse(trials: Sequence[Trial]) -> tuple[list[Trial], Configs]:
  """Returns the trials with what their configs say, and the configs.

  Raises:
    ValueError: A trial's command line is wrong; the first one is told.
  """
  configs = _of_all(trials, _config)
  parsed = [
    dataclasses.replace(
      trial,
      num_devices=processes.devices_of(configs[trial.name]),
      num_steps=identity.planned_steps(configs[trial.name]),
    )
    for trial in trials
  ]
  return parsed, configs


def check(
  trials: Sequence[Trial], configs: Configs, *, sees_files: bool = True
) -> None:
  """Raises ValueError unless every trial can be run or is done.

  Args:
    trials: All of the sweep.
    configs: As `parse` returns them.
    sees_files: Whether files are where the trials will see them. If not, what
      they say is left to the trials.
  """
  named = {trial.name: trial for trial in trials}
  _of_all(trials, lambda trial: _check_starts(trial, named, configs))
  if not sees_files:
    log.info('folders and data are not checked: they lie where trials run')
    return
  _of_all(trials, lambda trial: _check_files(trial, named, configs))
  readable = {
    (trial.script, configs[trial.name].data): trial
    for trial in trials
    if not workdir_lib.is_done(trial.workdir)
  }
  _of_all(
    list(readable.values()),
    lambda trial: inputs.require_readable(configs[trial.name]),
  )


def _of_all(
  trials: Sequence[Trial], ask: Callable[[Trial], ResultT]
) -> dict[str, ResultT]:
  """Asks every trial; tells the first error and how many have one."""
  found, wrong = {}, []
  for trial in trials:
    try:
      found[trial.name] = ask(trial)
    except cli.USER_ERRORS as error:
      wrong.append(f'{trial.name}: {error}')
  if wrong:
    raise ValueError(
      f'{wrong[0]} ({len(wrong)} of {len(trials)} trials are wrong; nothing '
      'was started)'
    )
  return found


def _config(trial: Trial) -> Any:
  """The config that a trial's command line asks for."""
  _, _, _, *flags = trial.command()
  config, workdir = cli.parse(sweep_lib.CONFIGS[trial.script], flags)
  cli.require_workdir(workdir)
  return config


def _check_starts(
  trial: Trial, named: Mapping[str, Trial], configs: Configs
) -> None:
  """Checks a trial against those that it starts from, by their configs."""
  config = configs[trial.name]
  for field, name in trial.starts.items():
    _require_stage(config, field, named[name])
    described = _described(named[name], configs[name])
    inputs.require_same_split(config.data, described)
  pretrained = _pretrained(trial, named)
  if pretrained is not None:
    require_positions(configs[pretrained.name].model, config.data)


def _check_files(
  trial: Trial, named: Mapping[str, Trial], configs: Configs
) -> None:
  """Checks a trial against its folder, its data and the runs it names."""
  config = configs[trial.name]
  planned = [
    field
    for field, start in trial.starts.items()
    if not workdir_lib.is_done(named[start].workdir)
  ]
  inputs.require(config, planned)
  identity.check(config, trial.workdir)
  for field, name in trial.starts.items():
    if field not in planned:
      _require_same_start(trial, field, named[name])


def _require_stage(config: Any, field: str, start: Trial) -> None:
  """Raises ValueError where a field takes no run of the stage it is to name."""
  known = {item.name: item.metadata for item in dataclasses.fields(config)}
  stages = known[field].get('stages', ())
  if start.script not in stages:
    raise ValueError(
      f'{field} is to be {start.name}, a {start.script} run; it must be of '
      f'{" or ".join(stages) or "no stage"}'
    )


def _require_same_start(trial: Trial, field: str, start: Trial) -> None:
  """Raises ValueError where a run began from what is no longer there."""
  state = workdir_lib.read_result(start.workdir)['state_sha256']
  workdir_lib.check(trial.workdir, {field: state}, is_whole=False)


def _described(trial: Trial, config: Any) -> inputs.Description:
  """What a run that is yet to be made will say of its data."""
  return inputs.Description(
    workdir=pathlib.Path(trial.workdir),
    stage=trial.script,
    config=dataclasses.asdict(config),
    model={},
    tokenizer_sha256='',
    result={},
  )


def _pretrained(trial: Trial, named: Mapping[str, Trial]) -> Trial | None:
  """The trial whose network a trial has, if the sweep makes it."""
  while trial.starts:
    trial = named[next(iter(trial.starts.values()))]
  return trial if trial.script == 'pretrain' else None


def require_names(trials: Sequence[Trial]) -> None:
  """Raises ValueError where work of a sweep of one seed or size goes unused.

  That sweep did not say its only seed or size in the names of its folders.
  """
  names = {trial.name for trial in trials}
  for trial in trials:
    if workdir_lib.has_work(trial.workdir):
      continue
    seed, size = (
      f'-{key}={trial.axes[key]}' for key in (sweep_lib.SEED, sweep_lib.SIZE)
    )
    without = {
      trial.name.replace(seed, ''),
      trial.name.replace(size, ''),
      trial.name.replace(seed, '').replace(size, ''),
    }
    folder = pathlib.Path(trial.workdir).parent
    for name in sorted(without - names):
      if workdir_lib.has_work(folder / name):
        raise ValueError(
          f'{folder / name} was made when the sweep had one seed or one size; '
          f'rename it as what it is now, such as {trial.name}, to go on from it'
        )
