"""Preference-model training on packed trees, from lists of ids on."""

from __future__ import annotations

import jax

from benchmarks import clock
from benchmarks.ours import setting
from hh_jax.config import DataConfig, OptimizerConfig
from hh_jax.data import packing, trees
from hh_jax.models import heads, ladder
from hh_jax.models.transformer import Transformer
from hh_jax.stages import preference
from hh_jax.training import optimizer
from hh_jax.training import state as state_lib
from hh_jax.types import Packed, Params


def first_scores(
  model: Transformer, params: Params, batch: Packed
) -> list[float]:
  """Of the chosen replies of the first batch, before training."""

  @jax.jit
  def read(params: Params) -> jax.Array:
    hidden = ladder.forward(model, params, batch).hidden
    return heads.scores_at(params, hidden, batch.score_index)[:, 0]

  return read(params).tolist()


def main() -> None:
  options = clock.arguments()
  job = options.job
  model, params = setting.network(options.inputs, 'pm', job)
  lists = clock.read_lists(options.inputs / 'comparisons.npz')
  items = [
    trees.best_of_k_tree(prompt, (chosen, rejected), example_id=index)
    for index, (prompt, chosen, rejected) in enumerate(
      zip(lists['prompts'], lists['chosen'], lists['rejected'], strict=True)
    )
  ]
  size, count = job['pairs'], job['batches']
  # All batches of an epoch decide the row counts; some of them are measured.
  groups = [items[i : i + size] for i in range(0, len(items), size)]
  data = DataConfig(batch_size=size, row_length=job['row_length'])
  batches = preference.PairBatches(
    batches=tuple(map(tuple, groups)),
    num_comparisons=len(items),
    data=data,
    # As in a run so long that compiling does not count.
    row_buckets=packing.row_buckets(groups, data.row_length, rows_per_bucket=0),
    counts={},
  )
  scores = first_scores(model, params, batches(0))
  tx = optimizer.make_optimizer(
    OptimizerConfig(lr_override=job['rate']), model.config, 10**6
  )
  step = jax.jit(preference.make_pm_step(model, tx, 0.0), donate_argnums=0)
  state = state_lib.init_state(params, tx)
  losses: list[float] = []
  real = sum(tree.num_tokens for group in groups[:count] for tree in group)

  def run() -> None:
    """One pass over all batches; losses are read at its end."""
    nonlocal state
    pending: list[jax.Array] = []
    for number in range(count):
      state, metrics = step(state, batches(number))
      pending.append(metrics['pm/loss'])
    jax.block_until_ready(state)
    losses.extend(map(float, pending))

  samples = clock.seconds_of(run, job['repeats'])
  padded = sum(batches(number).tokens.size for number in range(count))
  setting.finish(
    options.out,
    units=size * count,
    samples=samples,
    checks={
      'scores': scores,
      'first_loss': losses[:1],
      'second_loss': losses[1:2],
    },
    settings=f'{setting.settings(job)}; trees in rows of '
    f'{data.row_length}, {batches.row_buckets} rows, '
    f'{padded / real:.2f} places a token',
  )


if __name__ == '__main__':
  main()
