"""Text corpora, ranked answers, prompts."""

import logging

import numpy as np
import pytest

from hh_jax.data import corpora, ranked
from hh_jax.data import prompts as prompts_lib
from tests.data import samples

PLAIN = [{'text': f'line {i:02d} ' + 'x' * 12} for i in range(10)]
TALK = [{'text': f'Human: q{i}\n\nAssistant: a{i}'} for i in range(5)]


@pytest.fixture
def folder(tmp_path):
  samples.write(tmp_path / 'plain.jsonl.gz', [*PLAIN, {'text': ' \n'}])
  samples.write(tmp_path / 'talk.jsonl', TALK)
  return tmp_path


def test_reads_everything_but_blank_rows(folder, caplog):
  with caplog.at_level(logging.INFO):
    documents = corpora.read_documents(folder)
  texts = [row['text'] for row in (*PLAIN, *TALK)]
  assert sorted(document.text for document in documents) == sorted(texts)
  assert {document.source for document in documents} == {'plain', 'talk'}
  assert caplog.messages == [f'{folder}: 1 blank rows are left out']


def test_dialogues_get_the_ids_of_turns():
  tokenizer = samples.tokenizer()
  talk = corpora.to_document(TALK[4]['text'], 'talk')
  assert talk.dialogue == samples.dialogue('q4', 'a4')
  np.testing.assert_array_equal(
    corpora.encode_document(tokenizer, talk),
    tokenizer.encode_dialogue(samples.dialogue('q4', 'a4')),
  )
  line = corpora.to_document(PLAIN[0]['text'], 'plain')
  plain = corpora.encode_document(tokenizer, line)
  assert line.dialogue is None
  assert plain[-1] == tokenizer.eot
  assert tokenizer.decode(plain[:-1]) == line.text


def test_other_speakers_stay_plain():
  assert corpora.to_document('A: hi\n\nB: hello', 'x').dialogue is None
  text = '\n\nHuman: a\n\nAssistant: b\n\n-----\n\nHuman: c'
  roles = [t.role for t in corpora.to_document(text, 'x').dialogue.turns]
  assert roles == ['human', 'assistant', 'break', 'human']


def test_text_must_be_there(folder):
  with pytest.raises(ValueError, match='does not exist'):
    corpora.read_documents(folder / 'nowhere')
  samples.write(folder / 'blank' / 'text.jsonl', [{'text': ' \n'}])
  with pytest.raises(ValueError, match='every text is blank'):
    corpora.read_documents(folder / 'blank')


def test_read_documents_mixes_files(folder):
  documents = corpora.read_documents(folder)
  assert len(documents) == 15
  sources = [d.source for d in documents]
  assert sources != sorted(sources)
  assert corpora.read_documents(folder, limit=4) == documents[:4]


def test_texts_have_every_marker(folder):
  found = list(corpora.texts(corpora.read_documents(folder)))
  assert PLAIN[0]['text'] in found
  assert '\n\nHuman: q4\n\nAssistant: a4' in found


def test_context_closes_each_conversation():
  tokenizer = samples.tokenizer()
  talk = samples.dialogue('Hi', 'Hello')
  ids = corpora.encode_context(tokenizer, [talk, talk])
  one = [*tokenizer.encode_dialogue(talk), *tokenizer.turn_markers[2]]
  assert ids.tolist() == one + one


def test_after_marker_does_not_repeat_it():
  marker, ids = np.asarray([7, 8]), np.asarray([1, 2, 3])
  opened = corpora.after_marker(ids, marker)
  assert opened.tolist() == [7, 8, 1, 2, 3]
  assert corpora.after_marker(opened, marker).tolist() == opened.tolist()


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
  found = ranked.rank(read_posts(tmp_path, post([1, 5, 1]), post([2])))
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
  found = ranked.rank(posts, max_pairs=1)
  assert [(p.chosen, p.rejected) for p in found.pairs] == [
    ('answer 1', 'answer 0')
  ]
  assert found.num_capped == 2


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
  found = ranked.rank(ranked.read_ranked_posts(real_data))
  assert found.num_posts == 3805
  assert found.num_answers == 8561
  assert len(found.pairs) == 11280


def test_prompts_are_unique():
  pairs = [
    samples.comparison('a'),
    samples.comparison('b', 'c', 'd', side='harmless'),
    samples.comparison('a', chosen='other'),
  ]
  assert prompts_lib.from_comparisons(pairs) == [
    prompts_lib.Prompt(pairs[0].prompt, 'helpful', 0),
    prompts_lib.Prompt(pairs[1].prompt, 'harmless', 1),
  ]
