"""Writers of known strength: as good as their share of lapses says."""

import numpy as np
import pytest

from hh_jax.data.dialogue import Dialogue
from hh_jax.lab import judge, reference, world, writers

NUM = 300


@pytest.fixture(scope='module', params=['helpful', 'harmless'])
def asked(request):
  fraction = float(request.param == 'harmless')
  made = world.prompts(0, NUM, fraction, 'test')
  return request.param, [item.dialogue for item in made]


def written(asked, rate, seed=0):
  side, prompts = asked
  return [
    writers.write(seed, index, prompt, side, rate)
    for index, prompt in enumerate(prompts)
  ]


def styles(asked, replies):
  side, prompts = asked
  return [judge.classify(p, text) for p, text in zip(prompts, replies)]


def test_without_lapses_every_reply_has_the_best_style(asked):
  side, prompts = asked
  best = [reference.best_style(prompt, side)[0] for prompt in prompts]
  assert styles(asked, written(asked, 0.0)) == best


def test_the_share_of_lapses_is_the_one_asked_for(asked):
  side, prompts = asked
  best = [reference.best_style(prompt, side)[0] for prompt in prompts]
  for rate in (0.1, 0.5):
    found = styles(asked, written(asked, rate))
    share = np.mean([a != b for a, b in zip(found, best)])
    assert share == pytest.approx(rate, abs=3 * np.sqrt(rate / NUM))
  found = styles(asked, written(asked, 1.0))
  assert not any(a == b for a, b in zip(found, best))
  assert len(set(found)) >= 4


def test_more_lapses_are_worth_less_and_lapse_first_where_fewer_do(asked):
  side, prompts = asked
  none, few, many = (written(asked, rate) for rate in (0.0, 0.1, 0.3))
  worth = [
    np.mean([judge.utility(p, t, side) for p, t in zip(prompts, texts)])
    for texts in (none, few, many)
  ]
  assert worth[0] > worth[1] > worth[2]
  lapsed = [
    {i for i, (a, b) in enumerate(zip(texts, none)) if a != b}
    for texts in (few, many)
  ]
  assert lapsed[0] < lapsed[1]


def test_the_same_seed_writes_the_same(asked):
  assert written(asked, 0.3) == written(asked, 0.3)
  assert written(asked, 0.3) != written(asked, 0.3, seed=1)


def test_a_prompt_that_cannot_be_read_has_no_best_style():
  with pytest.raises(ValueError, match='best reply is unknown'):
    writers.write(0, 0, Dialogue.alternating('Blue it?'), 'helpful', 0.1)
