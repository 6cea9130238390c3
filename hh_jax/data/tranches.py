"""Which files of a folder hold comparisons, and what their names tell.

Reference: Bai et al. 2022, section 2.3; the layout of the released files.
"""

from __future__ import annotations

import logging
import os
import pathlib
import re

from hh_jax.data import jsonl

TRANCHES = (
  'harmless-base',
  'helpful-base',
  'helpful-online',
  'helpful-rejection-sampled',
)

_SIDE = re.compile(r'helpful|harmless')  # how a tranche's name starts
_NAME = re.compile(r'^(.*?)[._](train\w*|test\w*)$')

log = logging.getLogger(__name__)


def names_of(path: pathlib.Path) -> tuple[str, str]:
  """Side and tranche that a file's name tells, or else that of its folder.

  `harmless-base/test.jsonl.gz` and `harmless_base.test.jsonl.gz` are both
  ('harmless', 'harmless-base').
  """
  name, folder = jsonl.stem(path), path.absolute().parent.name
  match = _NAME.match(name)
  tranche = match.group(1) if match else name
  is_plain = not _SIDE.match(tranche)
  if name in ('train', 'test') or (is_plain and _SIDE.match(folder)):
    tranche = folder
  tranche = tranche.replace('_', '-')
  side = 'harmless' if tranche.startswith('harmless') else 'helpful'
  return side, tranche


def comparison_files(data_dir: str | os.PathLike[str]) -> list[pathlib.Path]:
  """Files of comparisons under a path, in reading order.

  Args:
    data_dir: A jsonl[.gz] file; a folder with the official layout
      `{tranche}/{train,test}.jsonl.gz`, with jsonl[.gz] files of its own, or
      both; or a folder that has one of these as `hh_rlhf`. A tranche is any
      folder whose name starts with a side; other folders are named in the log.

  Raises:
    ValueError: there is nothing to read there.
  """
  path = pathlib.Path(data_dir)
  if path.is_file():
    return [path]
  if not path.is_dir():
    raise ValueError(f'{path} does not exist; give a jsonl file or a folder')
  for folder in (path, path / 'hh_rlhf'):
    if folder.is_dir() and (found := _files_of(folder)):
      return found
  raise ValueError(
    f'{path} has no comparison files; expected *.jsonl[.gz] or '
    f'{TRANCHES[0]}/train.jsonl.gz and so on'
  )


def _files_of(folder: pathlib.Path) -> list[pathlib.Path]:
  """Files of the tranches in a folder, then its own."""
  found: list[pathlib.Path] = []
  others: list[str] = []
  for inner in sorted(path for path in folder.iterdir() if path.is_dir()):
    files = jsonl.files_in(inner)
    if _SIDE.match(inner.name):
      found += files
    elif files:
      others.append(f'{inner.name} ({len(files)} files)')
  found += jsonl.files_in(folder)
  if found and others:
    log.info(
      '%s: left out, since no tranche (helpful-*, harmless-*): %s',
      folder,
      ', '.join(others),
    )
  return found
