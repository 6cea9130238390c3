"""Tokenizer: special tokens never come from text; turns concatenate."""

import hypothesis
import numpy as np
import pytest
import tokenizers
from hypothesis import strategies as st

from hh_jax.data import dialogue as dialogue_lib
from hh_jax.data import tokenizer as tokenizer_lib
from tests.data import samples

SPECIAL = tokenizer_lib.SPECIAL_TOKENS
_PIECES = st.one_of(st.text(max_size=8), st.sampled_from(SPECIAL))
_SPELLING = st.lists(_PIECES, max_size=5).map(''.join)


def test_ids_of_special_tokens():
  tokenizer = samples.tokenizer()
  assert (tokenizer.pad, tokenizer.eot, tokenizer.eoc) == (0, 1, 2)
  assert tokenizer.vocab_size == 320


@hypothesis.given(_SPELLING)
def test_text_round_trips_and_is_never_special(text):
  tokenizer = samples.tokenizer()
  ids = tokenizer.encode(text)
  assert ids.dtype == np.int32
  assert not set(ids.tolist()) & {0, 1, 2}
  assert tokenizer.decode(ids) == text


@pytest.mark.parametrize('special', SPECIAL)
def test_special_spelling_in_turns_and_replies(special):
  tokenizer = samples.tokenizer()
  said = samples.dialogue(f'say {special}', special, f'{special}{special}')
  ids = tokenizer.encode_prompt(said).tolist()
  assert ids.count(tokenizer.eot) == 1
  assert not {tokenizer.pad, tokenizer.eoc} & set(ids)
  reply = tokenizer.encode_reply(f'{special} and more {special}')
  assert reply.min() > 2
  assert tokenizer.decode_reply(reply) == f'{special} and more {special}'


@hypothesis.given(st.lists(_SPELLING, min_size=1, max_size=4))
def test_dialogue_is_the_concatenation_of_turns(texts):
  tokenizer = samples.tokenizer()
  dialogue = samples.dialogue(*texts)
  whole = tokenizer.encode_dialogue(dialogue)
  parts = [tokenizer.encode_turn(turn) for turn in dialogue.turns]
  np.testing.assert_array_equal(whole, np.concatenate(parts))
  for turn, ids in zip(dialogue.turns, parts):
    marker = tokenizer.encode(dialogue_lib.MARKERS[turn.role])
    np.testing.assert_array_equal(ids[: len(marker)], marker)
    assert (ids[-1] == tokenizer.eot) == (turn.role == 'assistant')
    content = ids[len(marker) :]
    assert tokenizer.decode(content) == ' ' + turn.text
  prompt = tokenizer.encode_prompt(dialogue)
  np.testing.assert_array_equal(prompt[: len(whole)], whole)
  assert tuple(prompt[len(whole) :]) == tokenizer.turn_markers[1]


def test_a_sampled_reply_is_the_data_turn():
  tokenizer = samples.tokenizer()
  prompt = samples.dialogue('Hi')
  sampled = [*tokenizer.encode_reply('Hello').tolist(), tokenizer.eot]
  np.testing.assert_array_equal(
    tokenizer.encode_dialogue(prompt.reply('Hello')),
    np.concatenate((tokenizer.encode_prompt(prompt), sampled)),
  )
  assert tokenizer.decode_reply(sampled) == 'Hello'
  assert tokenizer.decode_reply(tokenizer.encode_reply(' two')) == ' two'


def test_break_turn():
  tokenizer = samples.tokenizer()
  ids = tokenizer.encode_turn(dialogue_lib.Turn('break', ''))
  assert tokenizer.decode(ids) == '\n\n-----'
  assert tuple(ids) == tokenizer.turn_markers[2]


def test_markers_that_training_text_has_are_one_token():
  human, assistant, _ = samples.tokenizer().turn_markers
  assert len(human) == len(assistant) == 1


def test_training_is_deterministic_and_ignores_order():
  first = tokenizer_lib.Tokenizer.train(samples.TEXTS, 320)
  second = tokenizer_lib.Tokenizer.train(samples.TEXTS[::-1], 320)
  assert first.sha256 == second.sha256 == samples.tokenizer().sha256
  other = tokenizer_lib.Tokenizer.train(samples.TEXTS, 310)
  assert other.sha256 != first.sha256


def test_save_and_load(tmp_path):
  tokenizer = samples.tokenizer()
  tokenizer.save(tmp_path / 'new' / 'tokenizer.json')
  loaded = tokenizer_lib.Tokenizer.load(tmp_path / 'new' / 'tokenizer.json')
  assert loaded.sha256 == tokenizer.sha256
  text = f'What is the time? {SPECIAL[1]}'
  np.testing.assert_array_equal(loaded.encode(text), tokenizer.encode(text))


def _byte_bpe(first: int = 0) -> tokenizers.Tokenizer:
  """A GPT-2 style vocabulary of bytes whose ids start at `first`."""
  letters = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
  vocab = {letter: first + index for index, letter in enumerate(letters)}
  if first:
    names = tokenizer_lib.SPECIAL_TOKENS
    vocab |= {name: index for index, name in enumerate(names)}
  bpe = tokenizers.Tokenizer(tokenizers.models.BPE(vocab, []))
  bpe.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(
    add_prefix_space=False
  )
  bpe.decoder = tokenizers.decoders.ByteLevel()
  return bpe


def test_loads_another_vocabulary_with_the_special_tokens(tmp_path):
  bpe = _byte_bpe(first=3)
  bpe.add_special_tokens(list(tokenizer_lib.SPECIAL_TOKENS))
  bpe.save(str(tmp_path / 'tokenizer.json'))
  loaded = tokenizer_lib.Tokenizer.load(tmp_path / 'tokenizer.json')
  assert (loaded.pad, loaded.eot, loaded.eoc) == (0, 1, 2)
  assert loaded.vocab_size == 259
  assert loaded.encode('<|pad|>').min() > 2


def test_refuses_special_tokens_with_other_ids(tmp_path):
  bpe = _byte_bpe()
  bpe.add_special_tokens(list(tokenizer_lib.SPECIAL_TOKENS))
  bpe.save(str(tmp_path / 'tokenizer.json'))
  with pytest.raises(ValueError, match=r'ids \(256, 257, 258\)'):
    tokenizer_lib.Tokenizer.load(tmp_path / 'tokenizer.json')


def test_refuses_a_vocabulary_without_them(tmp_path, real_data):
  bpe = _byte_bpe()
  bpe.add_special_tokens(['<|endoftext|>'])
  bpe.save(str(tmp_path / 'tokenizer.json'))
  with pytest.raises(ValueError, match=r"lacks .*'<\|pad\|>'"):
    tokenizer_lib.Tokenizer.load(tmp_path / 'tokenizer.json')
  with pytest.raises(ValueError, match='lacks the special tokens'):
    tokenizer_lib.Tokenizer.load(
      real_data / 'tokenizer' / 'claude1' / 'tokenizer.json'
    )


def test_load_errors(tmp_path):
  with pytest.raises(ValueError, match='is not a file'):
    tokenizer_lib.Tokenizer.load(tmp_path / 'none.json')
  (tmp_path / 'bad.json').write_text('{}')
  with pytest.raises(ValueError, match='is not a tokenizer.json'):
    tokenizer_lib.Tokenizer.load(tmp_path / 'bad.json')
  with pytest.raises(ValueError, match='vocab_size=100 is below 259'):
    tokenizer_lib.Tokenizer.train(samples.TEXTS, 100)


def test_train_command(tmp_path, capsys):
  source = samples.write(
    tmp_path / 'text.jsonl.gz', [{'text': text} for text in samples.TEXTS]
  )
  out = tmp_path / 'tokenizer.json'
  argv = [f'--source={source}', '--vocab_size=320', f'--out={out}']
  assert tokenizer_lib.main(argv) == 0
  expected = samples.tokenizer().sha256
  assert expected in capsys.readouterr().out
  assert tokenizer_lib.Tokenizer.load(out).sha256 == expected


def test_train_command_errors(tmp_path, capsys):
  source = samples.write(tmp_path / 'text.jsonl', [{'words': 'x'}])
  argv = [f'--source={source}', f'--out={tmp_path / "t.json"}']
  assert tokenizer_lib.main(argv) == 2
  error = capsys.readouterr().err
  assert len(error.splitlines()) == 1
  assert "row 1: field 'text'" in error
