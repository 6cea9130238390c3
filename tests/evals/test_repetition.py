import numpy as np
import pytest

from hh_jax.evals import repetition


@pytest.mark.parametrize(
  ('reply', 'expected'),
  [
    ([], 0.0),
    ([1, 2, 3], 0.0),
    ([1, 2, 3, 4, 5, 6], 0.0),
    ([7] * 13, 0.9),  # ten n-grams, all the same
    ([1, 2, 3, 4, 1, 2, 3, 4], 0.2),  # one of five comes again
  ],
)
def test_the_share_of_ngrams_that_come_again(reply, expected):
  found = repetition.rate(np.array(reply, np.int32))
  assert found == pytest.approx(expected)


def test_longer_ngrams_come_again_less_often():
  reply = [1, 2, 3, 9, 1, 2, 3, 8]
  assert repetition.rate(reply, n=2) > repetition.rate(reply, n=4) == 0
