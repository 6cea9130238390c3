"""What made a number: the commit and the versions of packages."""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import pathlib
import platform
import subprocess

# Packages whose version can change a number.
PACKAGES = (
  'hh_jax',
  'jax',
  'jaxlib',
  'flax',
  'optax',
  'orbax-checkpoint',
  'tokenizers',
  'numpy',
  'scipy',
)
PACKAGE = pathlib.Path(__file__).resolve().parents[1]


def versions() -> dict[str, str]:
  """Python and the packages that can change a number, where installed."""
  found = {'python': platform.python_version()}
  for name in PACKAGES:
    try:
      found[name] = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
      continue
  return found


def commit(
  root: pathlib.Path = PACKAGE.parent,
  ignore: pathlib.Path | None = None,
  pattern: str = '',
) -> str:
  """Commit of the checkout, with '+dirty' if files differ from it.

  Args:
    root: A folder inside the checkout.
    ignore: A file whose folder may differ: results, when written again, do
      not change what made them.
    pattern: Of the files to compare; all of the checkout's where empty.

  Returns:
    The hash, or 'unknown' outside a checkout.
  """
  found = _git(root, 'rev-parse', 'HEAD')
  if found is None:
    return 'unknown'
  scope = [pattern or ':/']
  if ignore is not None:
    folder = ignore.resolve().parent
    if folder != root and folder.is_relative_to(root):
      scope.append(f':(top,exclude){folder.relative_to(root).as_posix()}')
  status = _git(root, 'status', '--porcelain', '--', *scope)
  return found + ('+dirty' if status else '')


@functools.cache
def sources() -> dict[str, str]:
  """Hash of the package's sources, and their commit."""
  digest = hashlib.sha256()
  for path in sorted(PACKAGE.rglob('*.py')):
    digest.update(f'{path.relative_to(PACKAGE)}\n'.encode())
    digest.update(path.read_bytes())
  return {
    'hh_jax_sha256': digest.hexdigest(),
    'hh_jax_commit': commit(PACKAGE, pattern='*.py'),
  }


def _git(root: pathlib.Path, *arguments: str) -> str | None:
  try:
    done = subprocess.run(
      ['git', '-C', str(root), *arguments],
      capture_output=True,
      text=True,
      check=False,
      timeout=60,
    )
  except (OSError, subprocess.TimeoutExpired):
    return None
  return done.stdout.strip() if done.returncode == 0 else None
