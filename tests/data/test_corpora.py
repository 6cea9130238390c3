"""Text corpora."""

import logging

import numpy as np
import pytest

from hh_jax.data import corpora
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
