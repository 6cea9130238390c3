"""The models of one size and seed, each trained when first asked for.

1. pretrain -> distill, and pretrain -> pmp -> pm, as in the pipeline.
2. A model lies in a folder whose name says its stage, size and seed, and has a
   hash of all that it depends on: the same model is never trained twice, and
   figures that share a workdir share their models.
3. A stage that was stopped goes on; another model never takes its folder.
"""

from __future__ import annotations

import contextlib
import contextvars
import dataclasses
import functools
import hashlib
import json
import logging
import pathlib
from collections.abc import Callable, Iterator
from typing import Any

from hh_jax.config import FigureConfig, LoopConfig, ModelConfig
from hh_jax.models import sizes
from hh_jax.stages import distill, identity, inputs, pm, pmp, pretrain
from hh_jax.training import fingerprint as fingerprint_lib
from hh_jax.training import workdir as workdir_lib

# Folders in the workdir.
MODELS = 'models'
PROGRAMS = 'programs'  # compiled, for models that differ in data alone
_HASH_DIGITS = 10

log = logging.getLogger(__name__)

# Folders that are done, which are not opened again at every mention.
_asked_for: contextvars.ContextVar[set[pathlib.Path]] = contextvars.ContextVar(
  'asked_for'
)


@dataclasses.dataclass(frozen=True)
class Lineage:
  """What one size and seed of a figure is trained into."""

  config: FigureConfig
  size: str
  seed: int
  workdir: pathlib.Path  # of the figures

  @functools.cached_property
  def model(self) -> ModelConfig:
    """The network of this size, otherwise as in the config."""
    return sizes.resized(self.config.pretrain.model, self.size)

  def pretrained(self) -> pathlib.Path:
    """Folder of the language model."""
    config = dataclasses.replace(self.config.pretrain, model=self.model)
    return self._trained('pretrain', config, pretrain.run)

  def teacher(self) -> pathlib.Path:
    """Folder of the language model that every size is distilled from [§A.1]."""
    return dataclasses.replace(self, size=self.config.teacher_size).pretrained()

  def distilled(self) -> pathlib.Path:
    """Folder of π0."""
    own, teacher = self.pretrained(), self.teacher()
    config = dataclasses.replace(
      self.config.distill,
      init_from=str(own),
      teacher_from='' if teacher == own else str(teacher),
    )
    return self._trained('distill', config, distill.run)

  def pmp(self, **changes: Any) -> pathlib.Path:
    """Folder of the preference model after pretraining on ranked answers."""
    config = dataclasses.replace(
      self.config.pmp, init_from=str(self.pretrained()), **changes
    )
    return self._trained('pmp', config, pmp.run)

  def pm(
    self, init_from: pathlib.Path | None = None, **changes: Any
  ) -> pathlib.Path:
    """Folder of a preference model; `changes` are fields of its config.

    Learning curves cost about as much as training a small one: the model of
    the figures' own comparisons has one, changed models where they ask for it.
    """
    base = self.config.pm
    is_changed = any(
      value != getattr(base, key) for key, value in changes.items()
    )
    if is_changed:
      changes = {'curve_points': 0, **changes}
    start = init_from or self.pmp()
    config = dataclasses.replace(base, init_from=str(start), **changes)
    return self._trained('pm', config, pm.run)

  def _trained(
    self,
    stage: str,
    config: Any,
    run: Callable[[Any, pathlib.Path], str],
  ) -> pathlib.Path:
    config = dataclasses.replace(
      config,
      seed=self.seed,
      data=inputs.place_data(self.config, config.data),
      loop=self._keep_programs(config.loop),
    )
    name = f'{stage}-{self.size}-{self.seed}-{digest(config)}'
    folder = self.workdir / MODELS / name
    asked_for = _asked_for.get(set())
    if folder not in asked_for:
      log.info('%s: %s', name, run(config, folder))
      asked_for.add(folder)
    return folder

  def _keep_programs(self, loop: LoopConfig) -> LoopConfig:
    cache = loop.compilation_cache or str(self.workdir / PROGRAMS)
    return dataclasses.replace(loop, compilation_cache=cache)


@contextlib.contextmanager
def noted() -> Iterator[set[pathlib.Path]]:
  """Collects the folders of the models that are asked for inside."""
  folders: set[pathlib.Path] = set()
  token = _asked_for.set(folders)
  try:
    yield folders
  finally:
    _asked_for.reset(token)


def seconds_of(folders: set[pathlib.Path]) -> float:
  """How long finished models took to train, whichever figure asked first."""
  return sum(workdir_lib.read_result(folder)['seconds'] for folder in folders)


def digest(config: Any) -> str:
  """A short hash of all that a stage's result depends on.

  Runs that it starts from count by the names of their folders, which are made
  of their own hashes.
  """
  sources = {
    key: pathlib.Path(value).name
    for key, value in vars(config).items()
    if key.endswith('_from')
  }
  whole = {**identity.fingerprint(config), **sources}
  whole |= {'length': identity.planned_steps(config)}
  text = json.dumps(fingerprint_lib.plain(whole), sort_keys=True)
  return hashlib.sha256(text.encode()).hexdigest()[:_HASH_DIGITS]


def largest(config: FigureConfig, workdir: pathlib.Path) -> Lineage:
  """The largest size with the first seed, where one model is looked at."""
  return Lineage(config, config.sizes[-1], config.seeds[0], workdir)


def of(config: FigureConfig, workdir: pathlib.Path) -> list[Lineage]:
  """Every size with every seed, the smallest size first."""
  return [
    Lineage(config, size, seed, workdir)
    for size in config.sizes
    for seed in config.seeds
  ]
