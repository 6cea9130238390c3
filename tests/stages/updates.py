"""One real optimizer step of pretraining and of PPO on made-up batches.

Nothing is sampled: prompts, replies and targets are drawn at random. There is
one example a row, so that batches can be divided over devices and into parts.
"""

import jax
import jax.numpy as jnp
import numpy as np

from hh_jax import sharding
from hh_jax.config import (
  DataConfig,
  OptimizerConfig,
  RLHFConfig,
  SamplingConfig,
)
from hh_jax.data import packing, trees
from hh_jax.models import heads, ladder, readout
from hh_jax.stages import ppo_step, pretrain, rollout, session
from hh_jax.training import optimizer
from hh_jax.training import state as state_lib
from tests.stages import toys

NUM, ROW, REPLY = 8, 16, 6
# Less than half the time to compile, for what runs once.
QUICK = {'xla_backend_optimization_level': 0}
OPTIMIZER = OptimizerConfig(lr_override=1e-2, weight_decay=0.1)
CONFIG = RLHFConfig(
  data=DataConfig(batch_size=NUM, row_length=ROW),
  sampling=SamplingConfig(max_new_tokens=REPLY),
  optimizer=OPTIMIZER,
)


def quick_jit(function, **kwargs):
  return jax.jit(function, compiler_options=QUICK, **kwargs)


def on_device(tree):
  return jax.tree.map(jnp.asarray, tree)


def documents(which=range(NUM)):
  """Random documents of 9 tokens and more, packed."""
  rng = np.random.default_rng(0)
  items = [
    trees.document_tree(rng.integers(3, 64, 9 + n % 6)) for n in range(NUM)
  ]
  chosen = [items[i] for i in which]
  return on_device(packing.pack(chosen, ROW, batch_size=len(chosen)).packed)


def replies():
  """Replies of different length, none of them ended."""
  rng = np.random.default_rng(1)
  counts = rng.integers(3, REPLY + 1, NUM).astype(np.int32)
  tokens = rng.integers(3, 64, (NUM, REPLY)).astype(np.int32)
  return rollout.Replies(
    prompts=tuple(rng.integers(3, 64, 9).astype(np.int32) for _ in range(NUM)),
    tokens=np.where(np.arange(REPLY) < counts[:, None], tokens, 0),
    num_tokens=counts,
    log_probs=np.zeros((NUM, REPLY), np.float32),
    has_eot=np.zeros(NUM, bool),
  )


def reply_batch(which=range(NUM)):
  packed = rollout.pack_replies(
    replies(), which, toys.TOKENIZER, ROW, len(which)
  )
  return on_device(packed)


def networks(model):
  """Parameters of a policy and of a value network."""
  value = ladder.init(model, jax.random.key(1))
  head = heads.init_score_head(jax.random.key(2), model.config)
  return {
    'policy': ladder.init(model, jax.random.key(0)),
    'value': {**value, 'score_head': head},
  }


def targets(model, policy):
  """Of a policy that has moved a little since it sampled."""
  rng = np.random.default_rng(2)
  moved, values, advantages, returns = jnp.asarray(
    rng.normal(size=(4, NUM, REPLY)), jnp.float32
  )
  return ppo_step.Targets(
    mask=jnp.asarray(replies().mask),
    log_probs=log_probs(model, policy) + 0.2 * moved,
    values=values,
    advantages=advantages,
    returns=returns,
  )


def log_probs(model, policy):
  @quick_jit
  def read(policy, batch):
    hidden = ladder.forward(model, policy, batch.packed).hidden
    return readout.reply_log_probs(
      model, policy, hidden, batch.packed, batch.reply_index, 1.0
    )[0]

  return read(policy, reply_batch())


def pretrain_case(model):
  """A step, what builds its state, and the rest of its arguments."""
  tx = optimizer.make_optimizer(OPTIMIZER, model.config, 10)
  params = ladder.init(model, jax.random.key(0))
  step = pretrain.make_pretrain_step(model, tx)
  return step, lambda: state_lib.init_state(params, tx), (documents(),)


def ppo_case(model, config=CONFIG):
  """As `pretrain_case`."""
  shapes, params = ppo_step.Networks(model, model, model), networks(model)
  tx = ppo_step.make_ppo_optimizer(config, shapes)
  step = ppo_step.make_update(config, shapes, tx)
  batch = reply_batch(), targets(model, params['policy'])
  return step, lambda: state_lib.init_state(params, tx), batch


def leaves_after(case, mesh=None):
  """Parameters and Adam's moments after one step, {path: array}.

  The first moment is a multiple of the clipped gradient.
  """
  step, make_state, batch = case
  state = make_state() if mesh is None else session.place(make_state(), mesh)
  state, metrics = quick_jit(step)(state, *batch)
  assert metrics['train/skipped'] == 0
  trees_by_name = {'params': state.params, 'opt_state': state.opt_state}
  found = state_lib.leaves_by_path(trees_by_name)
  return {path: sharding.to_host(leaf) for path, leaf in found.items()}


def distances(ours, theirs):
  """Relative L2 of every leaf that is not a counter."""
  return {
    path: float(
      np.linalg.norm(np.float64(ours[path]) - leaf)
      / max(np.linalg.norm(leaf), 1e-12)
    )
    for path, leaf in theirs.items()
    if leaf.dtype == np.float32
  }
