"""Trees: constructors, shared conversations, truncation."""

import numpy as np
import pytest

from hh_jax.data import trees as trees_lib
from tests.data import samples


def path_tokens(tree, segment):
  """Tokens from the root to the end of a segment."""
  parts = [
    tree.segments[index].tokens for index in trees_lib.path_of(tree, segment)
  ]
  return np.concatenate(parts).tolist()


def ids(start, length):
  return np.arange(start, start + length, dtype=np.int32)


def test_comparison_tree_paths_are_the_scored_dialogues():
  tokenizer = samples.tokenizer()
  pair = samples.comparison('Hi', 'Hello', 'What?', weight=3.0)
  tree = trees_lib.comparison_tree(tokenizer, pair, example_id=7)
  for segment, reply in zip(tree.scored, (pair.chosen, pair.rejected)):
    expected = [
      *tokenizer.encode_prompt(pair.prompt),
      *tokenizer.encode_reply(reply),
      tokenizer.eoc,
    ]
    assert path_tokens(tree, segment) == expected
  assert [s.is_target for s in tree.segments] == [0, 1, 0, 0, 0]
  assert (tree.weight, tree.example_id) == (3.0, 7)


@pytest.mark.parametrize('is_ended', [True, False])
def test_rollout_tree(is_ended):
  reply = np.asarray([10, 11] + [1] * is_ended, np.int32)
  tree = trees_lib.rollout_tree(ids(5, 3), reply, eoc=2, eot=1)
  assert path_tokens(tree, tree.scored[0]) == [5, 6, 7, 10, 11, 2]
  targets = [s.tokens for s in tree.segments if s.is_target]
  np.testing.assert_array_equal(np.concatenate(targets), reply)


def test_rollout_tree_of_an_empty_reply():
  tree = trees_lib.rollout_tree(ids(5, 3), np.asarray([1], np.int32))
  assert path_tokens(tree, tree.scored[0]) == [5, 6, 7, 2]
  assert [len(s.tokens) for s in tree.segments] == [3, 0, 1, 1]


def test_best_of_k_tree():
  tree = trees_lib.best_of_k_tree(ids(5, 2), [ids(10, 1), ids(20, 2)], eoc=2)
  assert [path_tokens(tree, n) for n in tree.scored] == [
    [5, 6, 10, 2],
    [5, 6, 20, 21, 2],
  ]


def test_conversation_tree_merges_the_picked_reply():
  tokenizer = samples.tokenizer()
  first = samples.comparison('Hi', chosen='Hello', rejected='No')
  second = samples.comparison('Hi', 'Hello', 'Time?', chosen='Noon')
  tree = trees_lib.conversation_tree(tokenizer, [first, second])
  alone = [
    trees_lib.comparison_tree(tokenizer, pair) for pair in (first, second)
  ]
  expected = [path_tokens(t, n) for t in alone for n in t.scored]
  assert [path_tokens(tree, n) for n in tree.scored] == expected
  shared = len(tokenizer.encode_prompt(first.prompt))
  shared += len(tokenizer.encode_reply('Hello'))
  total = sum(t.num_tokens for t in alone)
  assert tree.num_tokens == total - shared


def test_conversation_trees_group_by_first_turn():
  tokenizer = samples.tokenizer()
  pairs = [
    samples.comparison('Hi'),
    samples.comparison('Bye'),
    samples.comparison('Hi', 'Yes.', 'Why?'),
    samples.comparison('Hi', 'Yes.', 'x' * 300),
  ]
  trees = trees_lib.conversation_trees(tokenizer, pairs, max_path=100)
  assert [(t.example_id, len(t.scored)) for t in trees] == [
    (0, 4),
    (1, 2),
    (3, 2),
  ]


def test_one_tree_has_one_weight():
  pairs = [samples.comparison('Hi'), samples.comparison('Hi', weight=2.0)]
  with pytest.raises(ValueError, match='a tree has one weight'):
    trees_lib.conversation_tree(samples.tokenizer(), pairs)


def test_truncation_keeps_one_context_for_both_replies():
  tree = trees_lib.best_of_k_tree(ids(10, 8), [ids(30, 2), ids(40, 5)])
  shorter = trees_lib.truncate_left(tree, 10)
  assert path_tokens(shorter, 4) == [14, 15, 16, 17, 40, 41, 42, 43, 44, 2]
  assert path_tokens(shorter, 2) == [14, 15, 16, 17, 30, 31, 2]


def test_truncation_into_a_reply():
  tree = trees_lib.best_of_k_tree(ids(10, 2), [ids(30, 2), ids(40, 9)])
  shorter = trees_lib.truncate_left(tree, 6)
  assert path_tokens(shorter, 4) == [44, 45, 46, 47, 48, 2]
  assert path_tokens(shorter, 2) == [30, 31, 2]


@pytest.mark.parametrize('long_paths', ['truncate', 'reject'])
def test_fit_paths_counts(long_paths):
  short = trees_lib.document_tree(ids(5, 4))
  long = trees_lib.document_tree(ids(5, 9))
  fitting, counts = trees_lib.fit_paths([short, long, short], 6, long_paths)
  if long_paths == 'reject':
    assert fitting == [short, short]
    assert counts == {'truncated': 0, 'rejected': 1, 'tokens_dropped': 9}
  else:
    assert [tree.longest_path for tree in fitting] == [4, 6, 4]
    assert counts == {'truncated': 1, 'rejected': 0, 'tokens_dropped': 3}


def test_errors():
  with pytest.raises(ValueError, match='parents come first'):
    trees_lib.Tree((trees_lib.Segment(ids(5, 1), 0, False),), (), 1.0, 0)
  with pytest.raises(ValueError, match='scored segment 3'):
    trees_lib.Tree((trees_lib.Segment(ids(5, 1), -1, False),), (3,), 1.0, 0)
  with pytest.raises(ValueError, match="long_paths='drop'"):
    trees_lib.fit_paths([], 6, 'drop')
