"""What the sweeps share: the stages, their meshes, and the arguments.

Arguments of every sweep: world and scale as in configs/pretrain.py, size (of
the models; in the ladder the largest), and seeds (how many, from 0).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from configs import presets
from hh_jax.config import parse_arg
from hh_jax.launch.sweep import Stage, Sweep, Value

# Devices (fsdp, tensor) of every size. Batches of 32 divide, and on paper every
# stage fits on TPUs v5p; but pretraining at 52B needs (128, 4), see docs.
MESHES = {
  '13m': (8, 1),
  '42m': (16, 1),
  '197m': (32, 1),
  '810m': (32, 1),
  '2.7b': (32, 1),
  '13b': (32, 4),
  '52b': (32, 16),
}
BY_SIZE = {
  size: {'loop.mesh_fsdp': fsdp, 'loop.mesh_tensor': tensor}
  for size, (fsdp, tensor) in MESHES.items()
}

ONE_DEVICE = {'loop.mesh_fsdp': 1, 'loop.mesh_tensor': 1}

PM_FROM = {'init_from': 'pmp'}
POLICY_FROM = {'policy_from': 'distill', 'pm_from': 'pm'}


def to_pm(pm: Stage | None = None) -> tuple[Stage, ...]:
  """Returns the stages that end in a preference model."""
  return (
    Stage('pretrain'),
    Stage('pmp', {'init_from': 'pretrain'}),
    pm or Stage('pm', PM_FROM),
  )


def to_rlhf(rlhf: Stage | None = None) -> tuple[Stage, ...]:
  """Returns the stages that end in a policy trained by PPO."""
  return (
    *to_pm(),
    Stage('distill', {'init_from': 'pretrain'}),
    rlhf or Stage('rlhf', POLICY_FROM),
  )


def choice_of(
  arg: str | None, **defaults: Value
) -> tuple[presets.Choice, dict[str, Value]]:
  """Returns the world, size and scale of a sweep, and its other arguments."""
  values = parse_arg(arg, **presets.ARGUMENTS, seeds=1, **defaults)
  names = tuple(presets.ARGUMENTS)
  chosen = presets.Choice(**{name: values.pop(name) for name in names})
  return chosen, values


def sweep(
  stages: Sequence[Stage],
  choice: presets.Choice,
  values: Mapping[str, Value],
  sizes: Sequence[str] = (),
) -> Sweep:
  """Returns a sweep of stages at one size, or at several."""
  return Sweep(
    stages=stages,
    sizes=sizes or (choice.size,),
    seeds=tuple(range(int(values['seeds']))),
    arguments={'world': choice.world, 'scale': choice.scale},
    by_size=BY_SIZE if choice.scale == 'full' else {},
  )
