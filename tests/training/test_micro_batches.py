"""Packed batches in parts: the sums of the parts are those of the whole.

The losses are the stages' own, taken where a step hands them over.
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from hh_jax.data import packing, trees
from hh_jax.stages import ppo_step, preference, pretrain
from hh_jax.training import state as state_lib
from tests.stages import toys, updates

pytestmark = pytest.mark.slow

TX = optax.sgd(1.0)


def handed_over(monkeypatch, step, params, *batch):
  """The loss and the batch that a step gives to `loss_step`."""
  held = []

  def take(loss_fn, state, batch, tx):
    held.append((loss_fn, batch))
    return state, {}

  with monkeypatch.context() as patch:
    patch.setattr(state_lib, 'loss_step', take)
    step(state_lib.init_state(params, TX), *batch)
  return held[0]


def pretrain_case():
  """A step, parameters, batches of some examples, and their weight."""
  step = pretrain.make_pretrain_step(toys.MODEL, TX)

  def batch_of(which):
    return (updates.documents(which),)

  return step, toys.params(), batch_of, lambda batch: batch.loss_mask.sum()


def pm_case():
  step = preference.make_pm_step(toys.MODEL, TX, lm_coef=1.0)
  items = [
    trees.comparison_tree(toys.TOKENIZER, comparison)
    for comparison in toys.comparisons(5, 3)
  ]

  def batch_of(which):
    chosen = [items[i] for i in which if i != 6]  # one part misses a pair
    packed = packing.pack(
      chosen, 64, batch_size=len(which), row_buckets=(len(which),)
    ).packed
    return (updates.on_device(packed),)

  return step, toys.pm_params(), batch_of, lambda batch: batch.pair_mask.sum()


def rlhf_case():
  networks = ppo_step.Networks(*[toys.MODEL] * 3)
  step = ppo_step.make_update(updates.CONFIG, networks, TX)
  params = updates.networks(toys.MODEL)
  goal = updates.targets(toys.MODEL, params['policy'])

  def batch_of(which):
    return updates.reply_batch(which), goal

  return step, params, batch_of, lambda batch: batch[1].mask.sum()


CASES = {'pretrain': pretrain_case, 'pm': pm_case, 'rlhf': rlhf_case}


def relative(ours, theirs):
  gap = np.linalg.norm(np.float64(ours) - np.float64(theirs))
  return gap / max(np.linalg.norm(theirs), 1e-12)


@pytest.mark.parametrize('stage', CASES)
def test_parts_of_a_packed_batch_add_up(stage, monkeypatch):
  step, params, batch_of, weight_of = CASES[stage]()
  loss_fn, whole = handed_over(monkeypatch, step, params, *batch_of(range(8)))
  parts = [
    handed_over(monkeypatch, step, params, *batch_of(which))[1]
    for which in (range(4), range(4, 8))
  ]
  weights = [int(weight_of(part)) for part in parts]
  assert weights[0] != weights[1], 'a mean of means would pass'
  assert sum(weights) == weight_of(whole)
  stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *parts)
  sums = updates.quick_jit(
    state_lib.gradient_sums, static_argnames=('loss_fn', 'micro_batches')
  )
  found = sums(loss_fn, params, whole)
  in_parts = sums(loss_fn, params, stacked, micro_batches=2)
  for ours, theirs in zip(
    jax.tree.leaves(in_parts), jax.tree.leaves(found), strict=True
  ):
    assert relative(ours, theirs) <= 1e-6
