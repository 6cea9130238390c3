"""Byte-level BPE, and the one way dialogues become ids.

1. Three special tokens: padding (id 0), end of text (1), end of context (2).
   Text never becomes one of them, whatever it spells.
2. A turn is its marker's ids, then the ids of one space and the text; an
   assistant turn ends with end-of-text. Marker and content are tokenised
   apart, so that ids of a prefix are a prefix of the ids.
3. A prompt for sampling ends with the ids of an open assistant turn; a scored
   reply is followed by end-of-context instead of end-of-text.

  python -m hh_jax.data.tokenizer --source=PATH --vocab_size=4096 --out=FILE

Reference: Bai et al. 2022, appendix A.2 (end-of-context token).
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import hashlib
import json
import os
import pathlib
import sys
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import tokenizers

from hh_jax.data import dialogue as dialogue_lib
from hh_jax.data import jsonl

PAD = '<|pad|>'
EOT = '<|endoftext|>'
EOC = '<|endofcontext|>'
SPECIAL_TOKENS = (PAD, EOT, EOC)

# Their ids in every vocabulary: compiled loops compare with these.
PAD_ID, EOT_ID, EOC_ID = 0, 1, 2

_NUM_BYTES = 256

# GPT-2's word pattern, with the turn markers as words of their own: a marker
# is then one token wherever training text has dialogues.
_WORDS = (
  r'\n\n(?:Human|Assistant):|\n\n-----'
  r"|'(?:[sdmt]|ll|ve|re)"
  r'| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+'
)


def special_tokens(bpe: tokenizers.Tokenizer) -> dict[int, str]:
  """Tokens that stand for no text, by id."""
  return {
    number: token.content
    for number, token in bpe.get_added_tokens_decoder().items()
    if token.special
  }


def _check_special(bpe: tokenizers.Tokenizer, origin: str) -> None:
  """Raises ValueError unless the first three ids are ours.

  The name of end-of-context marks such a vocabulary. Padding and end-of-text
  may keep the names that a public one gave them (`data.vocabulary`).
  """
  special = special_tokens(bpe)
  missing = [name for name in SPECIAL_TOKENS if name not in special.values()]
  if EOC in missing or (missing and not {PAD_ID, EOT_ID} <= special.keys()):
    raise ValueError(
      f'{origin} lacks the special tokens {missing}; add them, or train a '
      'tokenizer with `python -m hh_jax.data.tokenizer`'
    )
  if (
    special.get(EOC_ID) != EOC
    or special.get(PAD_ID, EOT) in (EOT, EOC)
    or special.get(EOT_ID, PAD) in (PAD, EOC)
  ):
    ids = tuple(bpe.token_to_id(name) for name in SPECIAL_TOKENS)
    raise ValueError(
      f'{origin} gives the special tokens the ids {ids}; sampling on the '
      f'device needs {(PAD_ID, EOT_ID, EOC_ID)}'
    )


@dataclasses.dataclass(frozen=True)
class Tokenizer:
  """Text to ids and back; build one with `train` or `load`."""

  bpe: tokenizers.Tokenizer

  def __post_init__(self):
    _check_special(self.bpe, 'tokenizer')
    self.bpe.encode_special_tokens = True
    self.bpe.no_padding()
    self.bpe.no_truncation()
    special = special_tokens(self.bpe)
    for name in special.values():
      if special.keys() & set(self.encode(name).tolist()):
        raise ValueError(
          f'this vocabulary merges the text {name!r} into a special token; '
          'train one with `python -m hh_jax.data.tokenizer`'
        )

  @classmethod
  def train(cls, texts: Iterable[str], vocab_size: int) -> Tokenizer:
    """Learns merges; the same texts in any order give the same ids.

    Args:
      texts: Training text; dialogues as formatted transcripts.
      vocab_size: Tokens including 256 bytes and the special ones. The result
        has fewer if the texts do not support so many merges.
    """
    smallest = _NUM_BYTES + len(SPECIAL_TOKENS)
    if vocab_size < smallest:
      raise ValueError(
        f'vocab_size={vocab_size} is below {smallest}, the bytes and special '
        'tokens'
      )
    bpe = tokenizers.Tokenizer(tokenizers.models.BPE())
    bpe.pre_tokenizer = tokenizers.pre_tokenizers.Sequence(
      [
        tokenizers.pre_tokenizers.Split(tokenizers.Regex(_WORDS), 'isolated'),
        tokenizers.pre_tokenizers.ByteLevel(
          add_prefix_space=False, use_regex=False
        ),
      ]
    )
    bpe.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
      vocab_size=vocab_size,
      min_frequency=2,
      special_tokens=list(SPECIAL_TOKENS),
      initial_alphabet=sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet()),
      show_progress=False,
    )
    bpe.train_from_iterator(texts, trainer)
    return cls(bpe)

  @classmethod
  def load(cls, path: str | os.PathLike[str]) -> Tokenizer:
    """Reads a `tokenizer.json` that has the three special tokens."""
    file = pathlib.Path(path)
    if not file.is_file():
      raise ValueError(f'{file} is not a file; give a tokenizer.json')
    try:
      bpe = tokenizers.Tokenizer.from_file(str(file))
    except Exception as error:  # the library raises bare Exception
      raise ValueError(
        f'{file} is not a tokenizer.json ({error}); train one with '
        '`python -m hh_jax.data.tokenizer`'
      ) from None
    _check_special(bpe, str(file))
    return cls(bpe)

  def save(self, path: str | os.PathLike[str]) -> None:
    file = pathlib.Path(path)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(self.bpe.to_str(pretty=True) + '\n', encoding='utf-8')

  @property
  def pad(self) -> int:
    return PAD_ID

  @property
  def eot(self) -> int:
    return EOT_ID

  @property
  def eoc(self) -> int:
    return EOC_ID

  @functools.cached_property
  def vocab_size(self) -> int:
    """One more than the largest id: rows that an embedding needs."""
    return max(self.bpe.get_vocab(with_added_tokens=True).values()) + 1

  @functools.cached_property
  def sha256(self) -> str:
    """Fingerprint of everything that decides the ids, not of a file."""
    model = json.loads(self.bpe.to_str())
    text = json.dumps(model, sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(text.encode('ascii')).hexdigest()

  @functools.cached_property
  def _markers(self) -> dict[str, np.ndarray]:
    return {
      role: self.encode(text) for role, text in dialogue_lib.MARKERS.items()
    }

  @functools.cached_property
  def turn_markers(self) -> tuple[tuple[int, ...], ...]:
    """Ids that open a turn: human, assistant, separator."""
    return tuple(
      tuple(self._markers[role].tolist()) for role in dialogue_lib.MARKERS
    )

  def encode_turn_marker(self, role: str) -> np.ndarray:
    """Ids of the marker that opens a turn of this role, [N] int32."""
    return self._markers[role]

  def encode(self, text: str) -> np.ndarray:
    """Ids of text, [N] int32; never a special id."""
    ids = self.bpe.encode(text, add_special_tokens=False).ids
    return np.asarray(ids, np.int32)

  def encode_turn(self, turn: dialogue_lib.Turn) -> np.ndarray:
    """Ids of one turn with its marker, [N] int32."""
    marker = self._markers[turn.role]
    if turn.role == dialogue_lib.BREAK:
      return marker
    content = self.encode_reply(turn.text)
    if turn.role == dialogue_lib.HUMAN:
      return np.concatenate((marker, content))
    return np.concatenate((marker, content, np.asarray([self.eot], np.int32)))

  def encode_dialogue(self, dialogue: dialogue_lib.Dialogue) -> np.ndarray:
    """Ids of all turns, [N] int32."""
    empty = np.zeros((0,), np.int32)
    return np.concatenate(
      [
        empty,
        *(self.encode_turn(turn) for turn in dialogue.turns),
      ]
    )

  def encode_prompt(self, dialogue: dialogue_lib.Dialogue) -> np.ndarray:
    """Ids of the turns and of an open assistant turn, [N] int32."""
    marker = self._markers[dialogue_lib.ASSISTANT]
    return np.concatenate((self.encode_dialogue(dialogue), marker))

  def encode_reply(self, text: str) -> np.ndarray:
    """Ids of what follows a marker, without end-of-text, [N] int32."""
    return self.encode(' ' + text)

  def decode(self, ids: Sequence[int] | np.ndarray) -> str:
    """Text of ids; special tokens and ids beyond the vocabulary vanish."""
    return self.bpe.decode(
      np.asarray(ids, np.int64).tolist(), skip_special_tokens=True
    )

  def decode_reply(self, ids: Sequence[int] | np.ndarray) -> str:
    """Text of a reply, without the one space that follows the marker."""
    return self.decode(ids).removeprefix(' ')


def _training_texts(source: pathlib.Path) -> Iterator[str]:
  """Texts of every row: 'text', or both transcripts of a comparison."""
  files = [source]
  if source.is_dir():
    files = sorted(path for path in source.rglob('*') if jsonl.is_jsonl(path))
  if not files:
    raise ValueError(f'{source} has no jsonl or jsonl.gz files')
  for path in files:
    for number, row in jsonl.read_rows(path):
      names = ('chosen', 'rejected') if 'chosen' in row else ('text',)
      for name in names:
        text = jsonl.text_field(path, number, row, name)
        is_open = text.startswith(('Human:', 'Assistant:'))
        yield '\n\n' + text if is_open else text


def main(argv: Sequence[str] | None = None) -> int:
  """Command line; returns the exit code."""
  parser = argparse.ArgumentParser(
    prog='hh_jax.data.tokenizer', description='Trains a byte-level BPE.'
  )
  parser.add_argument('--source', required=True, help='jsonl[.gz] or folder')
  parser.add_argument('--vocab_size', type=int, default=4096)
  parser.add_argument('--out', required=True, help='tokenizer.json to write')
  flags = parser.parse_args(argv)
  try:
    texts = _training_texts(pathlib.Path(flags.source))
    found = Tokenizer.train(texts, flags.vocab_size)
    found.save(flags.out)
  except (OSError, ValueError) as error:
    print(f'error: {error}', file=sys.stderr)
    return 2
  print(f'{flags.out}: {found.vocab_size} tokens, sha256 {found.sha256}')
  return 0


if __name__ == '__main__':
  sys.exit(main())
