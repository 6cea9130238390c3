"""A tiny GPT against the same one in torch; see golden/make_torch_gpt.py."""

import functools
import pathlib

import jax
import jax.numpy as jnp
import numpy as np

from hh_jax.config import ModelConfig, OptimizerConfig
from hh_jax.losses import lm
from hh_jax.models import heads, ladder, readout
from hh_jax.stages import pretrain
from hh_jax.training import optimizer
from hh_jax.training import state as state_lib

GOLDEN = np.load(pathlib.Path(__file__).parent / 'golden/torch_gpt.npz')
CONFIG = ModelConfig(
  num_layers=2, model_dim=16, num_heads=2, vocab_size=24, scan_unroll=2
)
MODEL = ladder.build(CONFIG)
OPTIMIZER = OptimizerConfig(
  lr_override=3e-3,
  beta1=0.9,
  beta2=0.95,
  eps=1e-8,
  weight_decay=0.1,
  clip_norm=1.0,
  schedule='constant',
)
KERNELS = ('query', 'key', 'value', 'out', 'up', 'down')
NORMS = ('attention_norm', 'mlp_norm')


def tree(name):
  """Torch's weights or gradients as our tree, float64."""

  def stack(part, kind):
    layers = [
      GOLDEN[f'{name}/blocks.{layer}.{part}.{kind}']
      for layer in range(CONFIG.num_layers)
    ]
    return np.stack(layers)

  def norm(part):
    return {'scale': stack(part, 'weight'), 'bias': stack(part, 'bias')}

  return {
    'embed': {'embedding': GOLDEN[f'{name}/embed.weight']},
    'blocks': {
      **{p: {'kernel': stack(p, 'weight').swapaxes(1, 2)} for p in KERNELS},
      **{part: norm(part) for part in NORMS},
    },
    'final_norm': {
      'scale': GOLDEN[f'{name}/final_norm.weight'],
      'bias': GOLDEN[f'{name}/final_norm.bias'],
    },
  }


def start():
  return jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), tree('before'))


def batch(step):
  tokens = jnp.asarray(GOLDEN['tokens'][step], jnp.int32)
  packed = ladder.rectangle(tokens, jnp.full(len(tokens), tokens.shape[1]))
  return packed.replace(loss_mask=packed.loss_mask & GOLDEN['mask'][step])


@functools.lru_cache
def trained():
  """Our ten updates: the state after them, and the metrics of each."""
  tx = optimizer.make_optimizer(OPTIMIZER, CONFIG, len(GOLDEN['tokens']))
  step = jax.jit(pretrain.make_pretrain_step(MODEL, tx))
  state, metrics = state_lib.init_state(start(), tx), []
  for t in range(len(GOLDEN['tokens'])):
    state, found = step(state, batch(t))
    metrics.append(found)
  return state, metrics


def relative_error(ours, theirs):
  """Of a whole leaf, in the Euclidean norm."""
  gap = np.asarray(ours, np.float64) - theirs
  return np.linalg.norm(gap) / np.linalg.norm(theirs)


def test_the_trees_are_the_same():
  own = ladder.init(MODEL, jax.random.key(0))
  assert jax.tree.map(np.shape, own) == jax.tree.map(np.shape, tree('before'))


def test_logits():
  params = start()
  hidden = jax.jit(ladder.forward, static_argnums=0)(
    MODEL, params, batch(0)
  ).hidden
  logits = hidden @ heads.unembed_matrix(params).T
  assert np.ptp(GOLDEN['logits']) > 5
  np.testing.assert_allclose(logits, GOLDEN['logits'], atol=1e-5, rtol=0)


def test_every_loss_and_gradient_norm():
  _, metrics = trained()
  losses = [float(found['train/loss']) for found in metrics]
  # Two units in the last place of a float32 number.
  np.testing.assert_allclose(losses[0], GOLDEN['losses'][0], rtol=2.0**-22)
  # Adam makes full steps of the rounding of a gradient near zero: 2e-6 of the
  # loss in float32 after ten of them.
  np.testing.assert_allclose(losses, GOLDEN['losses'], rtol=5e-6)
  norms = [float(found['train/grad_norm']) for found in metrics]
  assert min(norms) > OPTIMIZER.clip_norm, 'clipping must be at work'
  np.testing.assert_allclose(norms, GOLDEN['norms'], rtol=1e-4)


def test_every_gradient():
  grads = jax.jit(jax.grad(mean_loss))(start())
  errors = jax.tree.map(relative_error, grads, tree('gradient'))
  assert max(jax.tree.leaves(errors)) <= 1e-5, errors


def mean_loss(params):
  packed = batch(0)
  hidden = ladder.forward(MODEL, params, packed).hidden
  log_probs = readout.token_log_probs(MODEL, params, hidden, packed)
  sums = lm.next_token_loss(log_probs, packed.loss_mask)
  return sums.total / sums.weight


def test_the_weights_after_ten_updates():
  state, _ = trained()
  after, before = tree('after'), tree('before')
  moved = jax.tree.map(relative_error, before, after)
  assert min(jax.tree.leaves(moved)) > 1e-3, 'every leaf must have moved'
  errors = jax.tree.map(relative_error, state.params, after)
  assert max(jax.tree.leaves(errors)) <= 1e-4, errors


def test_without_decay_the_weights_would_differ():
  config = OptimizerConfig(**{**vars(OPTIMIZER), 'weight_decay': 0.0})
  tx = optimizer.make_optimizer(config, CONFIG, len(GOLDEN['tokens']))
  step = jax.jit(pretrain.make_pretrain_step(MODEL, tx))
  state = state_lib.init_state(start(), tx)
  for t in range(len(GOLDEN['tokens'])):
    state, _ = step(state, batch(t))
  errors = jax.tree.map(relative_error, state.params, tree('after'))
  assert max(jax.tree.leaves(errors)) > 2e-4
