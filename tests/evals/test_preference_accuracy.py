"""Accuracy tables and the linear baseline on made-up comparisons."""

import numpy as np

from hh_jax.data.comparisons import Comparison
from hh_jax.data.dialogue import Dialogue, Turn
from hh_jax.evals import linear_baseline, preference_accuracy


def comparison(first, chosen, rejected, side='helpful', turn=1):
  return Comparison(
    prompt=Dialogue((Turn('human', first),)),
    chosen=chosen,
    rejected=rejected,
    side=side,
    tranche=f'{side}-base',
    turn=turn,
  )


def test_ties_count_half():
  scores = np.array([[1.0, 0.0], [0.0, 0.0], [-1.0, 2.0]])
  np.testing.assert_array_equal(
    preference_accuracy.is_correct(scores), [1.0, 0.5, 0.0]
  )


def test_sides_tranches_and_turns_apart():
  items = [
    comparison('a', 'x', 'y'),
    comparison('b', 'x', 'y', turn=2),
    comparison('c', 'x', 'y', side='harmless'),
    comparison('d', 'x', 'y', side='harmless'),
  ]
  correct = np.array([1.0, 0.0, 1.0, 1.0])
  sides = preference_accuracy.by_side(items, correct)
  assert sides['helpful'][1] == 0.5
  assert sides['harmless'] == [1.0, 1.0, 1.0]
  assert sides['all'][1] == 0.75
  assert preference_accuracy.by_tranche(items, correct)['harmless-base'][1] == 1
  rows = preference_accuracy.by_turn(items, correct)
  assert [(r['side'], r['turn'], r['accuracy'][1]) for r in rows] == [
    ('harmless', 1, 1.0),
    ('helpful', 1, 1.0),
    ('helpful', 2, 0.0),
  ]


def test_intervals_resample_conversations_not_rows():
  """Ten copies of two conversations say no more than the two do."""
  items = [comparison('a', 'x', 'y'), comparison('b', 'x', 'y')] * 10
  low, _, high = preference_accuracy.by_side(items, np.array([1.0, 0.0] * 10))[
    'all'
  ]
  assert (low, high) == (0.0, 1.0)


def test_longer_reply_baseline():
  items = [comparison('a', 'long reply', 'no'), comparison('b', 'x', 'longer')]
  found = preference_accuracy.longer_reply(items)
  assert found == {'helpful': [0, 0.5, 1], 'all': [0, 0.5, 1]}
  of_one_turn = [comparison('a', 'x', 'longer'), comparison('a', 'long', 'x')]
  assert preference_accuracy.longer_reply(of_one_turn)['all'] == [0.5] * 3


def test_linear_baseline_learns_words_and_does_not_memorise_order():
  rng = np.random.default_rng(0)

  def draw(n):
    items = []
    for index in range(n):
      filler = ' '.join(rng.choice(['a', 'b', 'c', 'd'], 5))
      items.append(
        comparison(f'{n}/{index}', f'good {filler}', f'bad {filler}')
      )
    return items

  train, test = draw(40), draw(40)
  scores = linear_baseline.fit_and_score(train, test)
  assert preference_accuracy.is_correct(scores).mean() == 1.0
  swapped = [
    comparison(t.prompt.turns[0].text, t.rejected, t.chosen) for t in train
  ]
  against = linear_baseline.fit_and_score(swapped, test)
  assert preference_accuracy.is_correct(against).mean() == 0.0


def test_calibration_table_has_all_columns():
  items = [comparison(str(i), 'x', 'y') for i in range(40)]
  rng = np.random.default_rng(1)
  table = preference_accuracy.calibrate(items, rng.normal(size=(40, 2)))
  assert len(table['gap']) == len(table['accuracy']) == len(table['count'])
  assert sum(table['count']) == 40
  assert table['ece'][0] <= table['ece'][1] <= table['ece'][2]
  assert table['gap'] == sorted(table['gap'])
  assert table['predicted'][0] >= 0.5
