import collections
import dataclasses
import shutil

import numpy as np
import pytest

from hh_jax.config import (
  DataConfig,
  DistillConfig,
  PMConfig,
  PMPConfig,
  PretrainConfig,
)
from hh_jax.data import comparisons as comparisons_lib
from hh_jax.lab import constants, draws, reading, replies
from hh_jax.stages import sources, worlds
from tests.data import samples

LAB = DataConfig(num_examples=40, test_fraction=0.2)


@pytest.fixture
def hh(tmp_path):
  """A made-up folder in the official layout."""
  for side, count in (('helpful', 30), ('harmless', 20)):
    rows = [
      samples.row(f'{side} question {i // 2}?', f'Yes, {i}.', f'No, {i}.')
      for i in range(count)
    ]
    samples.write(tmp_path / f'{side}-base' / 'train.jsonl.gz', rows)
  return DataConfig(world='hh', data_dir=str(tmp_path), test_fraction=0.3)


def identity_of(data, config=PMConfig):
  return sources.identity(config(data=data))


def sides_of(items):
  return collections.Counter(item.side for item in items)


@pytest.mark.parametrize('world', ['lab', 'hh'])
def test_comparisons_of_both_sides_with_their_counts(world, hh):
  data = hh if world == 'hh' else LAB
  found = worlds.comparisons(data, 0)
  card = found.counts()
  assert card['read'] == card['kept'] + sum(card['rejected'].values())
  assert set(sides_of(found.comparisons)) == {'helpful', 'harmless'}
  again = worlds.comparisons(data, 0)
  assert again.comparisons == found.comparisons


def test_a_limit_leaves_out_comparisons_and_counts_them(hh):
  some = dataclasses.replace(hh, num_examples=10)
  found = worlds.comparisons(some, 0)
  assert len(found.comparisons) == 10
  assert set(sides_of(found.comparisons)) == {'helpful', 'harmless'}
  card = found.counts()
  assert (card['read'], card['kept']) == (50, 10)
  assert card['read'] == card['kept'] + sum(card['rejected'].values())
  assert worlds.comparisons(some, 1).comparisons != found.comparisons


def test_the_lab_must_be_told_how_many(hh):
  with pytest.raises(ValueError, match='num_examples=0: the lab has no end'):
    worlds.comparisons(DataConfig(), 0)
  with pytest.raises(ValueError, match='num_examples=0: the lab has no end'):
    worlds.documents(DataConfig(), 0)


def test_identity_is_of_the_data_and_not_of_its_place(hh, tmp_path):
  first = identity_of(hh)
  moved = tmp_path.parent / 'moved'
  shutil.copytree(tmp_path, moved)
  other = dataclasses.replace(hh, data_dir=str(moved))
  assert identity_of(other) == first
  samples.write(moved / 'helpful-base' / 'test.jsonl', [{'more': 1}])
  assert identity_of(other) != first
  assert identity_of(LAB) != first


def test_an_edit_of_equal_length_changes_the_identity(hh, tmp_path):
  first = identity_of(hh)
  path = tmp_path / 'helpful-base' / 'train.jsonl.gz'
  content = bytearray(path.read_bytes())
  content[-1] ^= 1
  path.write_bytes(bytes(content))
  assert identity_of(hh) != first


def test_a_stage_depends_on_the_files_it_reads_alone(tmp_path):
  parts = {
    'hh_rlhf/helpful_base.train': [PMConfig],
    'stackexchange/questions': [PMPConfig, DistillConfig],
    'lm_text/books': [PretrainConfig, DistillConfig],
  }
  configs = (PMConfig, PMPConfig, PretrainConfig, DistillConfig)
  data = DataConfig(world='hh', data_dir=str(tmp_path))

  def identities():
    return {config: identity_of(data, config) for config in configs}

  for name in parts:
    samples.write(tmp_path / f'{name}.jsonl', [{'row': 1}])
  before = identities()
  assert len(set(before.values())) == 4
  samples.write(tmp_path / 'results' / 'notes.jsonl', [{'row': 1}])
  assert identities() == before
  for name, readers in parts.items():
    samples.write(tmp_path / f'{name}.jsonl', [{'row': 2}])
    after = identities()
    changed = [config for config in configs if after[config] != before[config]]
    assert set(changed) == set(readers), name
    before = after


def test_a_pipeline_needs_text_answers_and_both_sides(hh, tmp_path):
  worlds.require_everything(LAB, 0)
  with pytest.raises(ValueError, match='no jsonl or jsonl.gz files of text'):
    worlds.require_everything(hh, 0)
  samples.write(tmp_path / 'lm_text' / 'books.jsonl', [{'text': 'Eggs.'}])
  with pytest.raises(ValueError, match='has no ranked posts'):
    worlds.require_everything(hh, 0)
  post = {'site': 's', 'question_id': 1, 'title': 't', 'body': 'b', 'score': 1}
  post['answers'] = []
  samples.write(tmp_path / 'stackexchange' / 'posts.jsonl', [post])
  worlds.require_everything(hh, 0)
  nothing = dataclasses.replace(hh, test_fraction=1e-6)
  with pytest.raises(ValueError, match='test part of .* data.test_fraction=1e'):
    worlds.require_everything(nothing, 0)
  shutil.rmtree(tmp_path / 'harmless-base')
  with pytest.raises(ValueError, match='has no harmless comparison'):
    worlds.require_everything(hh, 0)


@pytest.mark.parametrize('world', ['lab', 'hh'])
def test_held_out_prompts_are_of_the_test_part(world, hh):
  data = hh if world == 'hh' else LAB
  parts = []
  for is_held_out in (False, True):
    found = worlds.prompts(data, 0, 8, 0.5, is_held_out)
    assert set(sides_of(found)) == {'helpful', 'harmless'}
    units = [
      comparisons_lib.hash_unit(prompt.dialogue.first_human) for prompt in found
    ]
    assert {unit < data.test_fraction for unit in units} == {is_held_out}
    assert len({prompt.id for prompt in found}) == len(found) > 4
    parts.append({prompt.dialogue.first_human for prompt in found})
  assert not parts[0] & parts[1]


def test_prompts_of_files_have_no_repetitions_and_may_run_out(hh):
  found = worlds.prompts(hh, 0, 100, 0.5, False)
  texts = [prompt.dialogue.first_human for prompt in found]
  assert len(set(texts)) == len(texts) < 25
  assert [prompt.id for prompt in found] == list(range(len(found)))
  assert worlds.prompts(hh, 0, 100, 0.5, False) == found


@pytest.mark.parametrize('fraction', [0.0, 1e-6])
def test_prompts_that_are_not_there_are_refused(hh, fraction):
  nothing = dataclasses.replace(hh, test_fraction=fraction)
  message = f'test part of data_dir={hh.data_dir} .* data.test_fraction='
  with pytest.raises(ValueError, match=message):
    worlds.prompts(nothing, 0, 8, 0.5, True)
  assert worlds.prompts(nothing, 0, 8, 0.5, False)


def test_only_the_lab_knows_the_truth():
  assert worlds.has_gold(LAB)
  assert worlds.lab_version(LAB) == constants.LAB_VERSION
  hh = DataConfig(world='hh')
  assert not worlds.has_gold(hh)
  assert worlds.lab_version(hh) is None


def test_the_best_style_is_better_than_nonsense():
  for prompt in worlds.prompts(LAB, 0, 10, 0.5, True):
    best = worlds.best_gold(prompt.dialogue, prompt.side)
    assert best > worlds.gold(prompt.dialogue, 'egg egg egg', prompt.side)


def test_lab_text_has_several_conversations_with_breaks():
  documents = worlds.documents(LAB, 0)
  assert len(documents) == 40
  roles = [
    [turn.role for turn in document.dialogue.turns] for document in documents
  ]
  assert any('break' in found for found in roles)
  assert all(found[0] == 'human' for found in roles)


def test_the_lab_has_ranked_answers_and_best_ones():
  config = PMPConfig(data=LAB, num_posts=12, pairs_per_post=2)
  pairs = worlds.ranked_pairs(config).pairs
  assert 0 < len(pairs) <= 24
  answers = worlds.best_answers(LAB, 0, 12)
  assert len(answers) == 12
  assert all(len(answer.turns) == 2 for answer in answers)
  best = {answer.first_human: answer.turns[1].text for answer in answers}
  assert any(best[pair.prompt.first_human] == pair.chosen for pair in pairs)


def test_questions_of_files_are_capped_or_all_taken(hh, tmp_path):
  rows = [
    {
      'site': 's',
      'question_id': i,
      'title': f't{i}',
      'body': 'b',
      'score': 1,
      'answers': [
        {'id': 1, 'score': 5, 'accepted': True, 'text': f'Good {i}.'},
        {'id': 2, 'score': 1, 'accepted': False, 'text': f'Bad {i}.'},
      ],
    }
    for i in range(7)
  ]
  samples.write(tmp_path / 'stackexchange' / 'posts.jsonl', rows)
  for num, expected in ((3, 3), (0, 7)):
    config = PMPConfig(data=hh, num_posts=num)
    assert worlds.ranked_pairs(config).num_posts == expected
  with pytest.raises(ValueError, match='num_posts'):
    PMPConfig(data=LAB, num_posts=0)


def test_each_world_has_its_prompt():
  lab = worlds.hhh_conversations(LAB)
  real = worlds.hhh_conversations(DataConfig(world='hh'))
  assert lab != real
  for conversations in (lab, real):
    assert all(c.turns[-1].role == 'assistant' for c in conversations)


def test_the_stand_in_judge_prefers_by_the_score_gap(hh):
  prompts = worlds.prompts(hh, 0, 4, 0.5, True)
  scores = {'a': 1.5, 'b': 0.0}
  judge = worlds.make_judge(hh, 0, prompts, lambda number, reply: scores[reply])
  choices = [judge(0, 'a', 'b', game) for game in range(2000)]
  wanted = 1 / (1 + np.exp(-1.5))
  assert abs(np.mean(choices) - wanted) < 4 * np.sqrt(wanted / 4 / 2000)
  assert [judge(0, 'a', 'b', game) for game in range(2000)] == choices


def test_the_crowd_judges_the_lab():
  prompts = worlds.prompts(LAB, 0, 4, 0.0, True)
  judge = worlds.make_judge(LAB, 0, prompts, lambda number, reply: 0.0)
  good = max(
    ('I do not know.', 'egg egg'),
    key=lambda text: worlds.gold(prompts[0].dialogue, text, 'helpful'),
  )
  bad = 'egg egg' if good != 'egg egg' else 'I do not know.'
  choices = [judge(0, good, bad, game) for game in range(300)]
  kept = [choice for choice in choices if choice is not None]
  assert len(kept) > 50
  assert np.mean(kept) > 0.5


def test_hash_of_texts_keeps_their_border():
  assert worlds.hash_text('ab', 'c') != worlds.hash_text('a', 'bc')


def test_refusals_are_told_by_the_judge_or_by_the_wording():
  (prompt,) = worlds.prompts(LAB, 0, 1, 0.0, is_held_out=True)
  request = reading.read(prompt.dialogue)
  manner = replies.manner_of({'polite': 0.0, 'full': 1.0, 'ending': 0.0})
  refused = {
    style: worlds.is_refusal(
      LAB,
      prompt.dialogue,
      replies.render(draws.stream(0, 'test', 0), request, style, manner),
    )
    for style in ('right', 'vague', 'refuse', 'redirect')
  }
  assert refused == {
    'right': False,
    'vague': False,
    'refuse': True,
    'redirect': True,
  }
  real = DataConfig(world='hh')
  assert worlds.is_refusal(real, prompt.dialogue, "I won't help with that.")
  assert not worlds.is_refusal(real, prompt.dialogue, 'Of course.')
