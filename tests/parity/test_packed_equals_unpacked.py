"""Packed trees give the losses, scores and gradients of their branches."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hh_jax import config
from hh_jax.data import packing, trees
from hh_jax.losses import lm, preference
from hh_jax.models import heads, ladder, readout
from tests.parity import branches, cases

KINDS = ('comparison', 'best_of_k', 'conversation', 'document')
CANDIDATES = {'best_of_k': 4}
ITEMS = 12

SHAPE = {
  'num_layers': 2,
  'model_dim': 16,
  'num_heads': 2,
  'vocab_size': branches.VOCAB,
  'max_positions': 64,
  'init_std': 0.3,
}
VARIANTS = {
  'rotary': {},
  'learned': {'positions': 'learned', 'tied_embedding': False},
  'grouped': {
    'num_kv_heads': 1,
    'norm': 'rms',
    'mlp': 'swiglu',
    'parallel_residual': True,
    'vocab_multiple': 24,
  },
}


@functools.cache
def network(variant):
  """A model with a score head, wide enough in scale for its scores to vary."""
  cfg = config.ModelConfig(**SHAPE, **VARIANTS[variant])
  model = ladder.build(cfg)
  keys = jax.random.split(jax.random.key(0, impl='threefry2x32'))
  params = dict(ladder.init(model, keys[0]))
  params['score_head'] = heads.init_score_head(keys[1], cfg)
  return model, params


@functools.cache
def packed_functions(variant):
  """Jitted scores and losses of a packed batch."""
  model, _ = network(variant)

  def scores(params, packed):
    hidden = ladder.forward(model, params, packed).hidden
    return heads.scores_at(params, hidden, packed.score_index)

  def pair_loss(params, packed):
    both = scores(params, packed)
    loss = preference.pairwise_loss(
      both[:, 0], both[:, 1], packed.pair_weight, packed.pair_mask
    )
    return loss.total, loss.weight

  def lm_loss(params, packed):
    hidden = ladder.forward(model, params, packed).hidden
    log_probs = readout.token_log_probs(model, params, hidden, packed)
    loss = lm.next_token_loss(
      log_probs.reshape(-1), packed.loss_mask.reshape(-1)
    )
    return loss.total, loss.weight

  grad = functools.partial(jax.value_and_grad, has_aux=True)
  return jax.jit(scores), jax.jit(grad(pair_loss)), jax.jit(grad(lm_loss))


def pack(batch, kind, row_length=branches.ROW, buckets=(4,)):
  packed = packing.pack(
    batch,
    row_length,
    batch_size=ITEMS,
    num_candidates=CANDIDATES.get(kind, 2),
    row_buckets=buckets,
  )
  return packed, jax.tree.map(jnp.asarray, packed.packed)


def unpacked(variant, batch, kind):
  return branches.Unpacked(network(variant)[0], batch, CANDIDATES.get(kind, 2))


def assert_same_gradients(got, want):
  largest = max(float(np.abs(x).max()) for x in jax.tree.leaves(want))
  assert largest > 1e-2, 'the loss must depend on the parameters'
  flat, structure = jax.tree.flatten(got)
  assert structure == jax.tree.structure(want)
  for ours, theirs in zip(flat, jax.tree.leaves(want), strict=True):
    cases.assert_close(ours, theirs, scale=largest)


def tree_order(result):
  """Item rows of a packed batch, tree by tree."""
  real = np.flatnonzero(result.items >= 0)
  return real[np.argsort(result.items[real], kind='stable')]


@pytest.mark.parametrize('variant', VARIANTS)
@pytest.mark.parametrize('kind', ['comparison', 'best_of_k', 'conversation'])
def test_scores_and_pair_loss(kind, variant):
  batch = branches.make(kind, seed=len(kind))
  result, packed = pack(batch, kind)
  alone = unpacked(variant, batch, kind)
  assert packed.tokens.shape[0] < len(alone.places), 'packing must save rows'
  _, params = network(variant)
  scores, pair_loss, _ = packed_functions(variant)
  got = np.asarray(scores(params, packed))
  want = np.asarray(jax.jit(alone.scores)(params))
  assert want.std() > 0.1, 'scores must differ'
  cases.assert_close(got[tree_order(result)], want)
  assert (np.asarray(packed.pair_mask).sum(), got.shape[0]) == (
    len(want),
    ITEMS,
  )
  if kind == 'best_of_k':
    return
  (total, weight), grad = pair_loss(params, packed)
  value, alone_grad = jax.jit(jax.value_and_grad(alone.pair_loss))(params)
  cases.assert_close(total, value, scale=float(value))
  cases.assert_close(total, alone.pair_loss_by_loops(params), scale=value)
  assert float(weight) == len(want)
  assert_same_gradients(grad, alone_grad)


@pytest.mark.parametrize('variant', VARIANTS)
@pytest.mark.parametrize('kind', KINDS)
def test_language_model_loss(kind, variant):
  batch = branches.make(kind, seed=10 + len(kind))
  _, packed = pack(batch, kind)
  alone = unpacked(variant, batch, kind)
  _, params = network(variant)
  (total, weight), grad = packed_functions(variant)[2](params, packed)
  value, alone_grad = jax.jit(jax.value_and_grad(alone.lm_loss))(params)
  assert float(weight) == alone.targets.sum() > 0
  cases.assert_close(total, value, scale=float(value))
  if 'score_head' in grad:
    assert all((x == 0).all() for x in jax.tree.leaves(grad['score_head']))
  assert_same_gradients(grad, alone_grad)


def test_the_order_of_trees_changes_no_score():
  batch = branches.make('comparison', seed=21)
  _, params = network('rotary')
  scores = packed_functions('rotary')[0]
  by_example = []
  for order in (range(5), (3, 1, 4, 0, 2)):
    result, packed = pack([batch[i] for i in order], 'comparison')
    rows = np.asarray(scores(params, packed))[tree_order(result)]
    by_example.append(
      {batch[i].example_id: row for i, row in zip(order, rows, strict=True)}
    )
  for example, row in by_example[0].items():
    cases.assert_close(by_example[1][example], row)


@pytest.mark.parametrize('kind', ['comparison', 'best_of_k', 'conversation'])
def test_trees_longer_than_a_row_are_split_by_leaves(kind):
  batch = branches.make(kind, seed=31 + len(kind))
  longest = max(
    t.longest_path() if callable(t.longest_path) else t.longest_path
    for t in batch
  )
  assert max(sum(len(s.tokens) for s in t.segments) for t in batch) > longest
  result, packed = pack(batch, kind, row_length=longest, buckets=(16,))
  _, params = network('rotary')
  scores, _, lm_loss = packed_functions('rotary')
  alone = unpacked('rotary', batch, kind)
  got = np.asarray(scores(params, packed))[tree_order(result)]
  cases.assert_close(got, jax.jit(alone.scores)(params))
  (total, weight), grad = lm_loss(params, packed)
  value, alone_grad = jax.jit(jax.value_and_grad(alone.lm_loss))(params)
  assert float(weight) == alone.targets.sum(), 'a repeated prefix counts once'
  cases.assert_close(total, value, scale=float(value))
  assert_same_gradients(grad, alone_grad)


def test_intervals_are_what_keeps_branches_apart():
  batch = branches.make('comparison', seed=41)
  result, packed = pack(batch, 'comparison')
  _, params = network('rotary')
  scores = packed_functions('rotary')[0]
  right = np.asarray(scores(params, packed))[tree_order(result)]
  blind = packed.replace(
    enter=jnp.zeros_like(packed.enter), leave=jnp.ones_like(packed.leave)
  )
  wrong = np.asarray(scores(params, blind))[tree_order(result)]
  assert np.abs(right - wrong).max() > 1e-2
  column = jnp.arange(packed.tokens.shape[1], dtype=jnp.int32)
  moved = packed.replace(
    positions=jnp.broadcast_to(column, packed.tokens.shape)
  )
  shifted = np.asarray(scores(params, moved))[tree_order(result)]
  assert np.abs(right - shifted).max() > 1e-3, 'the second reply is further on'


def test_the_parent_table_is_what_finds_the_token_before():
  batch = branches.make('comparison', seed=51)
  _, packed = pack(batch, 'comparison')
  # Targets at the start of a reply follow the prompt, not the row: make the
  # second reply the target, so that the two differ.
  batch = [
    trees.Tree(
      tuple(
        trees.Segment(s.tokens, s.parent, i == 3)
        for i, s in enumerate(t.segments)
      ),
      t.scored,
      t.weight,
      t.example_id,
    )
    for t in batch
  ]
  _, packed = pack(batch, 'comparison')
  _, params = network('rotary')
  lm_loss = packed_functions('rotary')[2]
  (total, _), _ = lm_loss(params, packed)
  value = jax.jit(unpacked('rotary', batch, 'comparison').lm_loss)(params)
  cases.assert_close(total, value, scale=float(value))
  column = jnp.arange(packed.tokens.shape[1], dtype=jnp.int32)
  before = jnp.broadcast_to(column - 1, packed.tokens.shape)
  (wrong, _), _ = lm_loss(params, packed.replace(parent=before))
  assert abs(float(wrong) - float(value)) > 0.1


def test_padding_changes_nothing():
  batch = branches.make('conversation', seed=61)
  _, params = network('rotary')
  _, pair_loss, lm_loss = packed_functions('rotary')
  _, small = pack(batch, 'conversation')
  _, large = pack(batch, 'conversation', row_length=48, buckets=(6,))
  assert large.tokens.size > small.tokens.size
  for loss in (pair_loss, lm_loss):
    (first, first_weight), first_grad = loss(params, small)
    (second, second_weight), second_grad = loss(params, large)
    assert float(first_weight) == float(second_weight)
    cases.assert_close(first, second, scale=float(first))
    assert_same_gradients(first_grad, second_grad)


def test_an_all_padding_batch_has_no_loss_and_finite_gradients():
  batch = branches.make('document', seed=71, count=1)
  result, packed = pack(batch, 'document')
  _, params = network('rotary')
  (total, weight), grad = packed_functions('rotary')[1](params, packed)
  assert (result.items == -1).all()
  assert float(total) == float(weight) == 0
  assert all((np.asarray(x) == 0).all() for x in jax.tree.leaves(grad))
