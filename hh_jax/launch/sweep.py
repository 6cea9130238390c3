"""A sweep: plain data, expanded into one command line a trial.

1. A sweep names sizes, seeds and stages; a stage says from which stages before
   it it starts, and which keys of its config it varies.
2. A stage has a trial for every size, every seed and every combination of what
   it and the stages before it vary. It starts from the trials with the same
   values, so that trials share what does not differ.
3. A trial is one line `python -m experiments.STAGE ...`, the same whatever
   runs it, with a workdir of its own that is named by its values.
"""

from __future__ import annotations

import dataclasses
import itertools
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from hh_jax.config import (
  DistillConfig,
  EvaluateConfig,
  FoldsConfig,
  PMConfig,
  PMPConfig,
  PretrainConfig,
  PromptsConfig,
  RejectionConfig,
  RLHFConfig,
)
from hh_jax.config.convert import nearest
from hh_jax.launch import processes

Value = bool | int | float | str
Values = Mapping[str, Value]

# Scripts that end in DONE, with the config of each.
CONFIGS: dict[str, type[Any]] = {
  'pretrain': PretrainConfig,
  'distill': DistillConfig,
  'pmp': PMPConfig,
  'pm': PMConfig,
  'prompts': PromptsConfig,
  'rejection': RejectionConfig,
  'rlhf': RLHFConfig,
  'evaluate': EvaluateConfig,
  'folds': FoldsConfig,
}
SIZE, SEED = 'size', 'seed'
_NAME = re.compile(r'[\w.+=-]+')


@dataclasses.dataclass(frozen=True)
class Stage:
  """A script, and what of its config differs from trial to trial."""

  script: str  # of `CONFIGS`
  # Field of its config -> name of the stage before that it starts from.
  starts: Mapping[str, str] = dataclasses.field(default_factory=dict)
  # Key of its config -> the values it takes.
  varied: Mapping[str, Sequence[Value]] = dataclasses.field(
    default_factory=dict
  )
  fixed: Values = dataclasses.field(default_factory=dict)  # by key
  name: str = ''  # where a script has several stages; '': the script's

  @property
  def label(self) -> str:
    return self.name or self.script


@dataclasses.dataclass(frozen=True)
class Sweep:
  """All that is run; what stands first is run first where it matters."""

  stages: Sequence[Stage]
  sizes: Sequence[str]
  seeds: Sequence[int] = (0,)
  # `name=value` after the colon of every config file, beside the size.
  arguments: Values = dataclasses.field(default_factory=dict)
  # Size -> keys of every stage: meshes, mostly.
  by_size: Mapping[str, Values] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Trial:
  """One run of one stage."""

  name: str
  stage: str  # its label
  script: str
  axes: Values  # what is varied, size and seed first
  flags: tuple[str, ...]  # all but the workdir
  workdir: str
  starts: Mapping[str, str]  # field of its config -> trial it starts from
  # Known once it is parsed:
  num_devices: int = 1  # of its mesh
  num_steps: int | None = None  # where it is to end, if its config says so

  def command(self, python: str = 'python') -> list[str]:
    """Arguments of the process."""
    module = ['-m', f'experiments.{self.script}']
    return [python, *module, *self.flags, f'--workdir={self.workdir}']

  def line(self) -> str:
    """The command, ready for a shell."""
    return shlex.join(self.command())


def expand(
  sweep: Sweep, workdir: str, flags: Sequence[str] = ()
) -> list[Trial]:
  """Returns the trials, each one after those it starts from.

  Args:
    sweep: What is varied.
    workdir: Folder that theirs are made in.
    flags: `--config.key=value` for all of them; the last word on a key.

  Raises:
    ValueError: A stage or a name is unknown, or two trials are one.
  """
  _require_values(sweep)
  trials: dict[str, Trial] = {}
  axes: dict[str, dict[str, Sequence[Value]]] = {}
  for stage in sweep.stages:
    _require_stage(stage, list(axes))
    axes[stage.label] = _axes(stage, axes)
    for chosen in _combinations(sweep, axes[stage.label]):
      trial = _trial(sweep, stage, chosen, axes, workdir, flags)
      if trial.name in trials:
        raise ValueError(
          f'two trials have the workdir {trial.workdir}; name every value once'
        )
      trials[trial.name] = trial
  return list(trials.values())


def ready(trials: Sequence[Trial]) -> list[Trial]:
  """Returns those that start from none of the others."""
  names = {trial.name for trial in trials}
  return [t for t in trials if not names & set(t.starts.values())]


def require_processes(trial: Trial, number: int) -> None:
  """Raises ValueError unless a trial can run in so many processes."""
  try:
    kind = CONFIGS[trial.script]
    processes.require_spread(kind, number)
    processes.require_even(trial.num_devices, number)
  except ValueError as error:
    raise ValueError(f'{trial.name}: {error}') from None


def _trial(
  sweep: Sweep,
  stage: Stage,
  chosen: Values,
  axes: Mapping[str, Mapping[str, Sequence[Value]]],
  workdir: str,
  flags: Sequence[str],
) -> Trial:
  starts = {
    field: _trial_name(
      before, sweep, {key: chosen[key] for key in (SIZE, *axes[before], SEED)}
    )
    for field, before in stage.starts.items()
  }
  arguments = {**sweep.arguments, SIZE: chosen[SIZE]}
  values = {
    SEED: chosen[SEED],
    **sweep.by_size.get(str(chosen[SIZE]), {}),
    **stage.fixed,
    **{key: chosen[key] for key in stage.varied},
    **{field: f'{workdir}/{name}' for field, name in starts.items()},
  }
  name = _trial_name(stage.label, sweep, chosen)
  spelled = ','.join(f'{key}={value}' for key, value in arguments.items())
  return Trial(
    name=name,
    stage=stage.label,
    script=stage.script,
    axes=chosen,
    flags=(
      f'--config=configs/{stage.script}.py:{spelled}',
      *(f'--config.{key}={value}' for key, value in values.items()),
      *flags,
    ),
    workdir=f'{workdir}/{name}',
    starts=starts,
  )


def _axes(
  stage: Stage, axes: Mapping[str, Mapping[str, Sequence[Value]]]
) -> dict[str, Sequence[Value]]:
  """Returns what a stage and those before it vary.

  A key that both vary has the same value in both.
  """
  found: dict[str, Sequence[Value]] = {}
  for varied in (*(axes[name] for name in stage.starts.values()), stage.varied):
    for key, values in varied.items():
      if found.setdefault(key, values) != values:
        raise ValueError(
          f'stage {stage.label!r} of the sweep varies {key} over '
          f'{tuple(values)}, a stage that it starts from over '
          f'{tuple(found[key])}'
        )
  return found


def _combinations(
  sweep: Sweep, varied: Mapping[str, Sequence[Value]]
) -> Iterator[dict[str, Value]]:
  """Yields one value of each axis, in every combination."""
  axes = {SIZE: sweep.sizes, **varied, SEED: sweep.seeds}
  for values in itertools.product(*axes.values()):
    yield dict(zip(axes, values, strict=True))


def _trial_name(label: str, sweep: Sweep, chosen: Values) -> str:
  """Spells the values of a trial; the only size or seed goes unsaid."""
  alone = {SIZE: len(sweep.sizes) == 1, SEED: len(sweep.seeds) == 1}
  parts = [
    f'{key.rpartition(".")[2]}={value}'
    for key, value in chosen.items()
    if not alone.get(key)
  ]
  return '-'.join([label, *parts])


def _require_values(sweep: Sweep) -> None:
  """Raises ValueError unless every value can be part of a folder's name."""
  if not (sweep.stages and sweep.sizes and sweep.seeds):
    raise ValueError('a sweep has at least one stage, one size and one seed')
  named = [(SIZE, sweep.sizes), (SEED, sweep.seeds)]
  for stage in sweep.stages:
    named += stage.varied.items()
    named.append(('name', [stage.label]))
  for key, values in named:
    if isinstance(values, str) or not values:
      raise ValueError(f'{key}={values!r} of a sweep is not a list of values')
    for value in values:
      if not _NAME.fullmatch(str(value)):
        raise ValueError(
          f'{key}={value!r} of a sweep cannot name a folder; take letters, '
          'digits and . + -'
        )


def _require_stage(stage: Stage, before: Sequence[str]) -> None:
  """Raises ValueError unless a stage is known and starts from known ones."""
  if stage.script not in CONFIGS:
    raise ValueError(
      f'stage {stage.script!r} of the sweep is unknown'
      f'{nearest(stage.script, list(CONFIGS))}'
    )
  if stage.label in before:
    raise ValueError(
      f'two stages of the sweep are called {stage.label!r}; give one a name'
    )
  for field, name in stage.starts.items():
    if name not in before:
      raise ValueError(
        f'{field} of stage {stage.label!r} names {name!r}, which is no stage '
        f'before it{nearest(name, list(before))}'
      )
  taken = {SIZE, SEED} & stage.varied.keys()
  if taken:
    raise ValueError(
      f'stage {stage.label!r} varies {taken.pop()}; the sweep itself does that'
    )
