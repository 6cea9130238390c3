"""The plan of a stage: every step compiled for a slice of chips.

1. What cannot work is refused on paper, before jax compiles anything: a mesh
   of another size, a batch it does not divide, weights that do not fit.
2. Where the config names no mesh, or one is asked for, the best of `search` is
   taken.
3. Each step is lowered under the mesh and measured.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax

from hh_jax import sharding
from hh_jax.config import (
  DistillConfig,
  ModelConfig,
  PretrainConfig,
  RLHFConfig,
)
from hh_jax.planning import ledger, measure, roofline, search, steps
from hh_jax.planning.topology import CANNOT_KNOW, Topology

GIB = measure.GIB


def load_of(config: steps.StageConfig, model: ModelConfig) -> ledger.Load:
  """The training step of a stage, for the account on paper."""
  rows, length = config.data.batch_size, config.data.row_length
  if isinstance(config, RLHFConfig):
    part = rows // config.minibatches
    trained = 1 if config.share_trunk else 2
    reply = part * config.sampling.max_new_tokens
    return ledger.Load(model, part, length, trained, 2, reply)
  if isinstance(config, PretrainConfig):
    return ledger.Load(model, rows, length)
  if isinstance(config, DistillConfig):
    return ledger.Load(model, rows, length, frozen=1)
  return ledger.Load(model, rows, length, logits=0)


def mesh_of(
  config: steps.StageConfig,
  model: ModelConfig,
  topology: Topology,
  is_searching: bool = False,
) -> tuple[ledger.Mesh, list[search.Proposal]]:
  """The config's mesh, or the best one where it has none or is asked for one.

  Raises:
    ValueError: It is of another size, does not divide the batch, or the model
      does not fit on it.
  """
  loop = config.loop
  own = ledger.Mesh(loop.mesh_data, loop.mesh_fsdp, loop.mesh_tensor)
  load = load_of(config, model)
  if own.size > 1 and not is_searching:
    _require_mesh(own, load, topology)
    _require_room(own, load, topology)
    return own, []
  rates = roofline.Rates(topology.chip, topology.shape, model.compute_dtype)
  found = search.proposals(topology.num_chips, load, rates)
  if not found:
    raise ValueError(
      f'no mesh of {topology.num_chips} chips divides {load.rows} rows and '
      f'{model.num_heads} heads; change data.batch_size or the topology'
    )
  _require_room(found[0].mesh, load, topology)
  return found[0].mesh, found


def _require_mesh(
  mesh: ledger.Mesh, load: ledger.Load, topology: Topology
) -> None:
  if mesh.size != topology.num_chips:
    raise ValueError(
      f'mesh data={mesh.data} fsdp={mesh.fsdp} tensor={mesh.tensor} has '
      f'{mesh.size} devices and {topology.name} has {topology.num_chips} '
      'chips; make them equal, or ask for a mesh with --search'
    )
  if load.rows % mesh.rows:
    raise ValueError(
      f'mesh data={mesh.data} fsdp={mesh.fsdp} does not divide the '
      f'{load.rows} rows of an update; a multiple of {mesh.rows} rows, a '
      'smaller fsdp with more tensor, or --search'
    )
  for name, size in (
    ('num_heads', load.model.num_heads),
    ('model_dim', load.model.model_dim),
  ):
    axis = mesh.tensor if name == 'num_heads' else mesh.fsdp
    if size % axis:
      raise ValueError(
        f'mesh fsdp={mesh.fsdp} tensor={mesh.tensor} does not divide '
        f'{name}={size}; choose a divisor, or --search'
      )


def _require_room(
  mesh: ledger.Mesh, load: ledger.Load, topology: Topology
) -> None:
  """Raises ValueError where weights and moments alone are too large."""
  needs, has = ledger.state_bytes(load, mesh), topology.chip.memory
  gradients = ledger.GRADIENT * load.trained * load.num_params / mesh.parts
  if needs + gradients <= has:
    return
  over = needs + gradients - has
  fewest = -(-(needs + gradients) * mesh.parts // has)
  if mesh.data > 1 and mesh.size >= fewest:
    knob = f'move data={mesh.data} to fsdp, which splits weights'
  else:
    knob = f'{fewest:.0f} chips or more along fsdp and tensor hold them'
  raise ValueError(
    f'{load.num_params / 1e9:.1f}B parameters with gradients and moments take '
    f'{(needs + gradients) / GIB:.1f} GiB a chip on {topology.name}, '
    f'{over / GIB:.1f} more than the {has / GIB:.0f} of a '
    f'{topology.chip.name}; {knob}'
  )


def make(
  config: steps.StageConfig,
  model: ModelConfig,
  topology: Topology,
  mesh: ledger.Mesh,
  tell: Callable[[measure.Row], None] = lambda row: None,
) -> dict[str, Any]:
  """Compiles the steps of a stage and puts together its plan.

  Args:
    config: Of the stage.
    model: Its network.
    topology: The slice of chips.
    mesh: From `mesh_of`.
    tell: Called with each row as soon as it is there.
  """
  setting = measure.Setting(topology, mesh, model)
  made = sharding.make_mesh(**mesh.shape, devices=topology.devices())
  rows = []
  with jax.set_mesh(made):
    for step in steps.of_stage(config, model, made):
      rows.append(measure.measure(step, setting))
      tell(rows[-1])
  return {
    'topology': topology.name,
    'chip': topology.chip.name,
    'num_chips': topology.num_chips,
    'mesh': mesh.shape,
    'model': dataclasses.asdict(model),
    'compiler': 'libtpu' if topology.has_compiler else 'virtual CPU devices',
    'steps': rows,
    'chip_hours': sum(row.get('chip_hours', 0.0) for row in rows),
    'assumptions': setting.rates.assumptions(),
    'unknown': [] if topology.has_compiler else [CANNOT_KNOW],
  }
