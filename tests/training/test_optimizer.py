import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from hh_jax.config import ModelConfig, OptimizerConfig
from hh_jax.training import optimizer

MODEL = ModelConfig()


def rate(step, total_steps=20, **fields):
  cfg = OptimizerConfig(lr_override=2.0, **fields)
  return float(optimizer.learning_rate(cfg, MODEL, total_steps, step))


@pytest.mark.parametrize('schedule', ['constant', 'linear', 'cosine'])
def test_warmup_reaches_the_peak_at_its_last_step(schedule):
  rates = [rate(t, warmup_steps=4, schedule=schedule) for t in range(4)]
  np.testing.assert_allclose(rates, [0.5, 1.0, 1.5, 2.0], rtol=1e-6)


def test_schedules_after_warmup():
  steps = [4, 8, 12, 20, 30]
  past = [0, 0.25, 0.5, 1, 1]
  shape = {
    'constant': [2.0] * 5,
    'linear': [2 * (1 - p) for p in past],
    'cosine': [1 + math.cos(math.pi * p) for p in past],
  }
  for schedule, expected in shape.items():
    rates = [rate(t, warmup_steps=4, schedule=schedule) for t in steps]
    np.testing.assert_allclose(rates, expected, atol=1e-6)


def test_the_rate_is_halved_every_few_steps_however_long_the_run():
  for total_steps in (20, 200):
    cfg = OptimizerConfig(lr_override=2.0, warmup_steps=2)
    rates = [
      optimizer.learning_rate(cfg, MODEL, total_steps, t, halving_steps=5)
      for t in (0, 4, 5, 9, 10, 19)
    ]
    np.testing.assert_allclose(rates, [1, 2, 1, 1, 0.5, 0.25])


def test_peak_is_a_multiple_of_the_pretraining_rate():
  cfg = OptimizerConfig(lr_multiple=0.5)
  found = optimizer.learning_rate(cfg, MODEL, 10, 0)
  np.testing.assert_allclose(found, cfg.peak_lr(MODEL), rtol=1e-6)


def params_like(value):
  def leaf(*shape):
    return jnp.full(shape, value, jnp.float32)

  return {
    'embed': {'embedding': leaf(8, 4)},
    'blocks': {
      'attn': {'q': {'kernel': leaf(2, 4, 4), 'bias': leaf(2, 4)}},
      'norm': {'scale': leaf(2, 4)},
    },
    'final_norm': {'scale': leaf(4)},
    'score_head': {'kernel': leaf(4, 1), 'bias': leaf(1)},
  }


def test_weight_decay_touches_matrices_only():
  cfg = OptimizerConfig(lr_override=0.1, weight_decay=0.5)
  tx = optimizer.make_optimizer(cfg, MODEL, 10)
  params = params_like(1.0)
  updates, _ = tx.update(params_like(0.0), tx.init(params), params)
  flat = jax.tree_util.tree_leaves_with_path(updates)
  changed = {
    jax.tree_util.keystr(path, simple=True, separator='/'): float(u.max())
    for path, u in flat
    if np.any(np.asarray(u))
  }
  assert set(changed) == {
    'embed/embedding',
    'blocks/attn/q/kernel',
    'score_head/kernel',
  }
  np.testing.assert_allclose(list(changed.values()), -0.05, rtol=1e-6)


def test_two_steps_of_adam_against_the_formula():
  cfg = OptimizerConfig(
    lr_override=0.1, beta1=0.8, beta2=0.9, eps=1e-8, clip_norm=1.0
  )
  tx = optimizer.make_optimizer(cfg, MODEL, 10)
  value = {'final_norm': {'scale': jnp.zeros(2, jnp.float32)}}
  state = tx.init(value)
  first = second = np.zeros(2)
  expected = np.zeros(2)
  for t, raw in enumerate([[3.0, 4.0], [0.3, -0.4]], start=1):
    grads = {'final_norm': {'scale': jnp.asarray(raw, jnp.float32)}}
    updates, state = tx.update(grads, state, value)
    value = optax.apply_updates(value, updates)
    clipped = np.asarray(raw) / max(np.linalg.norm(raw), 1.0)
    first = 0.8 * first + 0.2 * clipped
    second = 0.9 * second + 0.1 * clipped**2
    mean = first / (1 - 0.8**t)
    spread = np.sqrt(second / (1 - 0.9**t))
    expected -= 0.1 * mean / (spread + 1e-8)
  np.testing.assert_allclose(value['final_norm']['scale'], expected, rtol=1e-5)


def test_no_steps_are_refused():
  with pytest.raises(ValueError, match='total_steps=0'):
    optimizer.make_optimizer(OptimizerConfig(), MODEL, 0)
