"""One step of language-model training on rows of text."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import clock
from benchmarks.ours import setting
from hh_jax.config import OptimizerConfig
from hh_jax.models import ladder, readout
from hh_jax.models.transformer import Transformer
from hh_jax.stages import pretrain
from hh_jax.training import optimizer
from hh_jax.training import state as state_lib
from hh_jax.types import Packed, Params


def first_log_probs(
  model: Transformer, params: Params, batch: Packed
) -> list[float]:
  """Of the tokens of the first row, before training."""

  @jax.jit
  def read(params: Params) -> jax.Array:
    hidden = ladder.forward(model, params, batch).hidden
    return readout.token_log_probs(model, params, hidden, batch)[0, 1:]

  return read(params).tolist()


def main() -> None:
  options = clock.arguments()
  job = options.job
  model, params = setting.network(options.inputs, 'policy', job)
  text = np.load(options.inputs / 'text.npy')[: job['rows']]
  batch = ladder.rectangle(
    jnp.asarray(text), jnp.full(len(text), text.shape[1], jnp.int32)
  )
  tx = optimizer.make_optimizer(
    OptimizerConfig(lr_override=job['rate'], weight_decay=0.01),
    model.config,
    10**6,
  )
  log_probs = first_log_probs(model, params, batch)
  step = jax.jit(pretrain.make_pretrain_step(model, tx), donate_argnums=0)
  state = state_lib.init_state(params, tx)
  losses = []

  def run() -> None:
    nonlocal state
    state, metrics = step(state, batch)
    jax.block_until_ready(state)
    losses.append(float(metrics['lm/loss']))

  samples = clock.seconds_of(run, job['repeats'])
  setting.finish(
    options.out,
    units=text.size,
    samples=samples,
    checks={'log_probs': log_probs, 'losses': losses[:3]},
    settings=setting.settings(job),
  )


if __name__ == '__main__':
  main()
