"""What every training stage does around its own arithmetic.

1. `begin` claims the workdir: the config is written, a workdir that holds
   something else is refused, a finished one is recognised.
2. `train` builds the state on the mesh, restores a verified checkpoint where
   there is one, and runs the loop.
3. `finish` describes the model for `hh_jax.load` and marks the run done.
"""

from __future__ import annotations

import dataclasses
import pathlib
import time
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental.compilation_cache import compilation_cache

from hh_jax import sharding
from hh_jax.config import LoopConfig, require_positions
from hh_jax.data.tokenizer import Tokenizer
from hh_jax.models.transformer import Transformer
from hh_jax.stages import identity, loading
from hh_jax.training import distributed
from hh_jax.training import loop as loop_lib
from hh_jax.training import metrics as metrics_lib
from hh_jax.training import state as state_lib
from hh_jax.training import workdir as workdir_lib
from hh_jax.types import Metrics, RunState


@dataclasses.dataclass(frozen=True)
class Session:
  """A claimed workdir of one stage."""

  stage: str
  workdir: pathlib.Path
  loop: LoopConfig
  fingerprint: dict[str, Any]
  result: dict[str, Any] | None  # of an earlier process that finished
  started: float  # unix time, earlier by what earlier processes worked

  def train(
    self,
    init: Callable[[], RunState],
    advance: Callable[[RunState, int], tuple[RunState, Metrics]],
    total_steps: int,
    hooks: loop_lib.Hooks = loop_lib.NO_HOOKS,
  ) -> RunState:
    """Runs the stage's loop to its end; resumes where it was stopped."""
    mesh = sharding.make_mesh(
      self.loop.mesh_data, self.loop.mesh_fsdp, self.loop.mesh_tensor
    )
    with jax.set_mesh(mesh):
      return loop_lib.run_loop(
        self.workdir,
        state=place(init(), mesh),
        advance=advance,
        total_steps=total_steps,
        fingerprint=self.fingerprint,
        loop=self.loop,
        stage=self.stage,
        hooks=hooks,
      )

  def finish(
    self,
    line: str,
    values: Mapping[str, Any],
    state: RunState,
    model: Transformer,
    tokenizer: Tokenizer,
  ) -> str:
    """Closes a stage that trained: writes what `hh_jax.load` needs too."""
    if distributed.is_first():
      loading.describe_model(self.workdir, self.stage, model, tokenizer)
    trained = {
      'steps': int(state.step),
      'state_sha256': state_lib.state_sha256(state),
    }
    return self._mark_done(line, {**trained, **values})

  def close(self, line: str, values: Mapping[str, Any]) -> str:
    """Closes a stage that trained nothing; its numbers are its metrics."""
    with metrics_lib.MetricsLog(self.workdir) as log:
      log.write(1, metrics_lib.flatten(values))
    return self._mark_done(line, values)

  def _mark_done(self, line: str, values: Mapping[str, Any]) -> str:
    """Writes the result and frees the folder; returns the one line."""
    distributed.wait('done')
    if distributed.is_first():
      seconds = round(time.time() - self.started, 1)
      workdir_lib.write_done(
        self.workdir, {'line': line, **values, 'seconds': seconds}
      )
    workdir_lib.release(self.workdir)
    return line


def begin(
  stage: str,
  config: Any,
  workdir: str | pathlib.Path,
  sources: Mapping[str, loading.Run],
  hashes: Mapping[str, str] | None = None,
) -> Session:
  """Claims `workdir` for a stage.

  Args:
    stage: Its name.
    config: Its config dataclass.
    workdir: Where everything it writes goes.
    sources: The runs it starts from, by a name of each; they enter the
      fingerprint by the hash of what they hold.
    hashes: Those of sources that hold no model, by the same names.

  Raises:
    ValueError: The workdir holds another run, or another process works there.
  """
  whole = {'stage': stage, **identity.fingerprint(config), **(hashes or {})}
  for name, source in sources.items():
    whole[name] = source.state_sha256
    require_positions(source.model.config, config.data)
  identity.check(config, workdir)
  folder = pathlib.Path(workdir)
  if distributed.is_first():
    workdir_lib.prepare(
      folder,
      dataclasses.asdict(config),
      whole,
      identity.planned_steps(config),
    )
  distributed.wait('workdir')
  _enable_compilation_cache(config.loop)
  return Session(
    stage=stage,
    workdir=folder,
    loop=config.loop,
    fingerprint=whole,
    result=workdir_lib.read_done(folder),
    started=time.time() - workdir_lib.seconds_before(folder),
  )


def place(state: RunState, mesh: jax.sharding.Mesh) -> RunState:
  """Copies a state onto the mesh, so that donating it frees nobody else's."""
  copied = state_lib.leaves_by_path(jax.tree.map(jnp.copy, state))
  placed = jax.device_put(copied, sharding.tree_shardings(copied, mesh))
  return state_lib.replace_leaves(state, placed)


def _enable_compilation_cache(loop: LoopConfig) -> None:
  if not loop.compilation_cache:
    return
  jax.config.update('jax_compilation_cache_dir', loop.compilation_cache)
  jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.0)
  # JAX decides at its first compilation whether there is a cache at all.
  compilation_cache.reset_cache()


def last_metric(claimed: Session, name: str, window: int = 20) -> float:
  """Returns the mean of a metric over the last `window` steps."""
  lines = metrics_lib.read_metrics(claimed.workdir / 'metrics.jsonl')
  values = [line[name] for line in lines[-window:] if name in line]
  return sum(values) / max(len(values), 1)
