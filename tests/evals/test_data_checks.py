"""Faults that are planted are found, and clean data stays clean."""

import dataclasses

import numpy as np
import pytest

from hh_jax.evals import data_checks
from tests.data import samples


def comparison(number, **fields):
  rng = np.random.default_rng(number)
  words = [f'w{x}' for x in rng.integers(5000, size=40)]
  values = {
    'chosen': ' '.join(words[:15]),
    'rejected': ' '.join(words[15:30]),
    **fields,
  }
  return samples.comparison(
    f'Question {number}: ' + ' '.join(words[30:]), **values
  )


TRAIN = [comparison(i) for i in range(200)]
TEST = [comparison(1000 + i) for i in range(50)]


def reworded(item):
  """The same comparison after one word was changed and the replies swapped."""
  words = item.chosen.split()
  words[-1] = 'changed'
  return dataclasses.replace(
    item,
    prompt=samples.dialogue(
      'Another first turn', 'Hm.', item.prompt.first_human
    ),
    chosen=item.rejected,
    rejected=' '.join(words),
  )


def test_a_clean_split_leaks_nothing():
  assert data_checks.leakage(TRAIN, TEST) == {
    'same_first_turn': 0.0,
    'near_duplicate': 0.0,
  }


def test_a_test_set_split_by_row_shares_first_turns():
  again = [dataclasses.replace(item, chosen='x y z') for item in TRAIN[:10]]
  found = data_checks.leakage(TRAIN, [*TEST[:30], *again])
  assert found['same_first_turn'] == pytest.approx(10 / 40)


def test_reworded_copies_are_near_duplicates_whatever_their_first_turn():
  copies = [reworded(item) for item in TRAIN[:20]]
  found = data_checks.near_duplicates(TRAIN, [*TEST, *copies])
  assert not found[: len(TEST)].any()
  assert found[len(TEST) :].all()


def test_repeats_and_contradictions_are_counted():
  same = TRAIN[:10]
  flipped = [
    dataclasses.replace(item, chosen=item.rejected, rejected=item.chosen)
    for item in TRAIN[10:15]
  ]
  found = data_checks.repeats([*TRAIN, *same, *flipped])
  assert found['repeated'] == pytest.approx(30 / 215)
  assert found['contradicted'] == pytest.approx(10 / 30)
  assert data_checks.repeats(TRAIN) == {'repeated': 0.0, 'contradicted': 0.0}


@pytest.mark.parametrize('knows', [True, False])
@pytest.mark.parametrize('share', [0.0, 0.1, 0.3])
def test_flipped_labels_are_found(share, knows):
  items = [comparison(i) for i in range(4000)]
  rng = np.random.default_rng(0)
  gap = rng.normal(scale=3.0, size=len(items))
  claim = 1 / (1 + np.exp(-np.abs(gap)))
  right = rng.random(len(items)) < claim
  right ^= rng.random(len(items)) < share
  size = np.abs(gap)
  if not knows:  # trained on such labels, a model claims what it met
    met = claim * (1 - share) + (1 - claim) * share
    size = np.log(met / (1 - met))
  margin = np.where(right, size, -size)
  scores = np.stack([margin, np.zeros_like(margin)], axis=1)
  found = data_checks.label_noise(items, scores)
  low, _, high = found['wrong']
  assert low - 0.02 <= share <= high + 0.02
  low, mid, high = found['excess']
  if share > 0 and knows:
    assert low > 0
  else:
    assert abs(mid) < 0.05


def test_accuracy_that_is_lost_by_cutting_shows():
  items = [comparison(i) for i in range(400)]
  is_cut = np.arange(400) % 4 == 0
  luck = np.random.default_rng(0).random(400)
  right = luck < np.where(is_cut, 0.5, 0.9)
  margin = np.where(right, 1.0, -1.0)
  scores = np.stack([margin, 0 * margin], axis=1)
  found = data_checks.truncation(items, scores, is_cut)
  assert found['cut'] == 0.25
  assert found['cut_accuracy'][2] < found['whole_accuracy'][0]
  whole = data_checks.truncation(items, scores, np.zeros(400, bool))
  assert 'cut_accuracy' not in whole and whole['cut'] == 0


def test_length_alone_is_found_where_it_decides():
  long = [
    dataclasses.replace(item, chosen=item.chosen + ' and so on ' * 5)
    for item in TEST
  ]
  scores = np.stack([np.ones(50), np.zeros(50)], axis=1)
  is_cut = np.zeros(50, bool)
  biased = data_checks.check(TRAIN, long, scores, is_cut)
  assert biased['longer_reply'][0] == 1.0
  plain = data_checks.check(TRAIN, TEST, scores, is_cut)
  assert plain['longer_reply'][0] < 0.55
