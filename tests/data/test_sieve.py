"""Copies and near-duplicates, against the definition."""

import numpy as np

from hh_jax.data import sieve

NEAR = 0.8


def is_near_by_definition(text, others):
  own = sieve.shingles(text)
  return any(
    len(own & sieve.shingles(other)) >= NEAR * len(own) for other in others
  )


def test_a_copy_is_equal_but_for_case_and_spaces():
  seen = sieve.Sieve(NEAR, ['What is  the time?'])
  assert seen.is_copy('what is the time?')
  assert not seen.is_copy('what was the time?')


def test_short_texts_are_near_only_if_they_are_equal():
  seen = sieve.Sieve(NEAR, ['the time?', 'a'])
  assert seen.is_near('The time?')
  assert not seen.is_near('time?')
  assert not seen.is_near('')


def test_one_word_more_in_a_long_text_is_near():
  text = 'how do i keep basil alive on a windowsill in the winter months'
  seen = sieve.Sieve(NEAR, [text])
  assert seen.is_near(f'{text} please')
  assert not seen.is_near('how do i keep basil alive and my neighbours happy')


def test_the_words_must_be_in_one_and_the_same_text():
  seen = sieve.Sieve(NEAR, ['a b c d e', 'd e f g h'])
  assert not seen.is_near('a b c d e f g h')
  assert seen.is_near('a b c d')


def test_it_finds_what_comparing_all_with_all_finds():
  rng = np.random.default_rng(0)
  seen, kept, num_near = sieve.Sieve(NEAR), [], 0
  for _ in range(400):
    words = list(rng.choice(list('abc'), rng.integers(1, 10)))
    text = ' '.join(words)
    expected = is_near_by_definition(text, kept)
    assert seen.is_near(text) == expected
    num_near += expected
    if not expected:
      kept.append(text)
      seen.add(text)
  assert 50 < num_near < 350
