"""Text corpora and mixtures, ranked answers, prompts."""

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


def test_reads_everything(folder):
  corpus = corpora.read_corpus(folder)
  assert [d.text for d in corpus.documents] == [
    row['text'] for row in (*PLAIN, *TALK)
  ]
  assert corpus.counts['plain'] == corpora.FileCounts(10, 200, 0, 0, 1)
  assert {d.source for d in corpus.documents} == {'plain', 'talk'}


def test_dialogues_get_the_ids_of_turns(folder):
  tokenizer = samples.tokenizer()
  documents = corpora.read_corpus(folder).documents
  talk = documents[-1]
  assert talk.dialogue == samples.dialogue('q4', 'a4')
  np.testing.assert_array_equal(
    corpora.encode_document(tokenizer, talk),
    tokenizer.encode_dialogue(samples.dialogue('q4', 'a4')),
  )
  plain = corpora.encode_document(tokenizer, documents[0])
  assert documents[0].dialogue is None
  assert plain[-1] == tokenizer.eot
  assert tokenizer.decode(plain[:-1]) == documents[0].text


def test_other_speakers_stay_plain():
  assert corpora.to_document('A: hi\n\nB: hello', 'x').dialogue is None
  text = '\n\nHuman: a\n\nAssistant: b\n\n-----\n\nHuman: c'
  roles = [t.role for t in corpora.to_document(text, 'x').dialogue.turns]
  assert roles == ['human', 'assistant', 'break', 'human']


def test_caps_cut_plain_text_and_leave_out_dialogues(folder):
  corpus = corpora.read_corpus(folder, caps={'plain': 50, 'talk': 50}, seed=1)
  assert corpus.counts['plain'] == corpora.FileCounts(3, 50, 7, 150, 1)
  length = len(TALK[0]['text'])
  kept = 50 // length
  assert corpus.counts['talk'] == corpora.FileCounts(
    kept, kept * length, 5 - kept, (5 - kept) * length, 0
  )
  other = corpora.read_corpus(folder, caps={'plain': 50, 'talk': 50}, seed=2)
  assert other.documents != corpus.documents
  without = corpora.read_corpus(folder, caps={'talk': 0})
  assert without.counts['talk'].documents == 0


def test_weights_are_shares_of_characters(folder):
  corpus = corpora.read_corpus(
    folder, weights={'plain': 3.0, 'talk': 1.0}, num_characters=160
  )
  assert corpus.counts['plain'].characters == 120
  assert corpus.counts['talk'].characters <= 40
  only = corpora.read_corpus(folder, weights={'talk': 1}, num_characters=1000)
  assert {d.source for d in only.documents} == {'talk'}


def test_mixture_errors(folder):
  with pytest.raises(ValueError, match=r"no file named \['book'\]"):
    corpora.read_corpus(folder, caps={'book': 1})
  with pytest.raises(ValueError, match='go together'):
    corpora.read_corpus(folder, weights={'talk': 1.0})
  with pytest.raises(ValueError, match='must be >= 0'):
    corpora.read_corpus(folder, weights={'talk': -1.0}, num_characters=5)
  with pytest.raises(ValueError, match='no text is left'):
    corpora.read_corpus(folder, caps={'talk': 0, 'plain': 0})
  with pytest.raises(ValueError, match='does not exist'):
    corpora.read_corpus(folder / 'nowhere')


def test_read_documents_mixes_files(folder):
  documents = corpora.read_documents(folder)
  assert len(documents) == 15
  sources = [d.source for d in documents]
  assert sources != sorted(sources)
  assert corpora.read_documents(folder, limit=4) == documents[:4]


def test_texts_have_every_marker(folder):
  found = list(corpora.texts(corpora.read_corpus(folder).documents))
  assert found[0] == PLAIN[0]['text']
  assert found[-1] == '\n\nHuman: q4\n\nAssistant: a4'


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
  found = prompts_lib.prompts_of(pairs)
  assert (found.num_read, found.num_duplicates) == (3, 1)
  assert [p.dialogue for p in found.prompts] == [
    pairs[0].prompt,
    pairs[1].prompt,
  ]
  assert [(p.side, p.turn, p.id) for p in found.prompts] == [
    ('helpful', 1, 0),
    ('harmless', 2, 1),
  ]
  assert prompts_lib.from_comparisons(pairs) == list(found.prompts)
