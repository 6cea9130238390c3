"""Which mesh a stage is compiled for; what cannot work is refused on paper.

1. The config's mesh must have the slice's chips, divide batch and network, and
   leave room for weights, gradients and moments.
2. Where the config has one device, or a search is asked for, the best of
   `search` is taken.

Nothing here imports jax, so that a mistake is answered at once.
"""

from __future__ import annotations

from hh_jax.config import (
  DistillConfig,
  ModelConfig,
  PMConfig,
  PMPConfig,
  PretrainConfig,
  RLHFConfig,
)
from hh_jax.planning import ledger, roofline, search
from hh_jax.planning.topology import Topology

StageConfig = PretrainConfig | DistillConfig | PMPConfig | PMConfig | RLHFConfig

GIB = 2.0**30


def load_of(config: StageConfig, model: ModelConfig) -> ledger.Load:
  """The training step of a stage, for the account on paper."""
  rows, length = config.data.batch_size, config.data.row_length
  if isinstance(config, RLHFConfig):
    part = rows // config.minibatches
    trained = 1 if config.share_trunk else 2
    reply = part * config.sampling.max_new_tokens
    slots = min(config.sampling.slots, rows)
    return ledger.Load(model, part, length, trained, 2, reply, slots)
  if isinstance(config, PretrainConfig):
    return ledger.Load(model, rows, length)
  if isinstance(config, DistillConfig):
    return ledger.Load(model, rows, length, frozen=1)
  return ledger.Load(model, rows, length, logits=-1 if config.lm_coef else 0)


def mesh_of(
  config: StageConfig,
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
