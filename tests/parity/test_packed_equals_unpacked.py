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
from tests.parity import branches, cases, oracles

KINDS = ('comparison', 'best_of_k', 'conversation', 'document')
PAIR_LOSS, LM_LOSS = np.float32([1, 0]), np.float32([0, 1])

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
  'learned': {
    'positions': 'learned',
    'tied_embedding': False,
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


def read_packed(model, params, packed):
  """The library's readings of a packed batch, and the losses' weights."""
  hidden = ladder.forward(model, params, packed).hidden
  scores = heads.scores_at(params, hidden, packed.score_index)
  pairs = preference.pairwise_loss(
    scores[:, 0], scores[:, 1], packed.pair_weight, packed.pair_mask
  )
  log_probs = readout.token_log_probs(model, params, hidden, packed)
  words = lm.next_token_loss(
    log_probs.reshape(-1), packed.loss_mask.reshape(-1)
  )
  readings = branches.Readings(scores, pairs.total, words.total)
  return readings, (pairs.weight, words.weight)


@functools.cache
def compiled(variant):
  """Jitted packed and unpacked readings with the gradient of one loss.

  Both compile once a shape; which loss is differentiated is an argument.
  """
  model, _ = network(variant)

  def packed(params, batch, mixture):
    readings, weights = read_packed(model, params, batch)
    return _mix(readings, mixture), (readings, weights)

  def unpacked(params, table, mixture):
    readings = branches.read(model, params, table)
    return _mix(readings, mixture), readings

  grad = functools.partial(jax.grad, has_aux=True)
  return jax.jit(grad(packed)), jax.jit(grad(unpacked))


def _mix(readings, mixture):
  return mixture[0] * readings.pair_loss + mixture[1] * readings.lm_loss


def candidates(kind):
  return 4 if kind == 'best_of_k' else 2


def pack(batch, kind, row_length=branches.ROW, num_rows=8):
  """A packed batch with four candidates an item, absent ones marked -1."""
  result = packing.pack(
    batch,
    row_length,
    batch_size=branches.ITEMS,
    num_candidates=candidates(kind),
    row_buckets=(num_rows,),
  )
  packed = jax.tree.map(jnp.asarray, result.packed)
  index = np.full((branches.ITEMS, branches.CANDIDATES), -1, np.int32)
  index[:, : candidates(kind)] = packed.score_index
  return result, packed.replace(score_index=jnp.asarray(index))


def tree_order(result):
  """Items of a packed batch, tree by tree."""
  real = np.flatnonzero(result.items >= 0)
  return real[np.argsort(result.items[real], kind='stable')]


def assert_same_gradients(got, want):
  largest = max(float(np.abs(x).max()) for x in jax.tree.leaves(want))
  assert largest > 1e-2, 'the loss must depend on the parameters'
  flat, structure = jax.tree.flatten(got)
  assert structure == jax.tree.structure(want)
  for ours, theirs in zip(flat, jax.tree.leaves(want), strict=True):
    cases.assert_close(ours, theirs, scale=largest)


def assert_packed_equals_unpacked(variant, batch, kind, mixture, packed):
  """Compares scores, both losses, weights and one loss's gradient."""
  result, rows = packed
  _, params = network(variant)
  run_packed, run_unpacked = compiled(variant)
  table = branches.unpack(batch, candidates(kind))
  grad, (got, weights) = run_packed(params, rows, mixture)
  want_grad, want = run_unpacked(params, table, mixture)
  num_items = int(table.present.any(1).sum())
  assert (np.asarray(rows.pair_mask) == (result.items >= 0)).all()
  cases.assert_close(
    np.asarray(got.scores)[tree_order(result)], want.scores[:num_items]
  )
  np.testing.assert_array_equal(weights, [num_items, table.targets.sum()])
  for ours, theirs in (
    (got.pair_loss, want.pair_loss),
    (got.lm_loss, want.lm_loss),
  ):
    # Absent items add softplus(0) to neither: their weight is 0.
    cases.assert_close(ours, theirs, scale=float(theirs))
  assert_same_gradients(grad, want_grad)
  return want, table


@pytest.mark.parametrize('variant', VARIANTS)
@pytest.mark.parametrize('kind', ['comparison', 'best_of_k', 'conversation'])
@pytest.mark.slow
def test_scores_and_pair_loss(kind, variant):
  batch = branches.make(kind, seed=len(kind))
  packed = pack(batch, kind)
  want, table = assert_packed_equals_unpacked(
    variant, batch, kind, PAIR_LOSS, packed
  )
  real = np.asarray(want.scores)[table.present]
  assert real.std() > 0.1, 'scores must differ'
  used = np.asarray(packed[1].example_id) >= 0
  alone = sum(
    len(t.segments[s].tokens)
    for t in batch
    for leaf in t.scored
    for s in branches.path_of(t, leaf)
  )
  assert used.sum() < alone, 'packing must save tokens'
  assert used.any(1).sum() < len(batch), 'rows must hold several trees'
  scores = np.asarray(want.scores, np.float64)
  by_loops = oracles.pairwise_loss(
    scores[:, 0], scores[:, 1], table.weights, table.present[:, 0]
  )
  cases.assert_close(want.pair_loss, by_loops['total'], scale=by_loops['total'])


@pytest.mark.parametrize('variant', VARIANTS)
@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.slow
def test_language_model_loss(kind, variant):
  batch = branches.make(kind, seed=10 + len(kind))
  want, table = assert_packed_equals_unpacked(
    variant, batch, kind, LM_LOSS, pack(batch, kind)
  )
  assert table.targets.any()
  assert float(want.lm_loss) > 1


@pytest.mark.parametrize('mixture', [PAIR_LOSS, LM_LOSS], ids=['pair', 'lm'])
@pytest.mark.parametrize('kind', ['comparison', 'best_of_k', 'conversation'])
@pytest.mark.slow
def test_trees_longer_than_a_row_are_split_by_leaves(kind, mixture):
  batch = branches.make(kind, seed=33 + len(kind))
  row_length = 14
  assert max(sum(len(s.tokens) for s in t.segments) for t in batch) > row_length
  packed = pack(batch, kind, row_length, num_rows=16)
  assert_packed_equals_unpacked('rotary', batch, kind, mixture, packed)


def packed_readings(rows):
  _, params = network('rotary')
  grad, (readings, _) = compiled('rotary')[0](params, rows, LM_LOSS)
  return grad, readings


def test_the_order_of_trees_changes_no_score():
  batch = branches.make('comparison', seed=21)
  by_example = []
  for order in (range(5), (3, 1, 4, 0, 2)):
    result, rows = pack([batch[i] for i in order], 'comparison')
    scores = np.asarray(packed_readings(rows)[1].scores)[tree_order(result)]
    by_example.append(scores[np.argsort(order)])
  assert np.ptp(by_example[0], axis=0)[0] > 0.1
  cases.assert_close(by_example[0], by_example[1])


def test_intervals_and_positions_are_what_keeps_branches_apart():
  batch = branches.make('comparison', seed=41)
  result, rows = pack(batch, 'comparison')
  order = tree_order(result)

  def scores(rows):
    return np.asarray(packed_readings(rows)[1].scores)[order]

  right = scores(rows)
  blind = rows.replace(
    enter=jnp.zeros_like(rows.enter), leave=jnp.ones_like(rows.leave)
  )
  assert np.abs(right - scores(blind)).max() > 1e-2
  column = jnp.arange(rows.tokens.shape[1], dtype=jnp.int32)
  columns = jnp.broadcast_to(column[None], rows.tokens.shape)
  moved = np.abs(right - scores(rows.replace(positions=columns)))
  assert moved[:, 1].max() > 1e-3, 'the second reply stands further on'


def test_the_parent_table_is_what_finds_the_token_before():
  batch = [
    trees.Tree(
      tuple(
        trees.Segment(s.tokens, s.parent, number == 3)
        for number, s in enumerate(tree.segments)
      ),
      tree.scored,
      tree.weight,
      tree.example_id,
    )
    for tree in branches.make('comparison', seed=51)
  ]
  packed = pack(batch, 'comparison')
  want, _ = assert_packed_equals_unpacked(
    'rotary', batch, 'comparison', LM_LOSS, packed
  )
  column = jnp.arange(branches.ROW, dtype=jnp.int32)[None]
  before = jnp.broadcast_to(column - 1, packed[1].tokens.shape)
  wrong = packed_readings(packed[1].replace(parent=before))[1].lm_loss
  # The second reply follows the prompt; the row has the first in between.
  assert abs(float(wrong) - float(want.lm_loss)) > 0.1


def test_what_stands_in_padding_changes_nothing():
  _, rows = pack(branches.make('conversation', seed=61), 'conversation')
  padding = rows.example_id < 0
  assert padding.any(axis=1).all()
  junk = rows.replace(
    tokens=jnp.where(padding, 7, rows.tokens),
    positions=jnp.where(padding, 11, rows.positions),
  )
  grad, readings = packed_readings(rows)
  junk_grad, junk_readings = packed_readings(junk)
  for ours, theirs in zip(junk_readings, readings, strict=True):
    np.testing.assert_array_equal(ours, theirs)
  assert_same_gradients(junk_grad, grad)


def test_a_batch_without_items_has_no_pair_loss_and_finite_gradients():
  result, rows = pack(branches.make('document', seed=71, count=1), 'document')
  _, params = network('rotary')
  grad, (readings, weights) = compiled('rotary')[0](params, rows, PAIR_LOSS)
  assert (result.items == -1).all()
  assert float(readings.pair_loss) == float(weights[0]) == 0
  assert all((np.asarray(x) == 0).all() for x in jax.tree.leaves(grad))
