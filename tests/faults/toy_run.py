"""A small training run that can be killed: python toy_run.py WORKDIR STEPS.

A linear model learns from batches that are functions of (seed, step), with a
running statistic and an evaluation hook, as a real stage has.
"""

import sys
import time

import jax
import jax.numpy as jnp

from hh_jax.config import LoopConfig, ModelConfig, OptimizerConfig
from hh_jax.training import console, keys, loop, optimizer
from hh_jax.training import state as state_lib
from hh_jax.types import LossSum

WIDTH = 4
FINGERPRINT = {'stage': 'toy', 'seed': 5}


def make_batch(step):
  key = keys.fold(5, 'toy', 'batch', step)
  points = jax.random.normal(key, (8, WIDTH))
  return points, jnp.sin(points).sum(-1)


def squared_error(params, batch):
  points, wanted = batch
  errors = jnp.square(points @ params['w'] + params['b'] - wanted)
  return LossSum(total=errors.sum(), weight=jnp.float32(8), metrics={})


def make_state(tx):
  params = {'w': jnp.zeros(WIDTH, jnp.float32), 'b': jnp.float32(0)}
  return state_lib.init_state(params, tx, {'mean_loss': jnp.float32(0)})


def run(workdir, total_steps, checkpoint_every=3, pause=0.0, before=None):
  """Runs to the end; `before(step)` may raise to play a crash."""
  tx = optimizer.make_optimizer(
    OptimizerConfig(lr_override=0.05, schedule='cosine', warmup_steps=3),
    ModelConfig(),
    40,
  )

  def step(state, batch):
    state, metrics = state_lib.loss_step(squared_error, state, batch, tx)
    mean = 0.9 * state.stats['mean_loss'] + 0.1 * metrics['train/loss']
    return state.replace(stats={'mean_loss': mean}), metrics

  jitted = jax.jit(step, donate_argnums=0)

  def advance(state, number):
    if before is not None:
      before(number)
    time.sleep(pause)
    return jitted(state, make_batch(number))

  def evaluate(state, done):
    if done % 4:
      return None
    return {'eval/mean_loss': state.stats['mean_loss']}

  return loop.run_loop(
    workdir,
    state=make_state(tx),
    advance=advance,
    total_steps=total_steps,
    fingerprint=FINGERPRINT,
    loop=LoopConfig(checkpoint_every=checkpoint_every, keep_checkpoints=2),
    stage='toy',
    hooks=loop.Hooks(on_step=evaluate),
  )


if __name__ == '__main__':
  console.show_log()
  run(sys.argv[1], int(sys.argv[2]), pause=0.02)
