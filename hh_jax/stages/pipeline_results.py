"""Gathers a finished pipeline's result files into the report's input."""

from __future__ import annotations

import dataclasses
import json
import pathlib
from collections.abc import Sequence
from typing import Any

from hh_jax.config import PipelineConfig
from hh_jax.data.comparisons import SIDES
from hh_jax.stages import targets, worlds
from hh_jax.stages.pipeline_plan import Planned
from hh_jax.training import metrics as metrics_lib
from hh_jax.training import workdir as workdir_lib

TRAINED = (
  'pretrain',
  'distill',
  'pmp',
  'pm',
  'pm_held_out',
  'pm_helpful',
  'pm_harmless',
  'rlhf',
)
# What a committed result file holds of `results.json`.
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
  'data_checks',
  'prompt_effect',
  'gold',
  'elo',
  'predicted_elo',
  'games',
  'win_rates',
  'pm_gain',
  'kl',
  'frontier',
  'prompts',
  'end',
  'alarms',
  'rejection',
  'thresholds',
  'state_sha256',
  'stage_commits',
)


def collect(
  config: PipelineConfig, workdir: pathlib.Path, stages: Sequence[Planned]
) -> dict[str, Any]:
  """Returns the content of `results.json`."""
  done = {
    stage.name: workdir_lib.read_result(workdir / stage.name)
    for stage in stages
  }
  evaluation = json.loads(
    (workdir / 'evaluate' / 'evaluation.json').read_text()
  )
  frontier = done['rlhf']['frontier']
  results = {
    'world': config.world,
    'size': config.size,
    'seeds': [config.seed],
    'seconds': round(sum(result['seconds'] for result in done.values()), 1),
    'lab_version': worlds.lab_version(stages[0].config.data),
    'stages': {
      stage.name: describe_stage(workdir, stage, done[stage.name])
      for stage in stages
    },
    'frontier': frontier,
    **{name: done['rlhf'][name] for name in ('prompts', 'end', 'shown')},
    'alarms': done['rlhf'].get('alarms', []),
    'kl': {name: frontier[-1][name] for name in ('kl', 'k1', 'k3')},
    'prompt_effect': done['distill']['prompt_effect'],
    'rejection': done['rejection'],
    'state_sha256': {name: done[name]['state_sha256'] for name in TRAINED},
    'stage_commits': {
      stage.name: started_at(workdir / stage.name) for stage in stages
    },
    **evaluation,
  }
  results['thresholds'] = thresholds(results)
  return results


def started_at(workdir: pathlib.Path) -> str:
  """Returns the commit of the code that started a run."""
  return workdir_lib.read_record(workdir)['versions']['hh_jax_commit']


def describe_stage(
  workdir: pathlib.Path, stage: Planned, result: dict[str, Any]
) -> dict[str, Any]:
  """Returns the row of the report's table of what was trained on what."""
  fields = dataclasses.asdict(stage.config)
  init = fields.get('init_from') or fields.get('policy_from') or ''
  optimizer = fields.get('optimizer', {})
  path = workdir / stage.name / 'metrics.jsonl'
  weight = sum(
    line.get('train/weight', 0.0)
    for line in (metrics_lib.read_metrics(path) if path.exists() else [])
  )
  steps = result.get('steps', 0)
  return {
    'init': pathlib.Path(init).name,
    'data': describe_data(fields),
    'examples': result.get('num_comparisons')
    or steps * fields['data']['batch_size'],
    'steps': steps,
    'loss_terms': weight,
    'learning_rate': optimizer.get('lr_override')
    or optimizer.get('lr_multiple'),
    'is_multiple': not optimizer.get('lr_override'),
    'seconds': result['seconds'],
    'result': result['line'],
  }


def describe_data(fields: dict[str, Any]) -> str:
  """Says what a stage saw: world, part of the training split, mixture."""
  data = fields['data']
  parts = [data['world']]
  if (data['span_start'], data['span_end']) != (0.0, 1.0):
    parts.append(f'part {data["span_start"]:g} to {data["span_end"]:g}')
  fraction = fields.get('harmless_fraction', -1.0)
  if fraction != -1.0:
    parts.append(f'{fraction:.0%} harmless')
  return ', '.join(parts)


def thresholds(results: dict[str, Any]) -> list[dict[str, Any]]:
  """Holds the lab's results against what the paper's findings ask for."""
  if 'gold' not in results:
    return []
  rows = [
    targets.at_most(
      f'Bayes rate less PM accuracy, {side}',
      results['bayes_accuracy'][side][1] - results['pm_accuracy'][side][1],
      0.03,
    )
    for side in SIDES
    if side in results['pm_accuracy']
  ]
  cross = results['cross_accuracy']
  rows += [
    targets.below(
      f'{side}-only PM on {other} comparisons',
      cross[f'{side}_pm'][other][1],
      0.45,
    )
    for side, other in (('helpful', 'harmless'), ('harmless', 'helpful'))
    if other in cross[f'{side}_pm']
  ]
  for label, table in results['gold'].items():
    start, end, best = (
      table[name][1] for name in ('pi0', 'rlhf', 'best_style')
    )
    rows.append(
      targets.at_least(
        f'share of the way from π0 to the best style, {label}',
        share_of_way(start, end, best),
        0.5,
      )
    )
  elo = results['elo']['overall']
  best_of = next(name for name in elo if name.startswith('best_of'))
  rows += [
    targets.at_least(
      'Elo of RLHF less best-of-k', elo['rlhf'][1] - elo[best_of][1], 0.0
    ),
    targets.above('lower end of RLHF Elo over π0', elo['rlhf'][0], 0.0),
    targets.above('lower end of best-of-k Elo over π0', elo[best_of][0], 0.0),
  ]
  return rows


def share_of_way(start: float, end: float, best: float) -> float:
  """How far `end` is from `start` to `best`; where there is no way, 1 or 0."""
  if best > start:
    return (end - start) / (best - start)
  return float(end >= best)


def kept_values(results: dict[str, Any]) -> dict[str, Any]:
  """Returns what a committed result file holds: numbers, no texts."""
  values = {name: results[name] for name in KEPT if name in results}
  values['calibration'] = {
    name: curve['ece'] for name, curve in results['calibration'].items()
  }
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
