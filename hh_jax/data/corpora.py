"""Language-model text: documents, and mixtures of files.

1. Each row of a file is a document `{"text"}`. If it opens with a Human or
   Assistant marker it is parsed into a dialogue, so that its turns get the
   same ids as everywhere else; any other text stays plain.
2. A mixture caps the characters of each file, by number or by share of a
   total. Documents are taken in a seeded order; the last one is cut if it is
   plain text, and left out if it is a dialogue. What is left out is counted.
"""

from __future__ import annotations

import dataclasses
import os
import pathlib
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from hh_jax.data import dialogue as dialogue_lib
from hh_jax.data import jsonl, order
from hh_jax.data import tokenizer as tokenizer_lib

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


@dataclasses.dataclass(frozen=True)
class FileCounts:
  """What a mixture took of one file."""

  documents: int
  characters: int
  documents_left_out: int
  characters_left_out: int  # with the cut end of the last document taken
  empty: int  # blank rows, in neither count


@dataclasses.dataclass(frozen=True)
class Corpus:
  """Documents, file after file, and what was left out of each."""

  documents: tuple[Document, ...]
  counts: Mapping[str, FileCounts]  # by source


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


def _take(
  path: pathlib.Path, cap: int | None, seed: int
) -> tuple[list[Document], FileCounts]:
  """Documents of a file in seeded order, up to `cap` characters."""
  source = jsonl.stem(path)
  rows = [
    jsonl.text_field(path, number, row, 'text')
    for number, row in jsonl.read_rows(path)
  ]
  num_rows = len(rows)
  rows = [text for text in rows if text.strip()]
  total = sum(map(len, rows))
  room = total if cap is None else cap
  taken = []
  if cap is not None and rows:
    shuffled = order.permutation(seed, f'corpus/{source}', 0, len(rows))
    rows = [rows[index] for index in shuffled]
  for text in rows:
    document = to_document(text, source)
    is_cut = len(text) > room
    if room <= 0 or (is_cut and document.dialogue is not None):
      break
    if is_cut:
      document = dataclasses.replace(document, text=text[:room])
    taken.append(document)
    room -= len(text)
  characters = sum(len(document.text) for document in taken)
  return taken, FileCounts(
    documents=len(taken),
    characters=characters,
    documents_left_out=len(rows) - len(taken),
    characters_left_out=total - characters,
    empty=num_rows - len(rows),
  )


def _check_names(names: Mapping[str, float], sources: list[str]) -> None:
  unknown = sorted(set(names) - set(sources))
  if unknown:
    raise ValueError(f'no file named {unknown}; the folder has {sources}')


def _caps(
  sources: list[str],
  caps: Mapping[str, int],
  weights: Mapping[str, float],
  num_characters: int,
) -> dict[str, int | None]:
  """Characters to take of each file; None is all of it."""
  _check_names(caps, sources)
  _check_names(weights, sources)
  if bool(weights) != bool(num_characters):
    raise ValueError(
      f'weights={dict(weights)} and num_characters={num_characters} go '
      'together; give both or neither'
    )
  total = sum(weights.values())
  if weights and (total <= 0 or min(weights.values()) < 0):
    raise ValueError(f'weights={dict(weights)} must be >= 0 and not all 0')
  found: dict[str, int | None] = {}
  for source in sources:
    cap = caps.get(source)
    if weights:
      share = int(num_characters * weights.get(source, 0.0) / total)
      cap = share if cap is None else min(cap, share)
    found[source] = cap
  return found


def read_corpus(
  data_dir: str | os.PathLike[str],
  *,
  caps: Mapping[str, int] | None = None,
  weights: Mapping[str, float] | None = None,
  num_characters: int = 0,
  seed: int = 0,
) -> Corpus:
  """Reads text files into documents.

  Args:
    data_dir: A jsonl[.gz] file or a folder of them.
    caps: Most characters to take, by file name without suffix; 0 leaves the
      file out, a file not named is taken whole.
    weights: Shares of `num_characters` by file; a file not named gets none. A
      file shorter than its share is taken whole and not repeated.
    num_characters: Size of the mixture when there are weights.
    seed: Decides which documents of a capped file are taken.

  Raises:
    ValueError: a name that is no file, a bad row, or nothing left.
  """
  files = corpus_files(data_dir)
  sources = [jsonl.stem(path) for path in files]
  limits = _caps(sources, caps or {}, weights or {}, num_characters)
  documents: list[Document] = []
  counts: dict[str, FileCounts] = {}
  for path, source in zip(files, sources, strict=True):
    taken, counts[source] = _take(path, limits[source], seed)
    documents.extend(taken)
  if not documents:
    raise ValueError(f'{data_dir}: no text is left; check caps and weights')
  return Corpus(tuple(documents), counts)


def read_documents(
  data_dir: str | os.PathLike[str], limit: int = 0, seed: int = 0
) -> list[Document]:
  """All documents in a seeded order that mixes the files.

  Args:
    data_dir: A jsonl[.gz] file or a folder of them.
    limit: Most documents to return; 0 is all.
    seed: Of the order.
  """
  documents = read_corpus(data_dir).documents
  ids = order.permutation(seed, 'corpus/documents', 0, len(documents))
  return [documents[index] for index in (ids[:limit] if limit else ids)]
