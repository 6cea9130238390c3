"""The whole paper in one run: each stage in its own folder, then the results.

A stage that is done is not run again; one that was stopped goes on. The last
thing written is `results.json`, for the report.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import logging
import pathlib
from collections.abc import Sequence
from typing import Any

from hh_jax.config import PipelineConfig
from hh_jax.stages import identity, inputs, pipeline_results
from hh_jax.stages.pipeline_plan import Planned, plan
from hh_jax.training import workdir as workdir_lib

log = logging.getLogger(__name__)


def run(config: PipelineConfig, workdir: str | pathlib.Path) -> dict[str, Any]:
  """Runs what is missing; returns and writes `workdir/results.json`.

  Raises:
    ValueError: Something is wrong that can be known before anything is
      trained; nothing is written then.
  """
  workdir = pathlib.Path(workdir)
  inputs.require(config)
  stages = plan(config, workdir)
  require_own(workdir, stages)
  inputs.require_readable(config)
  workdir.mkdir(parents=True, exist_ok=True)
  workdir_lib.write_json(
    workdir / workdir_lib.CONFIG, dataclasses.asdict(config)
  )
  for number, stage in enumerate(stages, start=1):
    line = stage.run(stage.config, workdir / stage.name)
    log.info('[%d/%d] %s', number, len(stages), line)
  results = pipeline_results.collect(config, workdir, stages)
  workdir_lib.write_json(workdir / 'results.json', results)
  return results


def require_own(workdir: pathlib.Path, stages: Sequence[Planned]) -> None:
  """Raises ValueError where a folder holds another run than planned."""
  if (workdir / workdir_lib.RECORD).exists():
    raise ValueError(
      f'workdir {workdir} holds the run of a single stage; '
      'give another --workdir'
    )
  config_file = workdir / workdir_lib.CONFIG
  if config_file.exists() and not is_pipeline(config_file):
    raise ValueError(
      f'{config_file} is not of a pipeline; give another --workdir'
    )
  for stage in stages:
    identity.check(stage.config, workdir / stage.name)
  for stage, later in itertools.combinations(stages, 2):
    if str(workdir / stage.name) in vars(later.config).values():
      require_length(stage, workdir / stage.name, workdir / later.name)


def is_pipeline(config_file: pathlib.Path) -> bool:
  """Whether a file holds the config of a pipeline, of this or another one."""
  try:
    saved = json.loads(config_file.read_text())
  except ValueError:
    return False
  stages = {field.name for field in dataclasses.fields(PipelineConfig)}
  return isinstance(saved, dict) and stages <= saved.keys()


def require_length(
  stage: Planned, folder: pathlib.Path, later: pathlib.Path
) -> None:
  """Raises ValueError where a stage is done, used, and now of other length.

  Args:
    stage: As planned.
    folder: Where it is.
    later: Where a stage is that starts from it.
  """
  done = workdir_lib.read_done(folder)
  planned = identity.planned_steps(stage.config)
  if not done or planned is None or not workdir_lib.has_work(later):
    return
  if planned != done['steps']:
    raise ValueError(
      f'{folder} ended after {done["steps"]} steps, {planned} are planned now, '
      f'and {later} has started from it; give another --workdir'
    )
