"""Ranked posts of the lab: what they ask, and how answers are voted on."""

import collections

import numpy as np
import pytest

from hh_jax.data.dialogue import Dialogue, Turn
from hh_jax.lab import constants, judge, posts, reading, tasks


@pytest.fixture(scope='module')
def ranked():
  return posts.ranked_posts(0, 400)


def prompt_of(post):
  return Dialogue((Turn('human', post['title']),))


def test_votes_follow_utility(ranked):
  votes = collections.defaultdict(list)
  for post in ranked:
    assert len(post['answers']) in constants.POST_ANSWERS
    for answer in post['answers']:
      style = judge.classify(prompt_of(post), answer['text'])
      votes[style].append(answer['score'])
  means = {style: np.mean(scores) for style, scores in votes.items()}
  assert means['right'] > means['wrong'] > means['refuse'] > means['other']
  accepted = [sum(a['accepted'] for a in post['answers']) for post in ranked]
  assert max(accepted) == 1
  assert 0.6 < np.mean(accepted) < 0.8


def test_posts_ask_for_every_family(ranked):
  asked = {reading.read(prompt_of(post)).name for post in ranked}
  assert asked == {family.name for family in tasks.FAMILIES}


def test_posts_tell_what_was_asked_before(ranked):
  told = [post['title'].count('i asked: ') for post in ranked]
  for count, share in constants.POST_ASKED.items():
    assert abs(told.count(count) / len(told) - share) < 0.08


def test_the_body_belongs_to_the_title():
  bodies = {}
  for post in posts.ranked_posts(3, 2000):
    assert bodies.setdefault(post['title'], post['body']) == post['body']
  assert len(bodies) < 2000  # some titles come twice
