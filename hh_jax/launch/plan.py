"""Plans a stage for a pod: compiles every step of it, here, and runs none.

  python -m hh_jax.launch.plan --config=configs/rlhf.py:size=52b \
    --topology=v5p:8x8x8 [--search] [--price=4.2] [--json=FILE]

--config, --config.key=value  as the stage takes them; the network is that of
              pretrain.py beside it, with the same argument. The stages are
              pretrain, distill, pmp, pm and rlhf.
--topology    v4, v5e, v5p or v6e with chips along each axis of the torus; a100,
              h100 or h200 with a number of GPUs. TPUs are compiled for by their
              own compiler where libtpu is installed (extra `plan`); virtual CPU
              devices stand in for what has none.
--search      proposes a mesh; so it does where the config has one device
--price       of a chip-hour
--json        writes the plan to a file

Printed for every step: parameters, bytes a chip by kind, exchanges between
chips, the time of a roofline with its assumptions, MFU, tokens a second, the
largest batch; for the stage chip-hours and their cost. Warnings tell of what is
whole on every chip and of logits or optimizer state that are sent around. Where
a step does not fit, by how much and what helps; the exit code is 2 then.
"""

from __future__ import annotations

import dataclasses
import json
import pathlib
from collections.abc import Sequence
from typing import Any

from absl import flags

from hh_jax import config as config_lib
from hh_jax.config.convert import nearest
from hh_jax.launch import cli
from hh_jax.planning import describe, meshes
from hh_jax.planning import topology as topology_lib
from hh_jax.training import exit_codes, files

STAGES: dict[str, type] = {
  'pretrain': config_lib.PretrainConfig,
  'distill': config_lib.DistillConfig,
  'pmp': config_lib.PMPConfig,
  'pm': config_lib.PMConfig,
  'rlhf': config_lib.RLHFConfig,
}
NETWORK = 'pretrain.py'  # the config file whose network all stages train
OF_NETWORK = ('world', 'size', 'scale')  # names of its argument


@dataclasses.dataclass(frozen=True)
class Request:
  """What is asked for."""

  config: Any
  model: config_lib.ModelConfig
  topology: topology_lib.Topology
  is_searching: bool
  price: float
  json: str


def parse(args: Sequence[str]) -> Request:
  """Reads the arguments, without the program's name.

  Raises:
    UsageError: One is unknown, missing or malformed.
    ValueError: The config or the topology is refused.
  """
  path, rest = cli.take_config(args)
  if path is None:
    raise cli.UsageError('--config=FILE.py is required; --help explains')
  own = [
    arg for arg in rest if not arg.startswith(('--config.', '--noconfig.'))
  ]
  parser = flags.FlagValues()
  flags.DEFINE_string('topology', None, '', flag_values=parser)
  flags.DEFINE_bool('search', False, '', flag_values=parser)
  flags.DEFINE_float('price', 0.0, '', lower_bound=0.0, flag_values=parser)
  flags.DEFINE_string('json', '', '', flag_values=parser)
  try:
    _, *extra = parser(['', *own])
  except flags.Error as error:
    raise cli.UsageError(str(error)) from None
  if extra:
    raise cli.UsageError(
      f'argument {extra[0]!r} is not a flag; --help explains'
    )
  if not parser.topology:
    raise cli.UsageError('--topology=NAME is required, for example v5p:4x4x4')
  topology = topology_lib.parse(parser.topology)
  if parser.json:
    files.require_folder_place(
      str(pathlib.Path(parser.json).parent), f'--json={parser.json}'
    )
  overrides = [arg for arg in rest if arg not in own]
  config, model = read_config(path, overrides)
  return Request(
    config, model, topology, parser.search, parser.price, parser.json
  )


def read_config(
  path: str, overrides: Sequence[str]
) -> tuple[Any, config_lib.ModelConfig]:
  """The stage's config and the network that it trains.

  Raises:
    UsageError: The file is none of a stage that trains.
  """
  file = pathlib.Path(path.partition(':')[0])
  if file.stem not in STAGES:
    raise cli.UsageError(
      f'{file.name} is no config of a stage that trains'
      f'{nearest(file.stem, [*STAGES])}'
    )
  values = cli.load_config(path)
  cli.check_overrides(values, overrides)
  cli.apply_flags(values, overrides)
  config: Any = config_lib.from_config_dict(STAGES[file.stem], values.to_dict())
  if isinstance(config, config_lib.PretrainConfig):
    return config, config.model
  arguments = [
    part
    for part in path.partition(':')[2].split(',')
    if part.partition('=')[0].strip() in OF_NETWORK
  ]
  beside = cli.load_config(f'{file.with_name(NETWORK)}:{",".join(arguments)}')
  return config, config_lib.from_config_dict(
    config_lib.ModelConfig, beside.model.to_dict()
  )


def main(args: Sequence[str]) -> int:
  """Plans what is asked for; returns the exit code."""
  request = parse(args)
  mesh, found = meshes.mesh_of(
    request.config, request.model, request.topology, request.is_searching
  )
  if found:
    print(describe.proposals(found), flush=True)
  print(describe.heading(request.topology, mesh, request.model), flush=True)
  topology_lib.prepare(request.topology)
  from hh_jax.planning import plan  # which loads jax

  made = plan.make(
    request.config,
    request.model,
    request.topology,
    mesh,
    lambda row: print(describe.step(row), flush=True),
  )
  print(describe.cost(made, request.price))
  print(describe.assumptions(made))
  if request.json:
    made['cost'] = (made['chip_hours'] or 0.0) * request.price or None
    files.write_atomic(
      pathlib.Path(request.json), json.dumps(made, indent=2) + '\n'
    )
  fits = all(row['fits'] for row in made['steps'])
  return 0 if fits else exit_codes.USAGE


if __name__ == '__main__':
  cli.answer(main)
