"""NaN and infinity at five places of every update: nothing is lost.

A poisoned update leaves parameters and optimizer bit for bit as they were and
says which numbers were not finite. The poison is an argument of one compiled
step, added to what the library's functions return.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hh_jax.config import OptimizerConfig
from hh_jax.data import packing, trees
from hh_jax.losses import distillation, lm, ppo, preference
from hh_jax.models import heads, ladder, readout
from hh_jax.ops import logprobs
from hh_jax.stages import distill as distill_lib
from hh_jax.stages import ppo_step, pretrain
from hh_jax.stages import preference as preference_stage
from hh_jax.training import metrics as metrics_lib
from hh_jax.training import optimizer, soundness
from hh_jax.training import state as state_lib
from tests.stages import test_distill, test_ppo_step, toys

PLACES = ('parameters', 'hidden', 'readout', 'loss', 'gradient')
POISONS = (np.nan, np.inf, -np.inf)
TX = optimizer.make_optimizer(
  OptimizerConfig(lr_override=1e-2), toys.MODEL.config, 10
)
READOUTS = (
  (heads, 'scores_at'),
  (readout, 'token_log_probs'),
  (readout, 'reply_log_probs'),
  (logprobs, 'log_probs_at'),
)
LOSSES = (
  (lm, 'next_token_loss'),
  (preference, 'pairwise_loss'),
  (distillation, 'bucketed_kl'),
  (ppo, 'clipped_policy_loss'),
  (ppo, 'clipped_value_loss'),
)


def add(tree, poison):
  return jax.tree.map(lambda x: x + poison.astype(x.dtype), tree)


def poison_everything(monkeypatch, held):
  """Makes the library's functions add `held[place]` to what they return."""
  forward, gradients = ladder.forward, state_lib.gradient_sums

  def poisoned_forward(model, params, packed):
    output = forward(model, add(params, held['parameters']), packed)
    return output.replace(hidden=add(output.hidden, held['hidden']))

  def poisoned_gradients(*args):
    grads, sums = gradients(*args)
    return add(grads, held['gradient']), sums

  def poisoned(function, place):
    def call(*args, **kwargs):
      found = function(*args, **kwargs)
      if place == 'loss':
        return dataclasses.replace(found, total=add(found.total, held[place]))
      return add(found, held[place])

    return call

  monkeypatch.setattr(ladder, 'forward', poisoned_forward)
  monkeypatch.setattr(state_lib, 'gradient_sums', poisoned_gradients)
  for place, functions in (('readout', READOUTS), ('loss', LOSSES)):
    for module, name in functions:
      function = poisoned(getattr(module, name), place)
      monkeypatch.setattr(module, name, function)


def on_device(batch):
  return jax.tree.map(jnp.asarray, batch)


def document_batch():
  rng = np.random.default_rng(0)
  items = [trees.document_tree(toys.draw_ids(rng, 5, 9)) for _ in range(3)]
  return on_device(packing.pack(items, 16, batch_size=3).packed)


def comparison_batch():
  items = [
    trees.comparison_tree(toys.TOKENIZER, comparison)
    for comparison in toys.comparisons(2, 1)
  ]
  return on_device(packing.pack(items, 64, batch_size=3).packed)


def pretrain_case():
  step = pretrain.make_pretrain_step(toys.MODEL, TX)
  return step, toys.params(), (document_batch(),)


def distill_case():
  model = toys.MODEL
  step = distill_lib.make_distill_step(model, model, TX, 8)
  batch = on_device(test_distill.make_batch(test_distill.draw_sequences()))
  return step, toys.params(), (toys.params(1), batch)


def pm_case(lm_coef=0.0):
  step = preference_stage.make_pm_step(toys.MODEL, TX, lm_coef)
  return step, toys.pm_params(), (comparison_batch(),)


def rlhf_case():
  config, networks = test_ppo_step.CONFIG, test_ppo_step.NETWORKS
  step = ppo_step.make_update(config, networks, ppo_optimizer())
  _, goal, _ = test_ppo_step.make_goal()
  batch = on_device(test_ppo_step.pack((4, 1, 3), 3))
  return step, test_ppo_step.networks()[0], (batch, goal)


def ppo_optimizer():
  return ppo_step.make_ppo_optimizer(
    test_ppo_step.CONFIG, test_ppo_step.NETWORKS
  )


CASES = {
  'pretrain': pretrain_case,
  'distill': distill_case,
  'pmp': functools.partial(pm_case, lm_coef=1.0),
  'pm': pm_case,
  'rlhf': rlhf_case,
}


@pytest.mark.slow
@pytest.mark.parametrize('stage', CASES)
def test_a_poisoned_update_changes_nothing_and_is_named(stage, monkeypatch):
  step, params, batch = CASES[stage]()
  tx = ppo_optimizer() if stage == 'rlhf' else TX
  held = {}
  poison_everything(monkeypatch, held)

  @jax.jit
  def poisoned_step(state, poison):
    held.update(zip(PLACES, poison, strict=True))
    return step(state, *batch)

  state = state_lib.init_state(params, tx)
  clean, metrics = poisoned_step(state, jnp.zeros(len(PLACES)))
  row = metrics_lib.to_numbers(metrics)
  assert not soundness.faults(row)
  assert row['train/skipped'] == 0
  assert state_lib.state_sha256(clean.params) != state_lib.state_sha256(params)
  for number, place in enumerate(PLACES):
    for poison in POISONS:
      vector = jnp.zeros(len(PLACES)).at[number].set(poison)
      after, metrics = poisoned_step(state, vector)
      row = metrics_lib.to_numbers(metrics)
      assert row['train/skipped'] == 1, (place, poison)
      assert soundness.faults(row), (place, poison)
      for name in ('params', 'opt_state'):
        assert state_lib.state_sha256(
          getattr(after, name)
        ) == state_lib.state_sha256(getattr(state, name)), (place, poison)


@pytest.mark.slow
@pytest.mark.parametrize(
  'table', ['log_probs', 'values', 'advantages', 'returns']
)
def test_a_poisoned_rollout_table_changes_nothing(table):
  step, state = test_ppo_step.make_update()
  _, goal, _ = test_ppo_step.make_goal()
  poisoned = getattr(goal, table).at[4, 0].set(np.nan)
  batch = test_ppo_step.pack((4, 1, 3), 3)
  after, metrics = step(state, batch, goal.replace(**{table: poisoned}))
  assert metrics['train/skipped'] == 1
  assert state_lib.state_sha256(after.params) == state_lib.state_sha256(
    state.params
  )
