import numpy as np
import pytest

from hh_jax.generation import best_of_k


def test_replies_of_an_example_have_ids_of_their_own():
  ids = best_of_k.reply_ids(np.array([5, 0]), 3)
  np.testing.assert_array_equal(ids, [[15, 16, 17], [0, 1, 2]])


def test_k_must_be_positive():
  with pytest.raises(ValueError, match='k=0 must be positive'):
    best_of_k.reply_ids(np.array([5]), 0)


def test_best_is_the_highest_and_the_first_of_equals():
  scores = np.array([[1.0, 3.0, 3.0], [-2.0, -1.0, -5.0]])
  np.testing.assert_array_equal(best_of_k.best_of(scores), [1, 1])


def test_median_of_seventeen_is_the_ninth():
  scores = np.random.default_rng(0).permutation(17).astype(np.float32)[None]
  index = best_of_k.median_of(scores, np.zeros((1, 17), bool))
  assert scores[0, index[0]] == 8


def test_median_leaves_empty_replies_out():
  scores = np.array([[9.0, 1.0, 5.0, 7.0], [4.0, 3.0, 2.0, 1.0]])
  is_empty = np.array([[True, False, False, False], [True] * 4])
  index = best_of_k.median_of(scores, is_empty)
  assert scores[0, index[0]] == 5.0
  assert scores[1, index[1]] == 2.0
  two = best_of_k.median_of(scores[:1], np.array([[True, False, True, False]]))
  assert scores[0, two[0]] == 1.0


def test_the_median_text_is_not_empty_and_has_its_score():
  replies = [['a', '', 'b', ' ', 'c'], ['', ' ', '', '', '']]
  scores = np.array([[3, 9, 1, -9, 2], [1, 2, 3, 4, 5]], np.float32)
  assert best_of_k.medians(replies, scores) == [('c', 2.0), ('', 3.0)]
