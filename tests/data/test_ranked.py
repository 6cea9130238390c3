"""Ranked answers."""

import pytest

from hh_jax.data import ranked
from tests.data import samples


def post(scores, **fields):
  answers = [
    {'id': n, 'score': score, 'accepted': n == 0, 'text': f'answer {n}'}
    for n, score in enumerate(scores)
  ]
  values = {
    'site': 'cooking',
    'question_id': 1,
    'title': 'Eggs?',
    'body': 'How  \r\n\n\n\nlong?',
    'score': 3,
    'answers': answers,
  }
  return {**values, **fields}


def read_posts(tmp_path, *rows):
  path = samples.write(tmp_path / 'questions.jsonl', list(rows))
  return ranked.read_ranked_posts(path)


def test_ranked_pairs(tmp_path):
  posts = read_posts(tmp_path, post([1, 5, 1]), post([2]))
  found = ranked.rank(posts, 0, log_votes=False)
  assert (found.num_posts, found.num_answers, found.num_ties) == (2, 4, 1)
  assert [(p.chosen, p.rejected) for p in found.pairs] == [
    ('answer 1', 'answer 0'),
    ('answer 1', 'answer 2'),
  ]
  first = found.pairs[0]
  assert first.prompt == samples.dialogue('Eggs?\n\nHow\n\nlong?')
  assert first.tranche == 'ranked/cooking'


def test_cap_keeps_the_widest_gaps(tmp_path):
  posts = read_posts(tmp_path, post([1, 9, 5]))
  found = ranked.rank(posts, 1, log_votes=False)
  assert [(p.chosen, p.rejected) for p in found.pairs] == [
    ('answer 1', 'answer 0')
  ]
  assert found.num_capped == 2


def test_near_votes_tie_on_a_log_scale_and_acceptance_counts(tmp_path):
  # Scores round(log2(1 + votes)), -1 below zero; the first answer is accepted.
  posts = read_posts(tmp_path, post([6, 40, 41, -3, 0]))
  scores = [ranked.score_of(item, log_votes=True) for item in posts[0].answers]
  assert scores == [3 + 1, 5, 5, -1, 0]
  found = ranked.rank(posts, 0, log_votes=True)
  assert found.num_ties == 1  # 40 and 41
  assert [(p.chosen, p.rejected) for p in found.pairs[:3]] == [
    ('answer 1', 'answer 3'),
    ('answer 2', 'answer 3'),
    ('answer 0', 'answer 3'),
  ]


def test_best_answers(tmp_path):
  posts = read_posts(tmp_path, post([1, 9, 9]), post([]))
  (best,) = ranked.best_answers(posts)
  assert best.turns[-1].text == 'answer 1'


def test_ranked_errors(tmp_path):
  with pytest.raises(ValueError, match="row 1: field 'score' is 'x'"):
    read_posts(tmp_path, post([1], score='x'))
  with pytest.raises(ValueError, match='row 1: field "answers"'):
    read_posts(tmp_path, post([1], answers='none'))
  with pytest.raises(ValueError, match='no ranked posts'):
    read_posts(tmp_path)


def test_ranked_posts_of_the_real_folder(real_data):
  found = ranked.rank(ranked.read_ranked_posts(real_data), 0, log_votes=True)
  assert found.num_posts == 3805
  assert found.num_answers == 8561
  assert len(found.pairs) == 9368
  assert found.num_ties == 3390
