"""Which files of the real world a stage reads, and what they hold.

The lab is made, not read: its version says all.
"""

from __future__ import annotations

import functools
import hashlib
import pathlib
from collections.abc import Callable
from typing import Any, NamedTuple

from hh_jax.config import (
  DataConfig,
  DistillConfig,
  PMPConfig,
  PretrainConfig,
)
from hh_jax.data import comparisons, corpora, jsonl, ranked, tranches
from hh_jax.lab import constants


class Source(NamedTuple):
  """One kind of real data under a folder."""

  files: Callable[[pathlib.Path], list[pathlib.Path]]  # in reading order
  read: Callable[[pathlib.Path], object]


TEXT = Source(corpora.corpus_files, corpora.read_documents)
ANSWERS = Source(ranked.ranked_files, ranked.read_ranked_posts)
COMPARISONS = Source(tranches.comparison_files, comparisons.read_comparisons)
# What a stage reads, where that is not comparisons.
SOURCES: dict[type, tuple[Source, ...]] = {
  PretrainConfig: (TEXT,),
  DistillConfig: (TEXT, ANSWERS),
  PMPConfig: (ANSWERS,),
}


def of(config: Any) -> tuple[Source, ...]:
  """Returns what a stage reads of the real world."""
  return SOURCES.get(type(config), (COMPARISONS,))


def require_readable(config: Any) -> None:
  """Raises ValueError unless every row that a stage reads is as it must be."""
  if config.data.world == 'lab':
    return
  for source in of(config):
    source.read(pathlib.Path(config.data.data_dir))


def identity(config: Any) -> str:
  """Returns what must be equal for two runs of a stage to see the same data.

  The lab's version, or a hash over names and contents of the files that the
  stage reads: not over their place, so that a folder may be moved.

  Args:
    config: Of the stage.

  Raises:
    ValueError: The files are missing.
  """
  data: DataConfig = config.data
  if data.world == 'lab':
    return f'lab version {constants.LAB_VERSION}'
  root = pathlib.Path(data.data_dir)
  base = root.parent if root.is_file() else root
  files = [path for source in of(config) for path in source.files(root)]
  listing = []
  for path in files:
    found = path.stat()
    digest = _content(path, found.st_size, found.st_mtime_ns)
    listing.append(f'{path.relative_to(base)}:{digest}')
  digest = hashlib.sha256('\n'.join(listing).encode()).hexdigest()
  return f'{len(files)} files, {digest[:16]}'


@functools.cache
def _content(path: pathlib.Path, size: int, mtime_ns: int) -> str:
  """Hashes a file, once for each size and time of modification."""
  return jsonl.sha256_of(path)
