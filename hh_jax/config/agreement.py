"""What fields of several groups must agree on.

Each function raises ValueError with one line that names the fields.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hh_jax.config.shared import (
  DataConfig,
  LoopConfig,
  ModelConfig,
  SamplingConfig,
  counts,
  require,
)


def require_seed(seed: int) -> None:
  """Raises ValueError for a seed that random keys cannot take."""
  require(seed >= 0, f'seed={seed} is < 0')
  require(seed < 2**32, f'seed={seed} is not below 2**32')


def require_runnable(stage: Any) -> None:
  """Raises ValueError for what no stage can run.

  Args:
    stage: Config with `seed`, `data` and `loop`.
  """
  require_seed(stage.seed)
  counts(stage)
  loop, data = stage.loop, stage.data
  ways = loop.mesh_data * loop.mesh_fsdp
  require(
    data.batch_size % ways == 0,
    f'batch_size={data.batch_size} is not divisible by mesh_data * '
    f'mesh_fsdp = {loop.mesh_data} * {loop.mesh_fsdp}; change one of them',
  )


def require_one_device(loop: LoopConfig) -> None:
  """Raises ValueError for a mesh where a stage would not use it."""
  sizes = (loop.mesh_data, loop.mesh_fsdp, loop.mesh_tensor)
  require(
    max(sizes) == 1,
    f'this stage runs on one device, not on a mesh of {sizes}; leave '
    'loop.mesh_data, mesh_fsdp and mesh_tensor at 1',
  )


def require_positions(model: ModelConfig, data: DataConfig) -> None:
  """Raises ValueError where a path is longer than learned positions go."""
  require(
    model.positions != 'learned' or data.longest_path <= model.max_positions,
    f'paths of {data.longest_path} tokens have no position in a network that '
    f'learned max_positions={model.max_positions}; lower '
    'data.row_length, or data.max_path where the stage has it',
  )


def require_no_max_path(data: DataConfig) -> None:
  """Raises ValueError for a limit on paths where rows alone are limited."""
  require(
    data.max_path == 0,
    f'data.max_path={data.max_path} is not used by this stage; '
    'data.row_length is its limit',
  )


def require_room(data: DataConfig, sampling: SamplingConfig) -> None:
  """Raises ValueError unless a row holds a prompt, a reply and its end."""
  require(
    sampling.max_new_tokens + 1 < data.row_length,
    f'sampling.max_new_tokens={sampling.max_new_tokens} leaves no room for a '
    f'prompt in data.row_length={data.row_length}',
  )


def require_held_out(data: DataConfig) -> None:
  """Raises ValueError where held-out prompts cannot be told from others."""
  require(
    data.test_fraction > 0,
    'data.test_fraction=0 holds no prompt of data.data_dir out, and policies '
    'are measured on such prompts',
  )
  require(
    data.world != 'lab' or data.split_offset == 0,
    f'data.split_offset={data.split_offset} does not turn the prompts of '
    'world=lab: held-out ones would be trained on; set it to 0',
  )


def require_prompts(stage: Any) -> None:
  """Raises ValueError unless a stage can sample replies to held-out prompts."""
  require_no_max_path(stage.data)
  require_room(stage.data, stage.sampling)
  require_held_out(stage.data)


def require_one_split(stages: Mapping[str, Any]) -> None:
  """Raises ValueError unless stages hold out the same conversations.

  Args:
    stages: Configs with `data`, by name; the first is the measure.
  """
  first = next(iter(stages))
  for field in ('test_fraction', 'split_offset'):
    wanted = getattr(stages[first].data, field)
    for name, stage in stages.items():
      value = getattr(stage.data, field)
      require(
        value == wanted,
        f'{name}.data.{field}={value} and {first}.data.{field}={wanted}: some '
        'comparisons would be trained on and then held out; make them equal',
      )


def require_unset(
  name: str, value: object, harmless: tuple[object, ...]
) -> None:
  """Raises ValueError where a field is set that the outer config replaces."""
  require(
    value in harmless,
    f'--config.{name}={value!r} is not used; set '
    f'--config.{name.partition(".")[2].removeprefix("data.")}',
  )
