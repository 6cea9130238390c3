"""The state of a run, its hash, and one update of it.

1. A loss returns sums. Micro-batches are scanned and their sums added.
2. The gradient of the summed loss is divided once, by the global weight.
3. An update whose loss, gradient or metrics are not finite, or whose batch
   weighs nothing, leaves parameters and optimizer bit for bit as they were;
   only the step counts on, because it names the next batch.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import PyTree

from hh_jax import sharding
from hh_jax.types import LossSum, Metrics, Packed, Params, RunState

BatchT = TypeVar('BatchT')
TreeT = TypeVar('TreeT')
LossFn = Callable[[Params, BatchT], LossSum]
Step = Callable[[RunState, Packed], tuple[RunState, Metrics]]


def init_state(
  params: Params,
  tx: optax.GradientTransformation,
  stats: Metrics | None = None,
) -> RunState:
  """Returns the state before the first update.

  Steps donate their state. Parameters that live on elsewhere, as a reference
  policy does, must be copied first.
  """
  return RunState(
    step=jnp.zeros((), jnp.int32),
    params=params,
    opt_state=tx.init(params),
    stats=dict(stats or {}),
  )


def leaves_by_path(tree: PyTree) -> dict[str, Any]:
  """Returns the leaves under their 'a/b/c' paths, sorted by path."""
  paths = _paths(tree)
  if len(set(paths)) != len(paths):
    raise ValueError('two leaves share one path; rename keys holding a slash')
  return dict(sorted(zip(paths, jax.tree.leaves(tree), strict=True)))


def replace_leaves(tree: TreeT, leaves: Mapping[str, Any]) -> TreeT:
  """Returns the tree with other leaves, given by path."""
  structure = jax.tree.structure(tree)
  return jax.tree.unflatten(structure, [leaves[p] for p in _paths(tree)])


def _paths(tree: PyTree) -> list[str]:
  flat, _ = jax.tree_util.tree_flatten_with_path(tree)
  return [
    jax.tree_util.keystr(path, simple=True, separator='/') for path, _ in flat
  ]


def state_sha256(state: PyTree) -> str:
  """Hashes what a state holds, whatever its layout, mesh or insertion order.

  SHA-256 over (path, dtype, shape, little-endian bytes) of the leaves in the
  order of their paths. With several processes all of them must call this.
  """
  digest = hashlib.sha256()
  for path, leaf in leaves_by_path(state).items():
    array = sharding.to_host(leaf)
    header = [path, array.dtype.name, list(array.shape)]
    digest.update(json.dumps(header).encode() + b'\n')
    order = array.dtype.byteorder
    if order == '>' or (order == '=' and sys.byteorder == 'big'):
      array = array.byteswap()
    digest.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
  return digest.hexdigest()


def safe_divide(total: jax.Array, weight: jax.Array) -> jax.Array:
  """Returns total / weight, and 0 where nothing was weighed."""
  has_weight = weight > 0
  quotient = total / jnp.where(has_weight, weight, jnp.ones_like(weight))
  return jnp.where(has_weight, quotient, jnp.zeros_like(quotient))


def finalise(metrics: Metrics) -> Metrics:
  """Divides metric sums by their weights: {name: [2]} to {name: []}."""
  return {name: safe_divide(pair[0], pair[1]) for name, pair in metrics.items()}


def apply_gradients(
  state: RunState,
  grads: Params,
  tx: optax.GradientTransformation,
  is_sound: bool | jax.Array = True,
) -> RunState:
  """Applies one optimizer update and counts it.

  Args:
    state: Before the update.
    grads: Of the mean loss, as `state.params`.
    tx: The optimizer.
    is_sound: [] bool; False keeps parameters and optimizer bit for bit.
  """
  updates, opt_state = tx.update(grads, state.opt_state, state.params)
  params = optax.apply_updates(state.params, updates)
  keep = jnp.asarray(is_sound)
  params, opt_state = jax.tree.map(
    lambda new, old: jnp.where(keep, new, old),
    (params, opt_state),
    (state.params, state.opt_state),
  )
  return RunState(
    step=state.step + 1,
    params=params,
    opt_state=opt_state,
    stats=state.stats,
  )


def gradient_sums(
  loss_fn: LossFn[BatchT],
  params: Params,
  batch: BatchT,
  micro_batches: int = 1,
) -> tuple[Params, LossSum]:
  """Returns the gradient of the summed loss, and the sums.

  Args:
    loss_fn: Sums over a batch; sums of parts add up to the sum of the whole.
    params: What is differentiated.
    batch: Tree of arrays; with several micro-batches every leaf has them as
      its leading axis.
    micro_batches: Parts computed one after another.
  """

  def differentiate(part: BatchT) -> tuple[Params, tuple[Any, ...]]:
    def total(params: Params) -> tuple[jax.Array, tuple[Any, ...]]:
      sums = loss_fn(params, part)
      return sums.total, (sums.total, sums.weight, sums.metrics)

    return jax.grad(total, has_aux=True)(params)

  if micro_batches == 1:
    grads, sums = differentiate(batch)
    return grads, LossSum(*sums)
  lengths = {leaf.shape[:1] for leaf in jax.tree.leaves(batch)}
  if lengths != {(micro_batches,)}:
    raise ValueError(
      f'micro_batches={micro_batches} but leading axes of the batch are '
      f'{sorted(lengths)}; stack the parts along a new first axis'
    )

  def add(carry: PyTree, part: BatchT) -> tuple[PyTree, None]:
    return jax.tree.map(jnp.add, carry, differentiate(part)), None

  first = jax.tree.map(lambda leaf: leaf[0], batch)
  shapes = jax.eval_shape(differentiate, first)
  zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
  (grads, sums), _ = jax.lax.scan(add, zeros, batch)
  return grads, LossSum(*sums)


def loss_step(
  loss_fn: LossFn[BatchT],
  state: RunState,
  batch: BatchT,
  tx: optax.GradientTransformation,
  *,
  micro_batches: int = 1,
) -> tuple[RunState, Metrics]:
  """One update on one batch; pure, to be jitted with the state donated.

  Args:
    loss_fn: (params, batch) to sums.
    state: Before the update.
    batch: See `gradient_sums`.
    tx: The optimizer.
    micro_batches: Parts of the batch, computed one after another.

  Returns:
    The next state, and metrics: those of the loss as means, with
    `train/loss` (mean), `train/weight` (its denominator), `train/grad_norm`
    (before clipping) and `train/skipped` (1 if the update was not applied).
  """
  grads, sums = gradient_sums(loss_fn, state.params, batch, micro_batches)
  grads = jax.tree.map(
    lambda g: safe_divide(g, sums.weight.astype(g.dtype)), grads
  )
  loss = safe_divide(sums.total, sums.weight)
  metric_sums = sums.metrics.values()
  grad_norm = optax.tree.norm(grads)
  seen = jnp.stack([sums.total, grad_norm, *map(jnp.sum, metric_sums)])
  is_sound = jnp.all(jnp.isfinite(seen)) & (sums.weight > 0)
  metrics = finalise(sums.metrics)
  metrics |= {
    'train/loss': loss,
    'train/weight': sums.weight,
    'train/grad_norm': grad_norm,
    'train/skipped': 1 - is_sound.astype(jnp.float32),
  }
  return apply_gradients(state, grads, tx, is_sound), metrics
