"""Checkpoints that are restored whole or not at all.

1. Orbax writes `checkpoints/<step>/`. Orbax makes the folder appear at once,
   but would restore flipped bits, follow links and cast dtypes.
2. So every file is hashed and `<step>.manifest.json` is renamed into place
   beside the folder. Only a step with a manifest counts.
3. A file `<step>.saving` stands while a step is being written. A step folder
   with neither has lost its manifest, which is damage, not a fresh start.
4. Restoring takes the newest step that verifies, and says aloud which ones do
   not. If none does, or the run is another one, it raises.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Collection, Iterator, Mapping
from os import PathLike
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from etils import epath
from jaxtyping import PyTree

from hh_jax.training import distributed, files, watchdog
from hh_jax.training import fingerprint as fingerprint_lib
from hh_jax.training import manifest as manifest_lib
from hh_jax.training import state as state_lib
from hh_jax.training.manifest import IntegrityError, Manifest
from hh_jax.types import Params

FOLDER = 'checkpoints'
MANIFEST = '.manifest.json'
SAVING = '.saving'
PARAMS = 'params'
OURS = re.compile(
  r'\d+(\.orbax-checkpoint-tmp.*|(\.manifest\.json|\.saving)?(\.tmp)?)'
)

TreeT = TypeVar('TreeT')
Workdir = str | PathLike[str]
Leaf = jax.Array | jax.ShapeDtypeStruct | np.ndarray | np.generic

log = logging.getLogger(__name__)


def save(
  workdir: Workdir,
  tree: PyTree,
  *,
  step: int,
  fingerprint: Mapping[str, Any],
  keep: int = 3,
  keep_steps: Collection[int] = (),
) -> Manifest:
  """Saves a tree of arrays as one step, then drops what it supersedes.

  All processes call this; it returns when the step is published.

  Args:
    workdir: Of the run, on a file system that all processes share.
    tree: Arrays, such as a `RunState`.
    step: Names the checkpoint. Newer ones left by an abandoned continuation
      are removed.
    fingerprint: JSON of what must be equal for a run to go on from here.
    keep: How many of the newest steps stay.
    keep_steps: Steps that stay beside them.
  """
  import orbax.checkpoint as ocp

  folder = files.as_path(workdir) / FOLDER
  is_first = distributed.is_first()
  if is_first:
    folder.mkdir(parents=True, exist_ok=True)
    files.write_atomic(folder / f'{step}{SAVING}', '')
    files.remove(folder / f'{step}{MANIFEST}')
    files.remove(folder / str(step))
  distributed.wait('checkpoint-start')
  with ocp.StandardCheckpointer() as writer:
    writer.save(folder / str(step), _nest(state_lib.leaves_by_path(tree)))
  distributed.wait('checkpoint-written')
  with watchdog.limit('hashing a checkpoint'):  # which gathers the state
    state_sha256 = state_lib.state_sha256(tree)
  manifest = Manifest(
    step=step,
    files=manifest_lib.hash_files(folder / str(step)),
    state_sha256=state_sha256,
    fingerprint=fingerprint_lib.plain(fingerprint),
    tree=manifest_lib.describe_tree(tree),
  )
  distributed.wait('checkpoint-hashed')
  if is_first:
    files.write_atomic(folder / f'{step}{MANIFEST}', manifest.to_json())
    _prune(folder, step, keep, keep_steps)
  distributed.wait('checkpoint-published')
  return manifest


def restore(
  workdir: Workdir, target: TreeT, fingerprint: Mapping[str, Any]
) -> TreeT | None:
  """Restores the newest step that verifies.

  Args:
    workdir: Of the run.
    target: Arrays, or `jax.ShapeDtypeStruct`s, to be matched in structure,
      shape, dtype and sharding; their values are not read.
    fingerprint: Of this run.

  Returns:
    A tree as `target`, or None if no checkpoint was ever published.

  Raises:
    ValueError: No step verifies, or the checkpoints belong to another run;
      starting afresh would hide either.
  """
  folder = files.as_path(workdir) / FOLDER
  problems: list[str] = []
  for manifest in _manifests(folder, problems):
    found = fingerprint_lib.differences(manifest.fingerprint, fingerprint)
    if found:
      raise ValueError(
        f'{folder} belongs to another run: {"; ".join(found)}; '
        'give another --workdir'
      )
    manifest_lib.check_tree(manifest, target)
    try:
      return _restore_step(folder, manifest, target)
    except IntegrityError as error:
      _report(problems, manifest.step, error)
  _refuse_if_damaged(folder, problems)
  return None


def load_params(
  workdir: Workdir, step: int | None = None, target: Params | None = None
) -> Params:
  """Loads the parameters that another run saved.

  Args:
    workdir: Of that run.
    step: Which checkpoint; the newest that verifies by default.
    target: Shapes with shardings, to spread the parameters over a mesh; they
      are put on the default device without it.

  Raises:
    ValueError: Nothing is saved there, or nothing verifies.
  """
  folder = files.as_path(workdir) / FOLDER
  problems: list[str] = []
  for manifest in _manifests(folder, problems, step):
    wanted = _saved_params(manifest) if target is None else target
    manifest_lib.check_tree(manifest, wanted, f'{PARAMS}/')
    try:
      manifest_lib.check_files(folder / str(manifest.step), manifest)
      tree = _read_arrays(folder / str(manifest.step), {PARAMS: wanted})
      return tree[PARAMS]
    except IntegrityError as error:
      _report(problems, manifest.step, error)
  _refuse_if_damaged(folder, problems)
  raise ValueError(
    f'{folder} holds no checkpoint'
    + (f' of step {step}' if step is not None else '')
    + '; has the stage that writes it finished?'
  )


def save_params(
  workdir: Workdir,
  params: Params,
  *,
  step: int = 0,
  fingerprint: Mapping[str, Any] | None = None,
) -> Manifest:
  """Saves parameters alone, for `load_params`."""
  return save(
    workdir, {PARAMS: params}, step=step, fingerprint=fingerprint or {}
  )


def published_steps(workdir: Workdir) -> list[int]:
  """Lists the steps that have a manifest, newest first; verifies nothing."""
  return _steps(files.as_path(workdir) / FOLDER, MANIFEST)


def read_manifest(workdir: Workdir, step: int | None = None) -> Manifest:
  """Reads the manifest of a step, by default the newest that can be read."""
  folder = files.as_path(workdir) / FOLDER
  problems: list[str] = []
  for manifest in _manifests(folder, problems, step):
    return manifest
  raise ValueError(f'{folder} holds no readable manifest {problems}')


def _restore_step(
  folder: epath.Path, manifest: Manifest, target: TreeT
) -> TreeT:
  """Reads one step, its files verified before and its arrays after."""
  manifest_lib.check_files(folder / str(manifest.step), manifest)
  tree = _read_arrays(folder / str(manifest.step), target)
  if state_lib.state_sha256(tree) != manifest.state_sha256:
    raise IntegrityError('the arrays read differ from those saved')
  return tree


def _manifests(
  folder: epath.Path, problems: list[str], step: int | None = None
) -> Iterator[Manifest]:
  """Yields readable manifests, newest first; the others become problems."""
  steps = _steps(folder, MANIFEST)
  for number in _steps(folder, ''):
    if number not in steps and not (folder / f'{number}{SAVING}').exists():
      _report(problems, number, IntegrityError('its manifest is missing'))
  for number in steps:
    if step is not None and number != step:
      continue
    try:
      manifest = manifest_lib.read(folder / f'{number}{MANIFEST}')
      if manifest.step != number:
        raise IntegrityError(f'its manifest is that of step {manifest.step}')
    except IntegrityError as error:
      _report(problems, number, error)
    else:
      yield manifest


def _report(problems: list[str], step: int, error: Exception) -> None:
  problems.append(f'step {step}: {error}')
  log.warning('checkpoint %d is damaged and not used: %s', step, error)


def _refuse_if_damaged(folder: epath.Path, problems: list[str]) -> None:
  if problems:
    raise ValueError(
      f'no checkpoint in {folder} verifies ({"; ".join(problems)}); '
      'put a good copy back or give another --workdir'
    )


def _steps(folder: epath.Path, suffix: str) -> list[int]:
  """Lists the steps that have an entry `<step><suffix>`, newest first."""
  if not folder.exists():
    return []
  pattern = re.compile(r'(0|[1-9]\d*)' + re.escape(suffix))
  matches = [pattern.fullmatch(child.name) for child in folder.iterdir()]
  return sorted((int(m[1]) for m in matches if m), reverse=True)


def _prune(
  folder: epath.Path, step: int, keep: int, keep_steps: Collection[int]
) -> None:
  """Leaves published steps up to `step`, the newest and those to keep."""
  published = [s for s in _steps(folder, MANIFEST) if s <= step]
  wanted = {*published[:keep], *(s for s in published if s in keep_steps)}
  kept = {f'{s}{suffix}' for s in wanted for suffix in ('', MANIFEST)}
  # Folders sort before their manifests: a kill in between leaves a manifest
  # that does not verify, not a folder that seems to have lost its own.
  for child in sorted(folder.iterdir()):
    if OURS.fullmatch(child.name) and child.name not in kept:
      files.remove(child)


def _read_arrays(folder: epath.Path, target: PyTree) -> PyTree:
  """Reads the part of a step that `target` spells, on its shardings.

  Leaves that are spread over a mesh are read shard by shard. The others are
  read by the host and left uncommitted, as fresh arrays are, so that they may
  meet arrays of any mesh.
  """
  import orbax.checkpoint as ocp

  def how(leaf: Leaf) -> ocp.RestoreArgs:
    sharding = _sharding_of(leaf)
    if sharding is None:
      return ocp.RestoreArgs(restore_type=np.ndarray)
    return ocp.ArrayRestoreArgs(
      sharding=sharding, global_shape=leaf.shape, dtype=leaf.dtype
    )

  leaves = state_lib.leaves_by_path(target)
  shapes = {
    path: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype)
    for path, leaf in leaves.items()
  }
  with ocp.PyTreeCheckpointer() as reader:
    tree = reader.restore(
      folder,
      args=ocp.args.PyTreeRestore(
        item=_nest(shapes),
        restore_args=_nest({path: how(leaf) for path, leaf in leaves.items()}),
        partial_restore=True,
      ),
    )
  arrays = {
    path: leaf if isinstance(leaf, jax.Array) else jnp.array(leaf)
    for path, leaf in state_lib.leaves_by_path(tree).items()
  }
  return state_lib.replace_leaves(target, arrays)


def _sharding_of(leaf: Leaf) -> jax.sharding.Sharding | None:
  """Returns the sharding of a leaf that is spread over a mesh, else None."""
  if not isinstance(leaf, jax.Array | jax.ShapeDtypeStruct):
    return None
  if isinstance(leaf.sharding, jax.sharding.SingleDeviceSharding):
    return None
  return leaf.sharding


def _saved_params(manifest: Manifest) -> Params:
  """Rebuilds the nested parameter dictionary that a manifest describes."""
  prefix = f'{PARAMS}/'
  return _nest(
    {
      path.removeprefix(prefix): jax.ShapeDtypeStruct(shape, jnp.dtype(dtype))
      for path, (dtype, shape) in manifest.tree.items()
      if path.startswith(prefix)
    }
  )


def _nest(leaves: Mapping[str, object]) -> dict[str, Any]:
  """Turns {'a/b': leaf} into {'a': {'b': leaf}}.

  Orbax is given dictionaries only, so that a checkpoint opens without the
  classes of this package.
  """
  tree: dict[str, Any] = {}
  for path, leaf in leaves.items():
    *parents, name = path.split('/')
    node = tree
    for parent in parents:
      node = node.setdefault(parent, {})
    node[name] = leaf
  return tree
