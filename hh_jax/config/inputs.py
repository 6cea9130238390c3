"""What a config names must be there: asked before jax is loaded.

The stages check more, with the data and the runs open; what can be known from
the file system alone is answered at once.
"""

from __future__ import annotations

import dataclasses
import os
import pathlib
from typing import Any

from hh_jax.config.shared import DataConfig

RUN_FILE = 'config.json'  # every run has one


def require_inputs(config: Any) -> None:
  """Raises ValueError where data or a run that a config names is missing.

  Args:
    config: Dataclass of a stage or of the pipeline, whose own `world` and
      `data_dir` count for all its stages.
  """
  fields = {f.name: getattr(config, f.name) for f in dataclasses.fields(config)}
  if 'world' in fields and 'data_dir' in fields:
    require_data(fields['world'], fields['data_dir'], 'data_dir')
  elif isinstance(fields.get('data'), DataConfig):
    data = fields['data']
    require_data(data.world, data.data_dir, 'data.data_dir')
  record = fields.get('record')
  if record:
    require_file_place(record, f'--config.record={record}')
  for name, value in fields.items():
    if name.endswith('_from') and value:
      require_run(value, f'--config.{name}={value}')


def require_data(world: str, data_dir: str, field: str) -> None:
  """Raises ValueError where the files of a world cannot be there."""
  if world == 'lab':
    return
  if not data_dir:
    raise ValueError(
      f'world={world} needs --config.{field}=PATH: the official HH layout, a '
      'folder of comparison files, or one jsonl file'
    )
  if not pathlib.Path(data_dir).exists():
    raise ValueError(f'--config.{field}={data_dir} does not exist')


def require_file_place(path: str, spelled: str) -> None:
  """Raises ValueError where no file of that name can be written."""
  if pathlib.Path(path).is_dir():
    raise ValueError(f'{spelled} is a folder; name a file in it')
  require_folder_place(str(pathlib.Path(path).parent), spelled)


def require_folder_place(folder: str, spelled: str) -> None:
  """Raises ValueError where no folder of that name can be written to."""
  path = pathlib.Path(folder).absolute()
  found = next(place for place in (path, *path.parents) if place.exists())
  if not found.is_dir():
    raise ValueError(f'{spelled}: {found} is a file, not a folder')
  if not os.access(found, os.W_OK | os.X_OK):
    raise ValueError(f'{spelled}: {found} cannot be written to')


def require_run(workdir: str, spelled: str) -> None:
  """Raises ValueError where a folder cannot be that of a run."""
  if not (pathlib.Path(workdir) / RUN_FILE).exists():
    raise ValueError(f'{spelled} holds no run (no {RUN_FILE})')
