"""The folder of a public model: what it says and holds, before it is loaded.

1. `config.json` gives family and configuration.
2. Tensors lie in the safetensors files that `model.safetensors.index.json`
   lists, else in `model.safetensors`, else in all such files. Their headers say
   name and shape; a file that is cut short does not match its header.
3. A tensor is read when it is asked for, so that a model is never in memory
   twice.
"""

from __future__ import annotations

import dataclasses
import json
import pathlib
from typing import Any

import numpy as np
import safetensors

from hh_jax.config import ModelConfig
from hh_jax.models import public_config

CONFIG = 'config.json'
INDEX = 'model.safetensors.index.json'
WHOLE = 'model.safetensors'
SCORE = 'score.weight'  # of a reward model
OUTPUTS = ('lm_head.weight', 'embed_out.weight')
DTYPES = ('F64', 'F32', 'F16', 'BF16')


@dataclasses.dataclass(frozen=True)
class Folder:
  """An opened folder."""

  path: pathlib.Path
  public: dict[str, Any]  # contents of config.json
  config: ModelConfig
  files: dict[str, pathlib.Path]  # by tensor
  shapes: dict[str, tuple[int, ...]]  # by tensor

  @property
  def family(self) -> str:
    return self.public['model_type']

  @property
  def is_scored(self) -> bool:
    """Whether it is a reward model."""
    return SCORE in self.files

  def tensor(self, name: str) -> np.ndarray:
    """Reads one tensor, in the type in which it is stored."""
    with safetensors.safe_open(self.files[name], framework='numpy') as file:
      return file.get_tensor(name)


def open_folder(path: str | pathlib.Path) -> Folder:
  """Opens a folder and reads what its files say of themselves.

  Raises:
    FileNotFoundError: A file is not there.
    ValueError: A file is damaged, or its contents are not supported.
  """
  folder = pathlib.Path(path)
  if not (folder / CONFIG).is_file():
    raise FileNotFoundError(f'{folder} has no {CONFIG}: it is no public model')
  public = read_json(folder / CONFIG)
  try:
    config = public_config.model_config(public)
  except ValueError as error:
    raise ValueError(f'{folder / CONFIG}: {error}') from None
  files: dict[str, pathlib.Path] = {}
  shapes: dict[str, tuple[int, ...]] = {}
  for file in _weight_files(folder):
    found = _read_header(file)
    twice = sorted(found.keys() & shapes.keys())
    if twice:
      raise ValueError(f'{file} and {files[twice[0]]} both hold {twice[0]!r}')
    shapes |= found
    files |= dict.fromkeys(found, file)
  if SCORE in shapes and not shapes.keys() & set(OUTPUTS):
    # It needs no output matrix.
    config = dataclasses.replace(config, tied_embedding=True)
  return Folder(folder, public, config, files, shapes)


def read_json(path: pathlib.Path) -> dict[str, Any]:
  """Returns the object that a JSON file holds.

  Raises:
    ValueError: It holds something else.
  """
  try:
    value = json.loads(path.read_text('utf-8'))
  except ValueError as error:
    raise ValueError(f'{path} is not JSON ({error})') from None
  if not isinstance(value, dict):
    raise ValueError(f'{path} holds no JSON object')
  return value


def _weight_files(folder: pathlib.Path) -> list[pathlib.Path]:
  """Lists the files that hold the weights."""
  if (folder / INDEX).is_file():
    placed = read_json(folder / INDEX).get('weight_map')
    if not isinstance(placed, dict) or not placed:
      raise ValueError(f'{folder / INDEX} has no weight_map')
    files = [folder / name for name in sorted(set(placed.values()))]
  elif (folder / WHOLE).is_file():
    files = [folder / WHOLE]
  else:
    files = sorted(folder.glob('*.safetensors'))
  if not files:
    raise FileNotFoundError(
      f'{folder} holds no .safetensors file; others are not read'
    )
  for file in files:
    if not file.is_file():
      raise FileNotFoundError(f'{file} is missing, which {INDEX} lists')
  return files


def _read_header(path: pathlib.Path) -> dict[str, tuple[int, ...]]:
  """Returns the shapes of a file's tensors.

  Raises:
    ValueError: It is not whole, or its numbers are of a type that we lack.
  """
  try:
    with safetensors.safe_open(path, framework='numpy') as file:
      names = file.keys()
      slices = {name: file.get_slice(name) for name in names}
      dtypes = {name: part.get_dtype() for name, part in slices.items()}
      shapes = {name: tuple(p.get_shape()) for name, p in slices.items()}
  except safetensors.SafetensorError as error:
    raise ValueError(
      f'{path} is truncated or damaged ({error}); download it again'
    ) from None
  for name, dtype in dtypes.items():
    if dtype not in DTYPES:
      raise ValueError(
        f'{path}: tensor {name!r} is {dtype}; only {DTYPES} are supported'
      )
  return shapes
