import collections

import hypothesis
import hypothesis.strategies as st
import pytest

from hh_jax.data import mixtures
from tests.stages import toys


def count_sides(comparisons):
  return collections.Counter(item.side for item in comparisons)


def test_mix_takes_the_fraction_asked_for():
  pool = toys.comparisons(12, 6)
  mixed = mixtures.mix(pool, 0.25, 8, seed=0)
  assert count_sides(mixed) == {'helpful': 6, 'harmless': 2}
  assert len({item.prompt.first_human for item in mixed}) == 8


def test_mix_takes_as_many_as_the_fraction_allows():
  pool = toys.comparisons(12, 6)
  assert count_sides(mixtures.mix(pool, 0.5, 0, 0)) == {
    'helpful': 6,
    'harmless': 6,
  }
  assert count_sides(mixtures.mix(pool, 0.2, 0, 0)) == {
    'helpful': 12,
    'harmless': 3,
  }


@pytest.mark.parametrize(
  ('fraction', 'wanted'),
  [(0.0, {'helpful': 12}), (1.0, {'harmless': 6})],
)
def test_mix_of_one_side_is_that_side(fraction, wanted):
  pool = toys.comparisons(12, 6)
  assert count_sides(mixtures.mix(pool, fraction, 0, 0)) == wanted


def test_mix_as_they_come_is_everything():
  pool = toys.comparisons(5, 7)
  assert mixtures.mix(pool, -1, 0, 0) == pool
  part = mixtures.mix(pool, -1, 6, 0)
  assert count_sides(part) == {'helpful': 2, 'harmless': 4}


def test_mix_is_a_function_of_the_seed():
  pool = toys.comparisons(30, 30)
  first = mixtures.mix(pool, 0.5, 10, 0)
  assert mixtures.mix(pool, 0.5, 10, 0) == first
  assert mixtures.mix(pool, 0.5, 10, 1) != first


def test_mix_refuses_more_than_there_is():
  pool = toys.comparisons(12, 6)
  with pytest.raises(ValueError, match='asks for 10 harmless.*are 6.*=20'):
    mixtures.mix(pool, 0.5, 20, 0)
  with pytest.raises(ValueError, match='asks for 13 helpful.*are 12'):
    mixtures.mix(pool, -1, 19, 0)


@hypothesis.given(
  st.integers(0, 40), st.integers(0, 40), st.floats(0, 1, width=32)
)
def test_mix_without_a_total_always_fits(num_helpful, num_harmless, fraction):
  pool = toys.comparisons(num_helpful, num_harmless)
  mixed = mixtures.mix(pool, fraction, 0, 0)
  texts = [item.prompt.first_human for item in mixed]
  assert len(set(texts)) == len(texts)
  assert abs(count_sides(mixed)['harmless'] - fraction * len(mixed)) <= 0.5


def test_weights_are_lambda_on_the_harmless_side():
  weighted = mixtures.set_weights(toys.comparisons(2, 3), 2.5)
  assert [item.weight for item in weighted] == [1, 1, 2.5, 2.5, 2.5]


def test_an_empty_part_is_refused_unless_none_was_asked_for():
  pool = toys.comparisons(1, 1)
  with pytest.raises(ValueError, match=r'test part is empty; .*=0.05 .* of 2'):
    mixtures.require_parts(pool, [], 0.05)
  with pytest.raises(ValueError, match='training part is empty: 2'):
    mixtures.require_parts([], pool, 0.05)
  mixtures.require_parts(pool, [], 0.0)


def test_subset_is_at_most_the_limit_and_in_order():
  pool = toys.comparisons(20, 0)
  part = mixtures.subset(pool, 5, seed=3)
  places = [pool.index(item) for item in part]
  assert len(part) == 5 and places == sorted(places)
  assert mixtures.subset(pool, 5, seed=3) == part
  assert mixtures.subset(pool, 50, seed=3) == pool
