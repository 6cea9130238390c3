"""What a public model's folder must hold, known before jax is loaded.

1. Weights and configuration as `models.public_folder` opens them.
2. `tokenizer.json`, with no more tokens than the embedding has rows.
3. The token that ends a text: the one asked for, else the folder's
   `eos_token_id`, else the one that its tokenizer's configuration names, else
   one of the usual names. Who said so is said.
4. A padding token, if there is one of that sole meaning.
"""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any

from hh_jax.config import PublicConfig
from hh_jax.data import vocabulary as vocabulary_lib
from hh_jax.data.tokenizer import EOT
from hh_jax.data.vocabulary import Public, Vocabulary
from hh_jax.models import public_folder
from hh_jax.models.public_folder import CONFIG, Folder

TOKENIZER = 'tokenizer.json'
GENERATION = 'generation_config.json'
TOKENIZER_CONFIG = 'tokenizer_config.json'
END_NAMES = (EOT, '</s>', '<|end_of_text|>', '<|im_end|>', '<eos>')
PAD_NAMES = ('<|pad|>', '<|padding|>', '<pad>', '[PAD]', '<|pad_token|>')


@dataclasses.dataclass(frozen=True)
class Source:
  """A folder that can become a run."""

  folder: Folder
  vocabulary: Vocabulary
  end_of_text: str  # the public token that becomes our end-of-text
  end_id: int  # where it stood
  said_by: str  # what named it
  padding: str  # the public token that becomes our padding; '': a new one


def open_source(config: PublicConfig) -> Source:
  """Opens the folder that a config names.

  Raises:
    FileNotFoundError: A file is not there.
    ValueError: A file is damaged or does not fit, or its contents are not
      supported.
  """
  path = pathlib.Path(config.source)
  if not config.source:
    raise ValueError(
      '--config.source is empty; give the folder of a public model'
    )
  if not path.is_dir():
    raise FileNotFoundError(f'--config.source={path} is no folder')
  folder = public_folder.open_folder(path)
  public = _read_tokenizer(path)
  num_rows = folder.config.vocab_size
  largest = max(public.ids.values())
  if largest >= num_rows:
    raise ValueError(
      f'{path / TOKENIZER} has tokens up to id {largest} and the embedding '
      f'only {num_rows} rows (vocab_size of {CONFIG})'
    )
  settings = {
    CONFIG: folder.public,
    GENERATION: _settings(path / GENERATION),
    TOKENIZER_CONFIG: _settings(path / TOKENIZER_CONFIG),
  }
  end, said_by = _end_of_text(config.end_of_text, public, settings, num_rows)
  padding = _padding(public, settings, end)
  try:
    vocabulary = vocabulary_lib.relabel(public, num_rows, end, padding)
  except ValueError as error:
    raise ValueError(f'{path / TOKENIZER}: {error}') from None
  return Source(folder, vocabulary, end, public.ids[end], said_by, padding)


def _read_tokenizer(path: pathlib.Path) -> Public:
  file = path / TOKENIZER
  if not file.is_file():
    raise FileNotFoundError(
      f'{path} has no {TOKENIZER}, which is needed (not tokenizer.model, '
      "vocab.json or merges.txt); transformers' AutoTokenizer writes it by "
      'save_pretrained'
    )
  try:
    return vocabulary_lib.read(file.read_text('utf-8'))
  except ValueError as error:
    raise ValueError(f'{file}: {error}') from None


def _settings(path: pathlib.Path) -> dict[str, Any]:
  return public_folder.read_json(path) if path.is_file() else {}


def _end_of_text(
  asked: str,
  public: Public,
  settings: Mapping[str, dict[str, Any]],
  num_rows: int,
) -> tuple[str, str]:
  """Returns the token that ends a text and what named it."""
  if asked:
    if asked not in public.ids:
      raise ValueError(
        f'--config.end_of_text={asked} is no token of {TOKENIZER}; special '
        f'ones are {sorted(public.special)[:8]}'
      )
    return asked, '--config.end_of_text'
  names = {number: name for name, number in public.ids.items()}
  for file in (CONFIG, GENERATION):
    given = settings[file].get('eos_token_id')
    # Of several ends the first is that of a text.
    number = given[0] if isinstance(given, list) and given else given
    if not isinstance(number, int):
      continue
    if not 0 <= number < num_rows:
      raise ValueError(
        f'{file}: eos_token_id={number} is outside the {num_rows} rows of the '
        'embedding; name the token by --config.end_of_text'
      )
    if number not in names:
      raise ValueError(
        f'{file}: eos_token_id={number} is no token of {TOKENIZER}; name the '
        'token by --config.end_of_text'
      )
    return names[number], file
  named = _name(settings[TOKENIZER_CONFIG].get('eos_token'))
  if named in public.ids:
    return named, TOKENIZER_CONFIG
  for name in END_NAMES:
    if name in public.special:
      return name, 'its name'
  raise ValueError(
    f'neither {CONFIG}, {GENERATION} nor {TOKENIZER_CONFIG} says which token '
    'ends a text; name it by --config.end_of_text'
  )


def _padding(
  public: Public, settings: Mapping[str, dict[str, Any]], end: str
) -> str:
  """Returns the token that only pads; '' where others serve as padding too."""
  names = {number: name for name, number in public.ids.items()}
  given = [
    names.get(settings[file].get('pad_token_id', -1), '')
    for file in (CONFIG, GENERATION)
  ]
  given.append(_name(settings[TOKENIZER_CONFIG].get('pad_token')))
  for name in (*PAD_NAMES, *given):
    # A mark that ends texts, or stands for an unknown piece, means something.
    means_something = (end, public.unknown, *END_NAMES)
    if name in public.special and name not in means_something:
      return name
  return ''


def _name(token: object) -> str:
  """Returns the text of a token of a tokenizer's configuration."""
  if isinstance(token, dict):
    token = token.get('content')
  return token if isinstance(token, str) else ''
