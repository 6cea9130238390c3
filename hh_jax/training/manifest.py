"""The manifest of a checkpoint: the one mark that its files are whole.

1. It lists every file with size and SHA-256, every array with dtype and
   shape, the hash of the state and the fingerprint of the run.
2. It ends with a hash of itself, so that a damaged manifest is told from one
   that belongs to another run.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from etils import epath
from jaxtyping import PyTree

from hh_jax.training import distributed, files
from hh_jax.training import state as state_lib

SELF_HASH = 'manifest_sha256'
FileTable = dict[str, tuple[int, str]]  # relative path: bytes, sha256
TreeTable = dict[str, tuple[str, tuple[int, ...]]]  # path: dtype, shape


class IntegrityError(ValueError):
  """A checkpoint is not what was saved; an older one may still be."""


@dataclasses.dataclass(frozen=True)
class Manifest:
  """What a finished checkpoint holds."""

  step: int
  files: FileTable
  state_sha256: str
  fingerprint: dict[str, Any]
  tree: TreeTable

  def to_json(self) -> str:
    fields = dataclasses.asdict(self)
    fields[SELF_HASH] = _hash_of(fields)
    return json.dumps(fields, indent=1, sort_keys=True) + '\n'


def _hash_of(fields: Mapping[str, Any]) -> str:
  return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()


def read(path: epath.Path) -> Manifest:
  """Reads a manifest.

  Raises:
    IntegrityError: It is a link, cut short or changed.
  """
  if files.is_link(path):
    raise IntegrityError(f'{path.name} is a symbolic link')
  try:
    fields = json.loads(path.read_text())
    claimed = fields.pop(SELF_HASH)
    if claimed != _hash_of(fields):
      raise IntegrityError(f'{path.name} does not match its own hash')
    return Manifest(
      step=fields['step'],
      files={k: (v[0], v[1]) for k, v in fields['files'].items()},
      state_sha256=fields['state_sha256'],
      fingerprint=fields['fingerprint'],
      tree={k: (v[0], tuple(v[1])) for k, v in fields['tree'].items()},
    )
  except IntegrityError:
    raise
  except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
    raise IntegrityError(f'{path.name} cannot be read ({error})') from error


def describe_tree(tree: PyTree) -> TreeTable:
  """Returns dtype and shape of every leaf by path."""
  return {
    path: (leaf.dtype.name, tuple(leaf.shape))
    for path, leaf in state_lib.leaves_by_path(tree).items()
  }


def hash_files(folder: epath.Path) -> FileTable:
  """Hashes every file below a folder, each process its share.

  Raises:
    IntegrityError: A link, a missing folder, or a file that cannot be read.
  """
  try:
    names = files.list_files(folder)
    share = names[jax.process_index() :: jax.process_count()]
    table = {n: files.size_and_sha256(folder / n) for n in share}
  except (OSError, ValueError) as error:
    raise IntegrityError(str(error)) from error
  if jax.process_count() == 1:
    return table
  return _gather(names, table)


def _gather(names: list[str], table: FileTable) -> FileTable:
  """Joins the shares of all processes, as rows of 8 + 32 bytes."""
  rows = np.zeros((len(names), 40), np.uint8)
  for row, name in enumerate(names):
    if name in table:
      size, digest = table[name]
      content = size.to_bytes(8, 'little') + bytes.fromhex(digest)
      rows[row] = np.frombuffer(content, np.uint8)
  joined = distributed.gather('hashes of files', rows).max(0)
  return {
    name: (
      int.from_bytes(row[:8].tobytes(), 'little'),
      row[8:].tobytes().hex(),
    )
    for name, row in zip(names, joined, strict=True)
  }


def check_files(folder: epath.Path, manifest: Manifest) -> None:
  """Raises IntegrityError unless a folder is exactly what was published."""
  found = hash_files(folder)
  missing = sorted(manifest.files.keys() - found.keys())
  extra = sorted(found.keys() - manifest.files.keys())
  changed = sorted(
    name
    for name in found.keys() & manifest.files.keys()
    if found[name] != manifest.files[name]
  )
  for problem, names in (
    ('missing', missing),
    ('unexpected', extra),
    ('changed', changed),
  ):
    if names:
      raise IntegrityError(f'{problem} files: {", ".join(names[:3])}')


def check_tree(manifest: Manifest, tree: PyTree, prefix: str = '') -> None:
  """Raises ValueError unless a tree has the arrays of a checkpoint.

  Args:
    manifest: Of the checkpoint.
    tree: Arrays or shapes that are to be read.
    prefix: Part of the checkpoint that is read, such as 'params/'.
  """
  saved = {k: v for k, v in manifest.tree.items() if k.startswith(prefix)}
  wanted = {prefix + k: v for k, v in describe_tree(tree).items()}
  problems = [
    f'{path}: {_spelled(saved.get(path))} saved, '
    f'{_spelled(wanted.get(path))} wanted'
    for path in sorted(saved.keys() | wanted.keys())
    if saved.get(path) != wanted.get(path)
  ]
  if problems:
    raise ValueError(
      f'checkpoint {manifest.step} holds other arrays than this run '
      f'({len(problems)} differ): {"; ".join(problems[:3])}'
    )


def _spelled(leaf: tuple[str, tuple[int, ...]] | None) -> str:
  return f'{leaf[0]}{list(leaf[1])}' if leaf else 'nothing'
