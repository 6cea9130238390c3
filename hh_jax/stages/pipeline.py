"""The whole paper in one run: each stage in its own folder, then the results.

1. pretrain -> distill (π0); pretrain -> pmp.
2. pm (the mixture, which rewards), pm_held_out (on the other part of the
   comparisons), pm_helpful and pm_harmless (one side each).
3. rejection (best of k) and rlhf from π0.
4. evaluate, and `results.json` for the report.

A stage that is done is not run again; one that was stopped goes on.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import logging
import pathlib
import time
from collections.abc import Callable, Sequence
from typing import Any

from hh_jax.config import DataConfig, PipelineConfig
from hh_jax.stages import (
  distill,
  evaluate,
  pipeline_results,
  pm,
  pmp,
  pretrain,
  rejection,
  rlhf,
  session,
  worlds,
)
from hh_jax.training import workdir as workdir_lib

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Planned:
  """One stage of the chain: what it is called and how it is run."""

  name: str
  config: Any
  run: Callable[[Any, pathlib.Path], str]


def plan(config: PipelineConfig, workdir: pathlib.Path) -> list[Planned]:
  """Returns the stages in order, their configs complete."""

  def path(name: str) -> str:
    return str(workdir / name)

  def complete(stage: Any, **fields: Any) -> Any:
    data = place_data(config, stage.data)
    return dataclasses.replace(stage, seed=config.seed, data=data, **fields)

  base = complete(config.pm, init_from=path('pmp'))
  other_part = dataclasses.replace(
    base.data, span_start=base.data.span_end, span_end=1.0
  )
  one_side = complete(config.pm_one_side, init_from=path('pmp'))
  policy = {'policy_from': path('distill'), 'pm_from': path('pm')}
  return [
    Planned('pretrain', complete(config.pretrain), pretrain.run),
    Planned(
      'distill',
      complete(config.distill, init_from=path('pretrain')),
      distill.run,
    ),
    Planned('pmp', complete(config.pmp, init_from=path('pretrain')), pmp.run),
    Planned('pm', base, pm.run),
    Planned('pm_held_out', dataclasses.replace(base, data=other_part), pm.run),
    Planned(
      'pm_helpful',
      dataclasses.replace(one_side, harmless_fraction=0.0),
      pm.run,
    ),
    Planned(
      'pm_harmless',
      dataclasses.replace(one_side, harmless_fraction=1.0),
      pm.run,
    ),
    Planned('rejection', complete(config.rejection, **policy), rejection.run),
    Planned(
      'rlhf',
      complete(config.rlhf, held_out_pm_from=path('pm_held_out'), **policy),
      rlhf.run,
    ),
    Planned(
      'evaluate',
      complete(
        config.evaluate,
        pm_from=path('pm'),
        held_out_pm_from=path('pm_held_out'),
        pm_helpful_from=path('pm_helpful'),
        pm_harmless_from=path('pm_harmless'),
        reference_from=path('distill'),
        rlhf_from=path('rlhf'),
      ),
      evaluate.run,
    ),
  ]


def place_data(config: PipelineConfig, data: DataConfig) -> DataConfig:
  """Points a stage's data at the pipeline's world and folder."""
  return dataclasses.replace(data, world=config.world, data_dir=config.data_dir)


def run(config: PipelineConfig, workdir: str | pathlib.Path) -> dict[str, Any]:
  """Runs what is missing; returns and writes `workdir/results.json`.

  Raises:
    ValueError: Something is wrong that can be known before anything is
      trained; nothing is written then.
  """
  workdir = pathlib.Path(workdir)
  data = place_data(config, config.pm.data)
  worlds.require_data(data)
  stages = plan(config, workdir)
  require_own(workdir, stages)
  worlds.require_everything(data, config.seed)
  workdir.mkdir(parents=True, exist_ok=True)
  workdir_lib.write_json(
    workdir / workdir_lib.CONFIG, dataclasses.asdict(config)
  )
  started = time.time()
  for number, stage in enumerate(stages, start=1):
    line = stage.run(stage.config, workdir / stage.name)
    log.info('[%d/%d] %s', number, len(stages), line)
  results = pipeline_results.collect(config, workdir, stages)
  results['wall_seconds'] = round(time.time() - started, 1)
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
    session.check(stage.config, workdir / stage.name)
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
  planned = session.planned_steps(stage.config)
  if not done or planned is None or not workdir_lib.has_work(later):
    return
  if planned != done['steps']:
    raise ValueError(
      f'{folder} ended after {done["steps"]} steps, {planned} are planned now, '
      f'and {later} has started from it; give another --workdir'
    )


KEPT = (
  'world',
  'size',
  'lab_version',
  'data_card',
  'num_test',
  'pm_accuracy',
  'pm_accuracy_by_turn',
  'pm_accuracy_by_tranche',
  'bayes_accuracy',
  'cross_accuracy',
  'baselines',
  'prompt_effect',
  'gold',
  'elo',
  'predicted_elo',
  'games',
  'win_rates',
  'pm_score',
  'kl',
  'frontier',
  'rejection',
  'thresholds',
  'state_sha256',
  'stage_commits',
)


def kept_values(results: dict[str, Any]) -> dict[str, Any]:
  """Returns what a committed result file holds: numbers, no texts."""
  values = {name: results[name] for name in KEPT if name in results}
  values['calibration'] = {
    name: curve['ece'] for name, curve in results['calibration'].items()
  }
  values['frontier'] = [
    {name: value for name, value in point.items() if name != 'shown'}
    for point in results['frontier']
  ]
  values['seconds_by_stage'] = {
    name: stage['seconds'] for name, stage in results['stages'].items()
  }
  return values


def summary(results: dict[str, Any]) -> str:
  """Says what the run reached, a line a finding."""
  lines = [
    f'{name}: {stage["result"]} ({stage["seconds"]:.0f} s)'
    for name, stage in results['stages'].items()
  ]
  for row in results['thresholds']:
    mark = 'reached' if row['met'] else 'MISSED'
    lines.append(f'{mark}: {row["name"]} {row["value"]} ({row["target"]})')
  return '\n'.join(lines)
