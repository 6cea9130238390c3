"""Language-model text: files of documents, a row `{"text"}` each.

A text that opens with a Human or Assistant marker is parsed into a dialogue,
so that its turns get the same ids as everywhere else; any other stays plain.
"""

from __future__ import annotations

import dataclasses
import logging
import os
import pathlib
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from hh_jax.data import dialogue as dialogue_lib
from hh_jax.data import jsonl, order
from hh_jax.data import tokenizer as tokenizer_lib

log = logging.getLogger(__name__)

_OPENINGS = tuple(
  dialogue_lib.MARKERS[role].lstrip('\n')
  for role in (dialogue_lib.HUMAN, dialogue_lib.ASSISTANT)
)


@dataclasses.dataclass(frozen=True)
class Document:
  """Plain text, or a dialogue in the Human/Assistant form."""

  text: str
  dialogue: dialogue_lib.Dialogue | None
  source: str  # name of the file, without suffix


def to_document(text: str, source: str) -> Document:
  """Parses the Human/Assistant form; leaves any other text alone."""
  stripped = text.lstrip('\n')
  if not stripped.startswith(_OPENINGS):
    return Document(text, None, source)
  dialogue = dialogue_lib.parse_document('\n\n' + stripped)
  return Document(text, dialogue, source)


def encode_document(
  tokenizer: tokenizer_lib.Tokenizer, document: Document
) -> np.ndarray:
  """Ids of a document, [N] int32; it ends with end-of-text.

  A dialogue that ends on a human turn is left open.
  """
  if document.dialogue is not None:
    return tokenizer.encode_dialogue(document.dialogue)
  end = np.asarray([tokenizer.eot], np.int32)
  return np.concatenate((tokenizer.encode(document.text), end))


def encode_context(
  tokenizer: tokenizer_lib.Tokenizer,
  conversations: Sequence[dialogue_lib.Dialogue],
) -> np.ndarray:
  """Ids of conversations, each closed by a separator, [N] int32."""
  end = dialogue_lib.Turn(dialogue_lib.BREAK, '')
  turns = [
    turn for dialogue in conversations for turn in (*dialogue.turns, end)
  ]
  return tokenizer.encode_dialogue(dialogue_lib.Dialogue(tuple(turns)))


def after_marker(ids: np.ndarray, marker: np.ndarray) -> np.ndarray:
  """Ids that open with a turn marker, which is put there if it is missing."""
  if np.array_equal(ids[: len(marker)], marker):
    return ids
  return np.concatenate((marker, ids))


def texts(documents: Iterable[Document]) -> Iterator[str]:
  """Texts to train a tokenizer on, dialogues with all their markers."""
  for document in documents:
    if document.dialogue is None:
      yield document.text
    else:
      yield dialogue_lib.format_transcript(document.dialogue)


def corpus_files(data_dir: str | os.PathLike[str]) -> list[pathlib.Path]:
  """The file itself, or the jsonl[.gz] files of a folder by name."""
  path = pathlib.Path(data_dir)
  if path.is_file():
    return [path]
  if not path.is_dir():
    raise ValueError(f'{path} does not exist; give a jsonl file or a folder')
  files = jsonl.files_in(path)
  if not files and (path / 'lm_text').is_dir():
    files = jsonl.files_in(path / 'lm_text')
  if not files:
    raise ValueError(f'{path} has no jsonl or jsonl.gz files of text')
  return files


def read_documents(
  data_dir: str | os.PathLike[str], limit: int = 0, seed: int = 0
) -> list[Document]:
  """Reads documents in a seeded order that mixes the files.

  Blank rows are left out, and counted in the log.

  Args:
    data_dir: A jsonl[.gz] file or a folder of them.
    limit: Most documents to return; 0 is all.
    seed: Of the order.

  Raises:
    ValueError: A bad row, or no text at all.
  """
  documents: list[Document] = []
  num_blank = 0
  for path in corpus_files(data_dir):
    for number, row in jsonl.read_rows(path):
      text = jsonl.text_field(path, number, row, 'text')
      if text.strip():
        documents.append(to_document(text, jsonl.stem(path)))
      else:
        num_blank += 1
  if not documents:
    raise ValueError(f'{data_dir}: every text is blank; give rows with text')
  if num_blank:
    log.info('%s: %d blank rows are left out', data_dir, num_blank)
  ids = order.permutation(seed, 'corpus/documents', 0, len(documents))
  return [documents[index] for index in (ids[:limit] if limit else ids)]
