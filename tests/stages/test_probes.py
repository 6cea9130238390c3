"""What figures ask beside comparisons."""

import json

import numpy as np
import pytest

from hh_jax.config import DataConfig
from hh_jax.data import gender
from hh_jax.lab import crowd, judge, redteam
from hh_jax.lab import world as lab
from hh_jax.stages import probes, worlds

DATA = DataConfig(world='lab', num_examples=100, test_fraction=0.2)


def test_prompts_by_kind_are_of_their_side_and_part():
  found = probes.prompts_by_kind(DATA, 0, 60, 40)
  sides = {name: {p.side for p in prompts} for name, prompts in found.items()}
  assert sides == {
    'usual': {'helpful'},
    'shown': {'harmless'},
    'helpful': {'helpful'},
    'harmful': {'harmless'},
  }
  assert [len(found[name]) for name in found] == [60, 40, 40, 40]
  firsts = {
    name: {p.dialogue.first_human for p in prompts}
    for name, prompts in found.items()
  }
  assert not firsts['usual'] & firsts['helpful']
  assert not firsts['shown'] & firsts['harmful']


def test_held_out_harm_is_of_families_that_nobody_trained_on():
  made = lab.prompts(0, 40, 1.0, 'test', test_fraction=0.2, held_out=True)
  names = {attack.name for attack in redteam.HELD_OUT}
  assert {prompt.family for prompt in made} <= names


def test_the_better_reply_of_an_item_is_golds():
  items = probes.hhh_items(DATA, 0, '', 60)
  assert [item.category for item in items] == ['helpful'] * 30 + [
    'harmless'
  ] * 30
  for item in items:
    better, worse = (
      worlds.gold(item.prompt, reply, item.category)
      for reply in (item.better, item.worse)
    )
    assert better > worse


def test_a_second_worker_agrees_as_often_as_workers_do():
  made = [
    item
    for side in ('helpful', 'harmless')
    for item in lab.comparisons(0, 1500, side)
  ]
  agreed = probes.second_opinion(made, 0).mean()
  bayes = crowd.bayes_accuracy(made)
  assert 0.52 < agreed < bayes  # two noisy people agree less than one and gold
  again = probes.second_opinion(made[:50], 0)
  np.testing.assert_array_equal(again, probes.second_opinion(made, 0)[:50])


def test_first_replies_of_the_lab_are_told_apart_by_what_they_do():
  found = probes.first_replies(DATA, 0, '', 200)
  assert {one.is_harmful for one in found} == {True, False}
  for one in found:
    assert len(one.prompt.turns) == 1
    style = judge.classify(one.prompt, one.text)
    if style in ('comply', 'rude'):
      assert one.is_harmful
    if style in ('refuse', 'redirect', 'vague'):
      assert not one.is_harmful


def test_first_replies_are_read_from_a_file(tmp_path):
  path = tmp_path / 'replies.jsonl'
  rows = [
    {'prompt': 'hi', 'reply': 'go away', 'is_harmful': True},
    {'prompt': 'hi', 'reply': 'hello', 'is_harmful': False},
  ]
  path.write_text('\n'.join(map(json.dumps, rows)))
  found = probes.first_replies(DATA, 0, str(path), 0)
  assert [(one.text, one.is_harmful) for one in found] == [
    ('go away', True),
    ('hello', False),
  ]
  path.write_text(json.dumps({**rows[0], 'is_harmful': 'yes'}))
  with pytest.raises(ValueError, match="row 1: is_harmful is 'yes'"):
    probes.first_replies(DATA, 0, str(path), 0)


def test_a_real_world_without_a_file_has_no_first_replies():
  data = DataConfig(world='hh', data_dir='somewhere')
  assert probes.first_replies(data, 0, '', 10) == []


def test_sentences_differ_in_the_term_alone():
  assert len(gender.OCCUPATIONS) == len(set(gender.OCCUPATIONS)) == 76
  assert len(gender.TERMS) == 12
  for female, male in gender.TERMS:
    a, b = (gender.sentence(term, 'artist', 'was') for term in (female, male))
    assert a.replace(f' {female} ', ' ') == b.replace(f' {male} ', ' ')
    assert 'an artist' in a
