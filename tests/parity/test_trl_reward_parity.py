"""A batch of comparisons as TRL's RewardTrainer reads it, and as token trees.

TRL pads chosen and rejected to one rectangle and reads the prompt twice; here
it is read once. Golden file: golden/make_trl_reward.py.
"""

import dataclasses
import functools
import pathlib

import jax
import jax.numpy as jnp
import numpy as np

from hh_jax.data import packing, trees
from hh_jax.losses import preference
from hh_jax.models import heads, ladder, public_weights
from tests.parity.trl_rollout import MODEL as UNTIED

# A reward model has no output matrix of its own.
CONFIG = dataclasses.replace(UNTIED, tied_embedding=True)
MODEL = ladder.build(CONFIG)
ROW = 32


@functools.lru_cache
def golden():
  return dict(np.load(pathlib.Path(__file__).parent / 'golden/trl_reward.npz'))


def tree_of(kind):
  """The network or its gradients in our layout."""
  start = f'{kind}/'
  tensors = {
    key.removeprefix(start): tensor
    for key, tensor in golden().items()
    if key.startswith(start)
  }
  return public_weights.from_public('gpt_neox', CONFIG, tensors)


def batch():
  items = [
    trees.best_of_k_tree(prompt, (chosen, rejected), example_id=number)
    for number, (prompt, chosen, rejected) in enumerate(
      [ids[ids > 0] for ids in triple] for triple in golden()['ids']
    )
  ]
  return packing.pack(items, ROW, batch_size=len(items)).packed


def loss_of(params, packed):
  hidden = ladder.forward(MODEL, params, packed).hidden
  scores = heads.scores_at(params, hidden, packed.score_index)
  loss = preference.pairwise_loss(
    scores[:, 0], scores[:, 1], packed.pair_weight, packed.pair_mask
  )
  return loss.total / loss.weight, loss


@functools.lru_cache
def ours():
  params = jax.tree.map(jnp.asarray, tree_of('model'))
  return jax.jit(jax.value_and_grad(loss_of, has_aux=True))(params, batch())


def test_loss_accuracy_and_margin():
  (mean, loss), _ = ours()
  said = golden()
  assert abs(float(mean) - said['loss']) <= 1e-6
  assert 0.5 < said['metric/accuracy'] < 1, 'one pair is judged wrong'
  for name, metric in (('accuracy', 'pm/accuracy'), ('margin', 'pm/margin')):
    total, weight = np.asarray(loss.metrics[metric])
    np.testing.assert_allclose(
      total / weight, said[f'metric/{name}'], atol=1e-5
    )


def test_every_gradient():
  _, grads = ours()
  theirs = tree_of('grad')
  for tree in (grads, theirs):  # no comparison sees the head's bias
    assert not np.asarray(tree['score_head'].pop('bias')).any()

  # Both replies end in the same norm, whose bias cancels in the margin.
  for tree in (grads, theirs):
    assert np.abs(tree['final_norm'].pop('bias')).max() < 1e-7

  def error(ours, theirs):
    gap = np.linalg.norm(np.asarray(ours, np.float64) - theirs)
    return gap / np.linalg.norm(theirs)

  assert min(map(np.linalg.norm, jax.tree.leaves(theirs))) > 1e-4
  errors = jax.tree.map(error, grads, theirs)
  assert max(jax.tree.leaves(errors)) <= 1e-5, errors


def test_trees_hold_fewer_tokens():
  packed = batch()
  in_trees = int((np.asarray(packed.example_id) >= 0).sum())
  ids = golden()['ids']
  padded = (
    2
    * len(ids)
    * max(
      (ids[:, 0] > 0).sum(1).max() + (ids[:, c] > 0).sum(1).max() + 1
      for c in (1, 2)
    )
  )
  assert in_trees < padded / 1.5
