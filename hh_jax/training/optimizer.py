"""AdamW as every stage uses it.

1. The gradient is clipped to a global norm.
2. Adam moments, then decoupled weight decay on matrices only.
3. The rate warms up linearly over `warmup_steps`, reaching the peak at the
   last of them, then stays, or falls to zero at `total_steps`. It may be halved
   every so many steps beside.
"""

from __future__ import annotations

import functools
import logging

import jax
import jax.numpy as jnp
import optax

from hh_jax.config import ModelConfig, OptimizerConfig
from hh_jax.types import Params

log = logging.getLogger(__name__)

STACKED = 'blocks'  # leaves below this name have a leading layer axis


def learning_rate(
  cfg: OptimizerConfig,
  model: ModelConfig,
  total_steps: int,
  step: int | jax.Array,
  halving_steps: int = 0,
) -> jax.Array:
  """Returns the rate of update `step` (the first is 0), [] float32."""
  done = jnp.asarray(step, jnp.float32)
  warmup = jnp.minimum((done + 1) / max(cfg.warmup_steps, 1), 1)
  num_decay = max(total_steps - cfg.warmup_steps, 1)
  progress = jnp.clip((done - cfg.warmup_steps) / num_decay, 0, 1)
  if cfg.schedule == 'linear':
    decay = 1 - progress
  elif cfg.schedule == 'cosine':
    decay = 0.5 * (1 + jnp.cos(jnp.pi * progress))
  else:
    decay = jnp.ones((), jnp.float32)
  if halving_steps:
    decay = decay * 0.5 ** jnp.floor(done / halving_steps)
  return jnp.asarray(cfg.peak_lr(model), jnp.float32) * warmup * decay


def is_matrix(params: Params) -> Params:
  """Marks the leaves that are matrices once the layer axis is set aside."""

  def mark(path: tuple[jax.tree_util.KeyEntry, ...], leaf: jax.Array) -> bool:
    names = jax.tree_util.keystr(path, simple=True, separator='/').split('/')
    return leaf.ndim - (STACKED in names) >= 2

  return jax.tree_util.tree_map_with_path(mark, params)


@functools.lru_cache(maxsize=8)
def make_optimizer(
  cfg: OptimizerConfig,
  model: ModelConfig,
  total_steps: int,
  halving_steps: int = 0,
) -> optax.GradientTransformation:
  """Builds the optimizer of a stage; the same one for the same arguments.

  Args:
    cfg: Rates, moments, decay and clipping.
    model: Its size sets the peak rate.
    total_steps: Where a decaying schedule reaches zero.
    halving_steps: Steps between two halvings of the rate; 0: none.
  """
  if total_steps <= 0:
    raise ValueError(f'total_steps={total_steps} must be positive')
  if cfg.warmup_steps > total_steps:
    log.warning(
      'optimizer.warmup_steps=%d of %d steps: the rate never reaches its peak',
      cfg.warmup_steps,
      total_steps,
    )

  def schedule(count: jax.Array) -> jax.Array:
    return learning_rate(cfg, model, total_steps, count, halving_steps)

  decay = (
    optax.add_decayed_weights(cfg.weight_decay, mask=is_matrix)
    if cfg.weight_decay
    else optax.identity()
  )
  return optax.chain(
    optax.clip_by_global_norm(cfg.clip_norm),
    optax.scale_by_adam(b1=cfg.beta1, b2=cfg.beta2, eps=cfg.eps),
    decay,
    optax.scale_by_learning_rate(schedule),
  )
