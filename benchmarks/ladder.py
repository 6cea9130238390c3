"""Compiles every stage of every rung for a slice of TPU v5p it fits on.

  python -m benchmarks.ladder --record=results/ladder.json

1. A row is a rung and a stage with its context: pretraining at 8,192 tokens,
   distillation, preference models at 1,024 and 2,048, RLHF at prompt and 128.
   RLHF makes two: the rollout and the update.
2. Each is planned by `hh_jax.launch.plan` in a process of its own, for the
   smallest slice on which the account on paper leaves room. Where the compiler
   finds that it does not fit, the next larger one is taken, and that is told.
3. The file is written after every row; the same command goes on where it was
   stopped. `--sizes` and `--stages` choose rows.

It needs libtpu (`pip install -e '.[plan]'`), and hours for the largest rungs.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib.util
import json
import pathlib
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from benchmarks.results import Results
from hh_jax.launch import plan as command
from hh_jax.models.sizes import LADDER
from hh_jax.planning import ledger, meshes, roofline, search
from hh_jax.planning import topology as topology_lib

Row = dict[str, Any]

CHIP = 'v5p'
SLICES = '2x2x1 2x2x2 2x2x4 2x4x4 4x4x4 4x4x8 4x8x8 8x8x8'.split()
# Of the ladder, with the tokens of a row; 0: the config's. Preference models
# are pretrained by the update that they are trained by.
STAGES = {'pretrain': (0,), 'distill': (0,), 'pm': (1024, 2048), 'rlhf': (0,)}
ROLLOUT = ('reshard', 'prefill', 'decode')


@dataclasses.dataclass(frozen=True)
class Job:
  """A stage of a rung, planned in one go."""

  size: str
  stage: str
  context: int = 0  # tokens of a row; 0: the config's

  @property
  def arguments(self) -> list[str]:
    """What the planner is given, but for the slice and the mesh."""
    path = f'configs/{self.stage}.py:size={self.size},world=hh'
    length = [f'--config.data.row_length={self.context}'] * bool(self.context)
    return [f'--config={path}', *length]

  @property
  def names(self) -> tuple[str, ...]:
    """Of its rows."""
    if self.stage == 'rlhf':
      return ('rlhf rollout', 'rlhf update')
    return (f'{self.stage} {self.context}' if self.context else self.stage,)


def jobs(sizes: Sequence[str], stages: Sequence[str]) -> Iterator[Job]:
  """The jobs of some rungs and stages, small ones first."""
  for size in sizes:
    for stage, contexts in STAGES.items():
      if stage in stages:
        yield from (Job(size, stage, context) for context in contexts)


def slices(job: Job) -> Iterator[tuple[str, ledger.Mesh]]:
  """The slices that have room on paper, the smallest first."""
  path, *overrides = job.arguments
  config, model = command.read_config(path.partition('=')[2], overrides)
  load = meshes.load_of(config, model)
  for shape in SLICES:
    topology = topology_lib.parse(f'{CHIP}:{shape}')
    rates = roofline.Rates(topology.chip, topology.shape, model.compute_dtype)
    found = search.proposals(topology.num_chips, load, rates)
    if found and found[0].fits:
      yield topology.name, found[0].mesh


def planned(job: Job) -> Row:
  """The plan for the smallest slice that fits, by the compiler's word.

  Raises:
    SystemExit: The planner failed, or no slice has room.
  """
  too_small: list[str] = []
  for name, mesh in slices(job):
    plan = _run_planner([*job.arguments, *_mesh_flags(mesh)], name)
    if all(step['fits'] for step in plan['steps']):
      return {**plan, 'too_small': too_small}
    too_small.append(name)
  sys.exit(
    f'{job.size} {job.stage}: no slice of up to {SLICES[-1]} chips fits'
    f'{"; tried " + ", ".join(too_small) if too_small else ""}'
  )


def _mesh_flags(mesh: ledger.Mesh) -> list[str]:
  return [f'--config.loop.mesh_{axis}={n}' for axis, n in mesh.shape.items()]


def _run_planner(arguments: Sequence[str], topology: str) -> Row:
  with tempfile.TemporaryDirectory() as folder:
    file = pathlib.Path(folder) / 'plan.json'
    line = [sys.executable, '-m', 'hh_jax.launch.plan', *arguments]
    line += [f'--topology={topology}', f'--json={file}']
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    # It is there, too, where a step does not fit and the exit code says so.
    if not file.exists():
      sys.exit(f'{" ".join(line[1:])}\n{done.stderr[-2000:]}')
    return json.loads(file.read_text())


def rows(job: Job, plan: Mapping[str, Any]) -> list[Row]:
  """The rows of a plan: one a step, those of a rollout together."""
  facts = {
    'size': job.size,
    'topology': plan['topology'],
    'num_chips': plan['num_chips'],
    'mesh': plan['mesh'],
    'remat': plan['model']['remat'],
    'too_small': plan['too_small'],
  }
  if job.stage != 'rlhf':
    return [{'job': job.names[0], **facts, **summed(plan['steps'])}]
  rollout = [s for s in plan['steps'] if s['step'] in ROLLOUT]
  update = [s for s in plan['steps'] if s['step'] not in ROLLOUT]
  return [
    {'job': name, **facts, **summed(steps)}
    for name, steps in zip(job.names, (rollout, update), strict=True)
  ]


def summed(steps: Sequence[Mapping[str, Any]]) -> Row:
  """One row of steps that follow one another.

  Time and MFU are of all of them as often as they run beside the last one;
  memory is of the fullest.
  """
  main = steps[-1]
  each = [1.0 if s is main else s['runs'] / main['runs'] for s in steps]
  seconds = sum(s['seconds'] * n for s, n in zip(steps, each, strict=True))
  useful = sum(
    s['mfu'] * s['seconds'] * n for s, n in zip(steps, each, strict=True)
  )
  fullest = max(steps, key=lambda step: step['memory_total'])
  return {
    'rows': main['rows'],
    'context': main['context'],
    'parameters': main['parameters'],
    'memory_gib': fullest['memory_total'] / 2**30,
    'memory_chip_gib': fullest['memory_chip'] / 2**30,
    'memory': fullest['memory'],
    'seconds': seconds,
    'tokens_per_second': main['tokens'] / seconds,
    'mfu': useful / seconds,
    'bound': max(steps, key=lambda s: s['seconds'])['bound'],
    'collectives': {step['step']: step['collectives'] for step in steps},
    'compile_seconds': sum(step['compile_seconds'] for step in steps),
    'warnings': sorted({w for step in steps for w in step['warnings']}),
  }


def tell(row: Row) -> None:
  """Says what came out for one row."""
  mesh = ' '.join(f'{axis}={n}' for axis, n in row['mesh'].items())
  print(
    f'{row["size"]} {row["job"]}: {row["topology"]}, {mesh}, {row["rows"]} x '
    f'{row["context"]}, {row["memory_gib"]:.1f} of '
    f'{row["memory_chip_gib"]:.0f} GiB, {row["seconds"]:.3g} s, MFU '
    f'{row["mfu"]:.1%}, {row["bound"]}; compiled in '
    f'{row["compile_seconds"]:.0f} s; {len(row["warnings"])} warnings',
    flush=True,
  )


def main(arguments: list[str] | None = None) -> None:
  """Plans the ladder and, where asked, writes the result file."""
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument('--sizes', default=','.join(LADDER))
  parser.add_argument('--stages', default=','.join(STAGES))
  parser.add_argument('--record', type=pathlib.Path)
  options = parser.parse_args(arguments)
  if importlib.util.find_spec('libtpu') is None:
    parser.error("libtpu is missing; pip install -e '.[plan]'")
  sizes, stages = options.sizes.split(','), options.stages.split(',')
  unknown = [size for size in sizes if size not in LADDER]
  unknown += [stage for stage in stages if stage not in STAGES]
  if unknown:
    parser.error(f'{unknown[0]!r} is neither a rung nor a stage of the ladder')
  results = Results(options.record, {}, module='benchmarks.ladder')
  done = {(row['size'], row['job']) for row in results.rows}
  for job in jobs(sizes, stages):
    if all((job.size, name) in done for name in job.names):
      continue
    for row in rows(job, planned(job)):
      tell(row)
      results.add(row)


if __name__ == '__main__':
  main()
