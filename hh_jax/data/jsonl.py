"""JSON lines, plain or gzip, read with errors that name file and row."""

from __future__ import annotations

import gzip
import hashlib
import json
import pathlib
import re
import zlib
from collections.abc import Iterator

SUFFIXES = ('.jsonl', '.jsonl.gz')

_GZIP_MAGIC = b'\x1f\x8b'
_POINTER_START = b'version https://git-lfs'
_SURROGATE = re.compile('[\ud800-\udfff]')


def is_jsonl(path: pathlib.Path) -> bool:
  """Whether the name says JSON lines, plain or gzip."""
  return path.name.endswith(SUFFIXES)


def stem(path: pathlib.Path) -> str:
  """File name without `.jsonl` or `.jsonl.gz`."""
  return path.name.removesuffix('.gz').removesuffix('.jsonl')


def files_in(folder: pathlib.Path) -> list[pathlib.Path]:
  """JSON lines files directly in a folder, by name."""
  return sorted(path for path in folder.iterdir() if is_jsonl(path))


def sha256_of(path: pathlib.Path) -> str:
  """Hex digest of the file as it lies on disk."""
  digest = hashlib.sha256()
  with path.open('rb') as stream:
    while block := stream.read(1 << 20):
      digest.update(block)
  return digest.hexdigest()


def _check_head(path: pathlib.Path) -> bool:
  """Whether the file is gzip; raises for what is not data at all."""
  if not path.is_file():
    raise ValueError(f'{path} is not a file; give a jsonl or jsonl.gz file')
  with path.open('rb') as stream:
    head = stream.read(len(_POINTER_START))
  if head == _POINTER_START:
    raise ValueError(
      f'{path} is a git-lfs pointer, not data; run `git lfs pull` there or '
      'download the file itself'
    )
  is_gzip = head.startswith(_GZIP_MAGIC)
  if path.name.endswith('.gz') and not is_gzip:
    raise ValueError(f'{path} is not gzip; download it again')
  return is_gzip


def _parse_row(path: pathlib.Path, number: int, line: bytes) -> dict:
  try:
    row = json.loads(line)
  except (ValueError, RecursionError) as error:
    raise ValueError(
      f'{path} row {number}: not JSON ({error}); each line must be one '
      'JSON object'
    ) from None
  if not isinstance(row, dict):
    raise ValueError(
      f'{path} row {number}: a JSON {type(row).__name__}, not an object; '
      'each line must be one JSON object'
    )
  return row


def read_rows(path: pathlib.Path) -> Iterator[tuple[int, dict]]:
  """Yields (row number from 1, object); blank lines are skipped.

  Raises:
    ValueError: the file is missing, truncated or not JSON lines.
  """
  is_gzip = _check_head(path)
  number = 0
  with gzip.open(path, 'rb') if is_gzip else path.open('rb') as stream:
    while True:
      try:
        line = stream.readline()
      except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ValueError(
          f'{path} is truncated or damaged after row {number} ({error}); '
          'download it again'
        ) from None
      if not line:
        return
      number += 1
      if line.strip():
        yield number, _parse_row(path, number, line)


def text_field(path: pathlib.Path, number: int, row: dict, name: str) -> str:
  """The string under `name`.

  Raises:
    ValueError: the field is missing or is not a string.
  """
  value = row.get(name)
  if not isinstance(value, str):
    raise ValueError(
      f'{path} row {number}: field {name!r} is {type(value).__name__}, not a '
      f'string; the row has {sorted(row)}'
    )
  if not value.isascii() and _SURROGATE.search(value):
    raise ValueError(
      f'{path} row {number}: field {name!r} has half a surrogate pair, which '
      'is not text; repair the row'
    )
  return value


def write_rows(path: pathlib.Path, rows: Iterator[dict]) -> int:
  """Writes one object a line with sorted keys; returns how many."""
  count = 0
  with path.open('w', encoding='utf-8') as stream:
    for row in rows:
      stream.write(json.dumps(row, ensure_ascii=False, sort_keys=True) + '\n')
      count += 1
  return count
