"""Where arrays live: mesh, path -> logical axes, logical axes -> mesh.

1. One table maps the path of a parameter to the logical axes of its dims. It
   is matched against the end of a path, so that it also places the moments of
   an optimizer and the parameters of several networks in one tree.
2. A layout maps logical axes to mesh axes. `train` splits parameters over
   `fsdp` and `tensor`; `decode` over `tensor` only, so that sampling does not
   gather the weights for every token.
3. A dimension that its mesh axes do not divide is replicated and reported.
   Scalars have no layout and need no rule.
"""

from __future__ import annotations

import functools
import logging
import math
import re
from collections.abc import Mapping, Sequence
from typing import TypeVar

import jax
import numpy as np
from jax.sharding import (
  AbstractMesh,
  AxisType,
  Mesh,
  NamedSharding,
  PartitionSpec,
)

TreeT = TypeVar('TreeT')
Axes = tuple[str | None, ...]
Layout = Mapping[str, tuple[str, ...]]

log = logging.getLogger(__name__)

MESH_AXES = ('data', 'fsdp', 'tensor')

_NORMS = 'attention_norm|mlp_norm|query_norm|key_norm'

RULES: tuple[tuple[str, Axes], ...] = (
  (r'embed/embedding', ('vocab', 'embed')),
  (r'position/embedding', (None, 'embed')),
  (r'unembed/kernel', ('vocab', 'embed')),
  (r'blocks/(query|key|value)/kernel', ('layers', 'embed', 'heads')),
  (r'blocks/(query|key|value)/bias', ('layers', 'heads')),
  (r'blocks/out/kernel', ('layers', 'heads', 'embed')),
  (r'blocks/out/bias', ('layers', None)),
  (r'blocks/(up|gate)/kernel', ('layers', 'embed', 'ffn')),
  (r'blocks/(up|gate)/bias', ('layers', 'ffn')),
  (r'blocks/down/kernel', ('layers', 'ffn', 'embed')),
  (r'blocks/down/bias', ('layers', None)),
  (rf'blocks/({_NORMS})/(scale|bias)', ('layers', None)),
  (r'final_norm/(scale|bias)', (None,)),
  (r'score_head/kernel', (None, None)),
  (r'score_head/bias', (None,)),
)

_ACTIVATIONS: dict[str, tuple[str, ...]] = {
  'batch': ('data', 'fsdp'),
  'heads': ('tensor',),
  'ffn': ('tensor',),
  'vocab': ('tensor',),
}

LAYOUTS: dict[str, Layout] = {
  'train': {**_ACTIVATIONS, 'embed': ('fsdp',), 'layers': ()},
  'decode': {**_ACTIVATIONS, 'embed': (), 'layers': ()},
}


def make_mesh(
  data: int = 1,
  fsdp: int = 1,
  tensor: int = 1,
  devices: Sequence[jax.Device] | None = None,
) -> Mesh:
  """A mesh over the first `data * fsdp * tensor` devices, with Auto axes.

  Args:
    data: Copies of the parameters; each has a part of the batch.
    fsdp: Parts of the parameters, and of the batch.
    tensor: Parts of every matrix.
    devices: Those to use; by default all there are.
  """
  shape = (data, fsdp, tensor)
  if min(shape) < 1:
    raise ValueError(f'mesh sizes must be positive, not {shape}')
  needed = math.prod(shape)
  devices = jax.devices() if devices is None else devices
  if len(devices) < needed:
    raise ValueError(
      f'mesh data={data} fsdp={fsdp} tensor={tensor} needs {needed} '
      f'devices, {len(devices)} are visible'
    )
  return jax.make_mesh(
    shape,
    MESH_AXES,
    axis_types=(AxisType.Auto,) * len(MESH_AXES),
    devices=devices[:needed],
  )


def matching_rules(path: str) -> list[str]:
  """The patterns of the table that match the end of a path."""
  return [p for p, _ in RULES if re.search(rf'(^|/)({p})$', path)]


def logical_axes(path: str, shape: Sequence[int]) -> Axes:
  """Logical axes of a leaf, by the one rule that matches its path."""
  if not shape:
    return ()
  patterns = matching_rules(path)
  if len(patterns) != 1:
    raise ValueError(
      f'{path!r} {tuple(shape)} matches {len(patterns)} sharding rules '
      f'{patterns}; add or narrow a rule of hh_jax.sharding.RULES'
    )
  axes = dict(RULES)[patterns[0]]
  if len(axes) != len(shape):
    raise ValueError(
      f'{path!r} has shape {tuple(shape)}, but its rule names axes {axes}'
    )
  return axes


def _mesh_axes(
  axis: str | None, size: int, mesh_shape: Mapping[str, int], layout: Layout
) -> tuple[tuple[str, ...], bool]:
  """Mesh axes of one dimension, and whether they had to be dropped."""
  names = layout.get(axis, ()) if axis is not None else ()
  if not names:
    return (), False
  if size % math.prod(mesh_shape[name] for name in names):
    return (), True
  return names, False


def _spec(
  axes: Axes,
  shape: Sequence[int],
  mesh_shape: Mapping[str, int],
  layout: Layout,
) -> tuple[PartitionSpec, list[str]]:
  """Partition of a leaf, and the logical axes that do not divide."""
  entries: list[str | tuple[str, ...] | None] = []
  dropped = []
  for axis, size in zip(axes, shape, strict=True):
    names, is_dropped = _mesh_axes(axis, size, mesh_shape, layout)
    entries.append(names[0] if len(names) == 1 else names or None)
    if is_dropped:
      dropped.append(f'{axis}={size}')
  return PartitionSpec(*entries), dropped


def _layout(name: str) -> Layout:
  if name not in LAYOUTS:
    raise ValueError(f'layout={name!r} is not one of {tuple(LAYOUTS)}')
  return LAYOUTS[name]


def _leaf_spec(
  path: tuple[object, ...],
  leaf: jax.Array | jax.ShapeDtypeStruct,
  mesh: Mesh | AbstractMesh,
  layout: str,
) -> tuple[str, PartitionSpec, list[str]]:
  name = jax.tree_util.keystr(path, simple=True, separator='/')
  axes = logical_axes(name, leaf.shape)
  spec, dropped = _spec(axes, leaf.shape, dict(mesh.shape), _layout(layout))
  return name, spec, dropped


def replicated_axes(
  tree: object, mesh: Mesh | AbstractMesh, layout: str = 'train'
) -> list[str]:
  """One line for every leaf axis that the mesh does not divide."""
  lines = []
  for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
    name, _, dropped = _leaf_spec(path, leaf, mesh, layout)
    lines += [f'{name}: {axis} is replicated' for axis in dropped]
  return lines


def tree_shardings(
  tree: TreeT, mesh: Mesh | AbstractMesh, layout: str = 'train'
) -> TreeT:
  """Shardings of a tree of parameters, gradients or optimizer moments.

  Args:
    tree: Arrays or `ShapeDtypeStruct`s whose paths end as the table says.
    mesh: From `make_mesh`.
    layout: `'train'` or `'decode'`.

  Returns:
    A tree of `NamedSharding`, of the same structure.

  Raises:
    ValueError: A leaf that is no scalar does not match exactly one rule.
  """
  for line in replicated_axes(tree, mesh, layout):
    log.warning('%s on mesh %s', line, mesh.shape)
  return jax.tree_util.tree_map_with_path(
    lambda path, leaf: NamedSharding(
      mesh, _leaf_spec(path, leaf, mesh, layout)[1]
    ),
    tree,
  )


def constrain(x: jax.Array, *axes: str | None) -> jax.Array:
  """Places an activation by logical axes on the mesh in context, if any.

  Args:
    x: An activation, one logical axis a dimension.
    *axes: `'batch'`, `'heads'`, `'ffn'`, `'vocab'`, or None where unsplit;
      `'embed'` for what lies as a parameter does. A dimension that the mesh
      does not divide is left unsplit.
  """
  if len(axes) != x.ndim:
    raise ValueError(f'shape {x.shape} needs {x.ndim} axes, not {axes}')
  layout = LAYOUTS['train']
  unknown = [a for a in axes if a is not None and a not in layout]
  if unknown:
    raise ValueError(f'unknown activation axes {unknown}')
  if not is_spread():
    return x
  mesh = jax.sharding.get_abstract_mesh()
  spec, dropped = _spec(axes, x.shape, dict(mesh.shape), layout)
  if dropped:
    _say_dropped(tuple(dropped), tuple(mesh.shape.items()))
  return jax.lax.with_sharding_constraint(x, spec)


def activation_sharding(
  shape: Sequence[int], mesh: Mesh, *axes: str | None
) -> NamedSharding:
  """Where `constrain` places an array of a shape on a mesh."""
  spec, _ = _spec(axes, shape, dict(mesh.shape), LAYOUTS['train'])
  return NamedSharding(mesh, spec)


def is_spread() -> bool:
  """Whether the mesh in context has several devices."""
  mesh = jax.sharding.get_abstract_mesh()
  return not mesh.empty and mesh.size > 1


def num_ways(axis: str) -> int:
  """Parts that an activation axis is cut into on the mesh in context."""
  mesh = jax.sharding.get_abstract_mesh()
  if mesh.empty:
    return 1
  return math.prod(mesh.shape[name] for name in _ACTIVATIONS[axis])


@functools.cache
def _say_dropped(
  dropped: tuple[str, ...], mesh_shape: tuple[tuple[str, int], ...]
) -> None:
  log.info(
    'activations: %s is not divided by the mesh %s and is replicated',
    ', '.join(dropped),
    dict(mesh_shape),
  )


def constrain_tree(tree: TreeT, layout: str = 'train') -> TreeT:
  """Places parameters by a layout on the mesh in context, if any.

  For use inside `jit`: to make parameters where they will live, or to reshard
  a copy of them for decoding.
  """
  if not is_spread():
    return tree
  mesh = jax.sharding.get_abstract_mesh()
  return jax.lax.with_sharding_constraint(
    tree, tree_shardings(tree, mesh, layout)
  )


def to_host(leaf: jax.Array | np.ndarray | np.generic) -> np.ndarray:
  """Returns a whole array on this host, gathered from all if it is spread."""
  if isinstance(leaf, jax.Array) and not leaf.is_fully_addressable:
    from jax.experimental import multihost_utils

    leaf = multihost_utils.process_allgather(leaf, tiled=True)
  return np.asarray(leaf)
