import collections

from hh_jax.stages import pmp
from tests.data import samples


def test_a_ranked_pair_becomes_two_judgements_of_labels():
  pair = samples.comparison('Why?', chosen='A', rejected='B')
  first, second = pmp.binarise([pair])
  assert (first.chosen, first.rejected) == ('GOOD: A', 'BAD: A')
  assert (second.chosen, second.rejected) == ('BAD: B', 'GOOD: B')
  assert first.prompt == second.prompt == pair.prompt


def test_labels_alone_tell_nothing():
  pairs = [
    samples.comparison('Why?', chosen=str(i), rejected=str(-i))
    for i in range(1, 6)
  ]
  labels = collections.Counter(
    item.chosen.split(':')[0] for item in pmp.binarise(pairs)
  )
  assert labels == {'GOOD': 5, 'BAD': 5}
