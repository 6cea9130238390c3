import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hh_jax.config import DataConfig
from hh_jax.data import mixtures
from hh_jax.evals import scoring
from hh_jax.losses import sums
from hh_jax.stages import preference
from tests.data import samples
from tests.stages import toys

DATA = DataConfig(batch_size=4, row_length=64)


def test_a_rows_own_weight_is_kept_and_reaches_the_batch():
  pool = [
    dataclasses.replace(item, weight=weight)
    for item, weight in zip(toys.comparisons(2, 2), (3, 0, 0.5, 1), strict=True)
  ]
  weighted = mixtures.set_weights(pool, 2.0)
  assert [item.weight for item in weighted] == [3, 0, 1, 2]
  batches = preference.pair_batches(weighted, toys.TOKENIZER, DATA, 0, 'pm')
  assert sorted(np.asarray(batches(0).pair_weight)) == [0, 1, 2, 3]


def test_an_epoch_holds_every_comparison_once():
  pool = toys.comparisons(6, 4)
  batches = preference.pair_batches(pool, toys.TOKENIZER, DATA, 0, 'pm')
  assert batches.num_batches == 3
  seen = []
  for step in range(3):
    packed = batches(step)
    assert packed.pair_mask.shape == (4,)
    assert packed.tokens.shape[0] in batches.row_buckets
    rows = np.asarray(packed.example_id).reshape(-1)[
      np.asarray(packed.score_index)[np.asarray(packed.pair_mask)]
    ]
    assert (rows[:, 0] == rows[:, 1]).all()
    seen.extend(rows[:, 0])
  assert sorted(seen) == list(range(10))
  again = preference.pair_batches(pool, toys.TOKENIZER, DATA, 0, 'pm')
  for own, other in zip(
    jax.tree.leaves(again(1)), jax.tree.leaves(batches(1)), strict=True
  ):
    np.testing.assert_array_equal(own, other)


def test_whole_conversations_share_their_prompt():
  first = ('How do I boil an egg?',)
  later = (*first, 'In water.', 'How long?')
  pool = [
    samples.comparison(*first, chosen='In water.'),
    samples.comparison(*later),
    samples.comparison('What is the time?'),
  ]
  data = dataclasses.replace(DATA, trees='conversation')
  together = preference.pair_batches(pool, toys.TOKENIZER, data, 0, 'pm')
  alone = preference.pair_batches(pool, toys.TOKENIZER, DATA, 0, 'pm')
  assert together.num_comparisons == alone.num_comparisons == 3
  assert together.num_batches == 1
  num_real = [
    int((np.asarray(batches(0).example_id) >= 0).sum())
    for batches in (together, alone)
  ]
  assert num_real[0] < num_real[1]
  scores = [
    np.asarray(scoring.packed_scores(toys.MODEL, toys.pm_params(), batches(0)))[
      :3
    ]
    for batches in (together, alone)
  ]
  np.testing.assert_allclose(
    sorted(map(tuple, scores[0])), sorted(map(tuple, scores[1])), atol=1e-5
  )


def test_nothing_to_train_on_names_the_counts():
  with pytest.raises(ValueError, match='no comparison is left.*0 given'):
    preference.pair_batches([], toys.TOKENIZER, DATA, 0, 'pm')
  data = dataclasses.replace(DATA, max_path=3, long_paths='reject')
  with pytest.raises(ValueError, match="2 given.*'rejected': 2"):
    preference.pair_batches(
      toys.comparisons(1, 1), toys.TOKENIZER, data, 0, 'pm'
    )


def test_pair_scores_equal_each_reply_scored_alone():
  pool = toys.comparisons(3, 2)
  found = preference.pair_scores(
    toys.MODEL, toys.pm_params(), pool, toys.TOKENIZER, DATA
  )
  expected = [
    [
      toys.plain_score(
        toys.TOKENIZER.encode_prompt(item.prompt),
        toys.TOKENIZER.encode_reply(reply),
        toys.pm_params(),
      )
      for reply in (item.chosen, item.rejected)
    ]
    for item in pool
  ]
  np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
  assert np.ptp(expected) > 0.1


def test_pair_scores_leave_no_comparison_out():
  data = dataclasses.replace(DATA, max_path=24, long_paths='reject')
  pool = [samples.comparison('eggs ' * 40), samples.comparison('eggs')]
  found = preference.pair_scores(
    toys.MODEL, toys.pm_params(), pool, toys.TOKENIZER, data
  )
  assert found.shape == (2, 2) and np.isfinite(found).all()


def loss_parts(pairs, tokens):
  """Losses of pairs and tokens, and a scale for half a mean of the tokens."""

  def loss(values, name):
    values = jnp.array(values, jnp.float32)
    return sums.loss_sum(name, values, jnp.ones(values.shape, bool))

  scale = preference.lm_scale(
    jnp.ones(len(pairs), bool), jnp.ones(len(tokens), bool), 0.5
  )
  return loss(pairs, 'pm/loss'), loss(tokens, 'lm/loss'), scale


def test_the_lm_loss_is_added_to_the_mean_pair_loss():
  both = preference.with_lm_loss(*loss_parts([1, 2, 3], [5, 7]))
  np.testing.assert_allclose(both.total / both.weight, 2 + 0.5 * 6)
  assert set(both.metrics) == {'pm/loss', 'lm/loss'}
  none = preference.with_lm_loss(*loss_parts([6], []))
  np.testing.assert_allclose(none.total, 6)


def test_parts_of_a_batch_add_up_with_the_lm_loss():
  *losses, scale = loss_parts([1, 2, 3], [5, 7, 2, 4])
  whole = preference.with_lm_loss(*losses, scale)
  first = preference.with_lm_loss(*loss_parts([1], [5, 7, 2])[:2], scale)
  second = preference.with_lm_loss(*loss_parts([2, 3], [4])[:2], scale)
  np.testing.assert_allclose(first.total + second.total, whole.total)
  np.testing.assert_allclose(first.weight + second.weight, whole.weight)
