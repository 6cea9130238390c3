"""Small file operations that survive a kill: atomic text, hashes, listings.

Local paths are renamed into place; on object stores (`gs://...`) one write is
one PUT, which is atomic already.
"""

from __future__ import annotations

import hashlib
import os
import pathlib

from etils import epath

TEMPORARY = '.tmp'  # suffix of a file not yet renamed into place
CHUNK = 1 << 20  # bytes read at once


def as_path(path: str | os.PathLike[str]) -> epath.Path:
  """Returns an absolute path, local or on an object store."""
  text = os.fspath(path)
  return epath.Path(os.path.abspath(text) if is_local(text) else text)


def is_local(path: str | os.PathLike[str]) -> bool:
  """Whether a path is one of this file system, not an object store's."""
  return '://' not in os.fspath(path)


def is_link(path: epath.Path) -> bool:
  """Whether a path is a symbolic link, wherever it leads."""
  return is_local(path) and os.path.islink(path)


def write_atomic(path: str | os.PathLike[str], data: str | bytes) -> None:
  """Replaces a file so that readers see the old or the new one, whole."""
  content = data.encode() if isinstance(data, str) else data
  if not is_local(path):
    epath.Path(path).write_bytes(content)
    return
  target = pathlib.Path(path)
  temporary = target.with_name(target.name + TEMPORARY)
  with open(temporary, 'wb') as file:
    file.write(content)
    file.flush()
    os.fsync(file.fileno())
  os.replace(temporary, target)
  folder = os.open(target.parent, os.O_RDONLY)
  try:
    os.fsync(folder)
  finally:
    os.close(folder)


def remove(path: epath.Path) -> None:
  """Removes a file, a folder with all it holds, or a link (not its target)."""
  if is_link(path) or path.is_file():
    path.unlink()
  elif path.exists():
    path.rmtree()


def size_and_sha256(path: epath.Path) -> tuple[int, str]:
  """Returns a file's length in bytes and the hash of its content."""
  digest = hashlib.sha256()
  size = 0
  with path.open('rb') as file:
    while chunk := file.read(CHUNK):
      digest.update(chunk)
      size += len(chunk)
  return size, digest.hexdigest()


def list_files(folder: epath.Path) -> list[str]:
  """Lists the files below a folder as sorted relative paths.

  Raises:
    ValueError: The folder is missing, or holds anything but plain files and
      folders: a link could lead to bytes that change later.
  """
  if is_link(folder) or not folder.is_dir():
    raise ValueError(f'{folder} is missing or a link, not a folder')
  names = []
  for child in folder.iterdir():
    if is_link(child):
      raise ValueError(f'{child} is a symbolic link')
    if child.is_dir():
      names += [f'{child.name}/{name}' for name in list_files(child)]
    elif child.is_file():
      names.append(child.name)
    else:
      raise ValueError(f'{child} is neither a file nor a folder')
  return sorted(names)


def require_file_place(path: str, spelled: str) -> None:
  """Raises ValueError where no file of that name can be written.

  Args:
    path: On this file system.
    spelled: What to call it.
  """
  if pathlib.Path(path).is_dir():
    raise ValueError(f'{spelled} is a folder; name a file in it')
  require_folder_place(str(pathlib.Path(path).parent), spelled)


def require_folder_place(folder: str, spelled: str) -> None:
  """Raises ValueError where no folder of that name can be written to."""
  path = pathlib.Path(folder).absolute()
  found = next(place for place in (path, *path.parents) if place.exists())
  if not found.is_dir():
    raise ValueError(f'{spelled}: {found} is a file, not a folder')
  if not os.access(found, os.W_OK | os.X_OK):
    raise ValueError(f'{spelled}: {found} cannot be written to')
