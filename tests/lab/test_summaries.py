"""Comparisons of summaries: their truth, their noise, their independence."""

import numpy as np

from hh_jax.data.dialogue import Dialogue, Turn
from hh_jax.lab import constants, summaries

PROMPT = Dialogue(
  (
    Turn(
      'human',
      'my dog is called rex. my favourite colour is blue. '
      'please sum this up for me.',
    ),
  )
)


def worth(text):
  return summaries.utility(PROMPT, f'{summaries.OPENER} {text}')


def test_gold_counts_true_facts_and_takes_off_for_false_ones():
  both = worth('your dog is called rex. your favourite colour is blue.')
  one = worth('your dog is called rex.')
  false = worth('your dog is called max.')
  again = worth('your dog is called rex. your dog is called rex.')
  assert both > one > again > 0 > false
  assert worth('') == 0
  assert worth('what?') < 0


def test_facts_are_read_in_every_way_they_are_told():
  for item in summaries.comparisons(3, 200):
    sentences = item.prompt.turns[-1].text.split('. ')
    found = summaries._read_facts(sentences)
    assert len(found) == len(sentences) - 1
    whole = ' '.join(f'{fact.retold()}.' for fact in found)
    best = summaries.utility(item.prompt, f'{summaries.OPENER} {whole}')
    for reply in (item.chosen, item.rejected):
      assert summaries.utility(item.prompt, reply) <= best


def test_labels_follow_gold_as_often_as_the_noise_allows():
  made = summaries.comparisons(0, 3000)
  gaps = np.array(
    [
      summaries.utility(item.prompt, item.chosen)
      - summaries.utility(item.prompt, item.rejected)
      for item in made
    ]
  )
  assert (gaps != 0).all()
  expected = 1 / (1 + np.exp(-np.abs(gaps) / constants.SUMMARY_NOISE_SCALE))
  error = 3 * np.sqrt((expected * (1 - expected)).sum()) / len(gaps)
  assert abs((gaps > 0).mean() - expected.mean()) < error
  assert 0.7 < (gaps > 0).mean() < 0.9


def test_an_item_does_not_depend_on_how_many_are_made():
  assert summaries.comparisons(1, 30)[:10] == summaries.comparisons(1, 10)
  assert summaries.comparisons(1, 10) != summaries.comparisons(2, 10)
