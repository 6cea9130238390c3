"""Public vocabularies with special tokens at our ids."""

import json

import numpy as np
import pytest
import tokenizers

from hh_jax.data import vocabulary

LETTERS = 'abcdefgh'


def public(*special):
  """Letters, and special tokens after them."""
  vocab = {name: number for number, name in enumerate(LETTERS)}
  bpe = tokenizers.Tokenizer(tokenizers.models.BPE(vocab, []))
  bpe.add_special_tokens(list(special))
  return vocabulary.read(bpe.to_str())


def names_of(found):
  vocab = found.tokenizer.bpe.get_vocab(with_added_tokens=True)
  return {number: name for name, number in vocab.items()}


def test_three_swaps_and_nothing_else_moves():
  found = vocabulary.relabel(public('<end>', '<pad>'), 10, '<end>', '<pad>')
  assert found.fresh == {'<|endofcontext|>': 2}
  names = names_of(found)
  assert [names[i] for i in range(3)] == ['<pad>', '<end>', '<|endofcontext|>']
  assert [names[i] for i in range(3, 8)] == list('defgh')
  assert {names[i] for i in range(8, 11)} == set('abc')
  assert found.moved == {9: 0, 8: 1, 10: 2, 0: 9, 1: 8, 2: 10}


@pytest.mark.parametrize(('num_rows', 'size'), [(9, 11), (10, 11), (20, 20)])
def test_new_tokens_take_spare_rows_first(num_rows, size):
  found = vocabulary.relabel(public('<end>'), num_rows, '<end>')
  assert found.size == size
  assert found.fresh == {'<|pad|>': 0, '<|endofcontext|>': 2}
  assert found.known.sum() == 9
  assert not found.known[[0, 2]].any()
  assert set(found.order) == set(range(size))


def test_rows_move_with_their_tokens_and_new_ones_are_the_mean():
  before = np.random.default_rng(0).normal(size=(16, 4)).astype(np.float32)
  found = vocabulary.relabel(public('<end>'), 9, '<end>')
  after = before.copy()
  found.move_rows(after)
  np.testing.assert_array_equal(after[1], before[8])  # the end of text
  np.testing.assert_array_equal(after[3:8], before[3:8])
  np.testing.assert_allclose(after[[0, 2]], [before[:9].mean(0)] * 2, atol=1e-6)
  np.testing.assert_array_equal(after[11:], before[11:])
  moved = {old: new for old, new in found.moved.items() if old < 9}
  np.testing.assert_array_equal(
    after[list(moved.values())], before[list(moved)]
  )


def test_a_vocabulary_of_ours_stays_as_it_is():
  first = vocabulary.relabel(public('<end>'), 9, '<end>')
  again = vocabulary.read(first.tokenizer.bpe.to_str())
  second = vocabulary.relabel(again, first.size, '<end>', '<|pad|>')
  assert not second.moved and not second.fresh
  assert second.tokenizer.sha256 == first.tokenizer.sha256


def test_what_surrounds_pads_or_cuts_a_text_is_left_out():
  bpe = tokenizers.Tokenizer.from_str(json.dumps(public('<end>').fields))
  bpe.post_processor = tokenizers.processors.TemplateProcessing(
    single='<end> $A', special_tokens=[('<end>', 8)]
  )
  bpe.enable_padding(length=9)
  bpe.enable_truncation(2)
  found = vocabulary.relabel(vocabulary.read(bpe.to_str()), 9, '<end>')
  saved = json.loads(found.tokenizer.bpe.to_str())
  for name in ('post_processor', 'padding', 'truncation'):
    assert saved[name] is None
  assert found.tokenizer.bpe.encode('defg').ids == [3, 4, 5, 6]


def test_an_end_that_was_no_special_token_becomes_one():
  fields = public().fields
  fields['model']['vocab']['<end>'] = 8
  plain = vocabulary.read(json.dumps(fields))
  found = vocabulary.relabel(plain, 9, '<end>')
  assert found.tokenizer.bpe.get_added_tokens_decoder()[1].special
  assert found.tokenizer.decode([1, 3]) == 'd'
  with pytest.raises(ValueError, match="merges the text 'h' into a special"):
    vocabulary.relabel(plain, 9, 'h')


def test_text_of_a_real_vocabulary(real_data):
  path = real_data / 'tokenizer' / 'claude1' / 'tokenizer.json'
  text = path.read_text('utf-8')
  found = vocabulary.relabel(vocabulary.read(text), 65_024, '<EOT>')
  bpe = tokenizers.Tokenizer.from_str(text)
  bpe.encode_special_tokens = True
  ids = np.argsort(found.order)
  for part in ('\n\nHuman: What is <EOT>?', '<META> <SOS> é 你好', text[:2000]):
    public_ids = bpe.encode(part, add_special_tokens=False).ids
    np.testing.assert_array_equal(found.tokenizer.encode(part), ids[public_ids])
    assert found.tokenizer.encode(part).min() > 2
