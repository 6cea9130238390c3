"""What a config names must be there and fit: known before jax is loaded.

1. `require` asks the file system, and the finished runs that a config names
   what they are. It is cheap, and every stage calls it first.
2. `require_readable` reads the files that a stage is going to read. The command
   line calls it, so that a bad row is answered at once.
"""

from __future__ import annotations

import dataclasses
import json
import pathlib
from collections.abc import Collection, Iterator, Sequence
from typing import Any

from hh_jax.config import (
  BiasConfig,
  DataConfig,
  FigureConfig,
  FoldsConfig,
  HHHConfig,
  PipelineConfig,
  PublicConfig,
  WritersConfig,
  from_config_dict,
)
from hh_jax.config.stages import UNTUNED
from hh_jax.data import hhh
from hh_jax.data.tokenizer import Tokenizer
from hh_jax.models import sizes
from hh_jax.stages import probes, public_source, sources, worlds, written
from hh_jax.training import files
from hh_jax.training import workdir as workdir_lib

MODEL_FILE = 'model.json'
RECORDED = (FigureConfig, FoldsConfig, PipelineConfig)
WHOLE = (FigureConfig, PipelineConfig)  # configs of several stages
TRAINED_ON_COMPARISONS = ('pm', 'rlhf', 'prompts')


@dataclasses.dataclass(frozen=True)
class Description:
  """What a finished run says about itself."""

  workdir: pathlib.Path
  stage: str
  config: dict[str, Any]
  model: dict[str, Any]  # fields of its ModelConfig
  tokenizer_sha256: str  # '': it has no model
  result: dict[str, Any]  # what it ended with

  @property
  def has_model(self) -> bool:
    return bool(self.tokenizer_sha256)


def require(config: Any, planned: Collection[str] = ()) -> None:
  """Raises ValueError where what a config names is missing or does not fit.

  Args:
    config: Dataclass of a stage, the folds, the pipeline or a figure.
    planned: Fields whose runs are not there yet and are not asked.
  """
  if isinstance(config, PublicConfig):
    public_source.open_source(config)
    return
  if isinstance(config, RECORDED) and config.record:
    files.require_file_place(config.record, f'--config.record={config.record}')
  if isinstance(config, FigureConfig):
    for size in config.sizes:
      sizes.model_config(size)
  data, field = data_of(config)
  require_data(data, field)
  if isinstance(config, HHHConfig):
    require_hhh(config)
  if isinstance(config, WritersConfig):
    written.require(data)
  if isinstance(config, BiasConfig) and config.replies_file:
    probes.first_replies(data, 0, config.replies_file, 0)
  runs = list(named_runs(config, planned))
  models = [run for run in runs if run.has_model]
  for run in models:
    require_same_tokenizer(models[0], run)
  for run in runs:
    require_same_split(data, run)


def require_hhh(config: HHHConfig) -> None:
  """Raises ValueError where the HHH evaluation is missing or malformed."""
  if config.hhh_file:
    hhh.read_items(config.hhh_file)
  elif config.world != 'lab':
    raise ValueError(
      f'world={config.world} needs --config.hhh_file=PATH: the jsonl file of '
      'the HHH evaluation, or its BIG-bench folder'
    )


def require_readable(config: Any) -> None:
  """Raises ValueError where a file that a config reads is not as it must be.

  Args:
    config: As for `require`, which comes first.
  """
  if isinstance(config, PublicConfig):
    return  # its rows are weights, read once
  data, _ = data_of(config)
  if isinstance(config, WHOLE):
    worlds.require_everything(data, seed_of(config))
  else:
    sources.require_readable(config)


def data_of(config: Any) -> tuple[DataConfig, str]:
  """Returns the data of a config and the name of the field that places it."""
  if not isinstance(config, WHOLE):
    return config.data, 'data.data_dir'
  return place_data(config, config.pm.data), 'data_dir'


def seed_of(config: FigureConfig | PipelineConfig) -> int:
  """Returns the seed, the first where there are several."""
  return config.seeds[0] if isinstance(config, FigureConfig) else config.seed


def place_data(
  config: FigureConfig | PipelineConfig, data: DataConfig
) -> DataConfig:
  """Points a stage's data at the world and folder of all of them.

  Data that have a folder of their own stay there.
  """
  if data.data_dir:
    return data
  return dataclasses.replace(data, world=config.world, data_dir=config.data_dir)


def require_data(data: DataConfig, field: str = 'data.data_dir') -> None:
  """Raises ValueError where the files of a world cannot be there."""
  if data.world == 'lab':
    return
  if not data.data_dir:
    raise ValueError(
      f'world={data.world} needs --config.{field}=PATH: the official HH '
      'layout, a folder of comparison files, or one jsonl file'
    )
  if not pathlib.Path(data.data_dir).exists():
    raise ValueError(f'--config.{field}={data.data_dir} does not exist')


def named_runs(
  config: Any, planned: Collection[str] = ()
) -> Iterator[Description]:
  """Yields the runs that fields made by `run_of` name, but for planned ones.

  Raises:
    ValueError: One is not finished, of another stage, or not named at all.
  """
  if isinstance(config, PipelineConfig) and config.distill.teacher_from:
    spelled = '--config.distill.teacher_from'
    teacher = describe_as(config.distill.teacher_from, spelled, UNTUNED)
    _require_tokenizer(config.pretrain.tokenizer, teacher)
    yield teacher
  for field in dataclasses.fields(config):
    stages = field.metadata.get('stages', ())
    workdir, spelled = getattr(config, field.name), f'--config.{field.name}'
    if field.name in planned:
      continue
    if stages and workdir:
      yield describe_as(workdir, spelled, stages)
    elif stages and not field.metadata['is_optional']:
      raise ValueError(
        f'{spelled} is empty; give the workdir of a finished '
        f'{" or ".join(stages)} run'
      )


def describe_as(
  workdir: str, spelled: str, stages: Sequence[str]
) -> Description:
  """Returns what the run of a field says, one of the stages."""
  found = describe_any(workdir, f'{spelled}={workdir}')
  if found.stage not in stages:
    raise ValueError(
      f'{spelled}={workdir} holds a {found.stage} run; it must be of '
      f'{" or ".join(stages)}'
    )
  return found


def _require_tokenizer(path: str, teacher: Description) -> None:
  """Raises ValueError unless a pipeline is to use its teacher's tokenizer."""
  own = Tokenizer.load(path).sha256 if path else ''
  if own != teacher.tokenizer_sha256:
    raise ValueError(
      f'the teacher {teacher.workdir} has a tokenizer of its own; give the '
      f'pipeline --config.pretrain.tokenizer={teacher.workdir}/tokenizer.json'
    )


def describe(
  workdir: str | pathlib.Path, spelled: str | None = None
) -> Description:
  """Returns what a finished run of a model says; see `describe_any`.

  Raises:
    ValueError: The folder holds no run, an unfinished one or one of no model.
  """
  found = describe_any(workdir, spelled)
  if not found.has_model:
    raise ValueError(f'{found.workdir} holds no model: its stage trains none')
  return found


def describe_any(
  workdir: str | pathlib.Path, spelled: str | None = None
) -> Description:
  """Returns what a finished run says; that of a pipeline is its RLHF policy.

  Args:
    workdir: Folder of the run.
    spelled: What to call it where it is none.

  Raises:
    ValueError: The folder holds no run, or an unfinished one.
  """
  folder = pathlib.Path(workdir)
  if (folder / 'results.json').exists() and (folder / 'rlhf').exists():
    folder = folder / 'rlhf'
  config_file = folder / workdir_lib.CONFIG
  if not config_file.exists():
    raise ValueError(
      f'{spelled or folder} holds no run (no {workdir_lib.CONFIG})'
    )
  result = workdir_lib.read_result(folder)
  if (folder / MODEL_FILE).exists():
    described = json.loads((folder / MODEL_FILE).read_text())
  else:
    record = workdir_lib.read_record(folder)
    stage = record['fingerprint'].get('stage', 'unknown')
    described = {'stage': stage, 'model': {}, 'tokenizer_sha256': ''}
  return Description(
    workdir=folder,
    config=json.loads(config_file.read_text()),
    result=result,
    **described,
  )


def require_same_tokenizer(first: Description, second: Description) -> None:
  """Raises ValueError unless two runs read and write the same ids."""
  if first.tokenizer_sha256 != second.tokenizer_sha256:
    raise ValueError(
      f'{first.workdir} and {second.workdir} were trained with different '
      f'tokenizers ({first.tokenizer_sha256[:12]} and '
      f'{second.tokenizer_sha256[:12]})'
    )


def require_same_split(data: DataConfig, run: Description) -> None:
  """Raises ValueError if `run` saw what a stage takes for held out.

  Only stages that train on comparisons, or on their prompts, and only runs of
  the same world are asked: wherever the files lie, the first human turns alone
  say what is held out.

  Args:
    data: Of the stage.
    run: One that it starts from.
  """
  if run.stage not in TRAINED_ON_COMPARISONS:
    return
  theirs = from_config_dict(DataConfig, run.config['data'])
  if theirs.world != data.world:
    return
  own, other = _spell_split(data), _spell_split(theirs)
  if own != other:
    raise ValueError(
      f'{run.workdir} was trained with {other}, here it is {own}: what is '
      'held out here it may have seen; make them equal'
    )


def _spell_split(data: DataConfig) -> str:
  """Says which comparisons are held out."""
  return (
    f'data.test_fraction={data.test_fraction}, '
    f'data.split_offset={data.split_offset}'
  )
