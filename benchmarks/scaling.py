"""Whether cost grows no faster than the work: batch, length, size.

  python -m benchmarks.scaling --record=results/scaling_cpu.json

1. Our side of the LM step, the PM step and of decoding, as `benchmarks.run`
   runs it: each point in a process of its own, in float32.
2. One sweep at a time; everything else stays at the middle of its own.
3. Seconds are fitted as a power of the number of sequences, of their length
   in tokens, or of the needed operations where the size grows. An exponent of
   1 is linear; below, a fixed part of the cost is shared. `BOUNDS` says what
   is allowed: attention reads all earlier tokens, so length may cost a little
   more than linearly.
"""

from __future__ import annotations

import argparse
import dataclasses
import pathlib
import tempfile
from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks import clock, devices, inputs, rows, run
from benchmarks import jobs as jobs_lib
from benchmarks.results import Results
from benchmarks.sides import Row, Setting, run_process
from hh_jax.data import tokenizer as tokenizer_lib

SIDE = 'ours/plain'
KINDS = ('lm', 'pm', 'sampling')
SIZES = ('nano2', '13m', '42m')  # swept at the middle batch and length
BATCHES = (2, 8, 32)  # rows, comparisons or replies
LENGTHS = (64, 256, 1024)  # tokens of a row, a comparison, a prompt and reply
VOCAB = 4096
BOUNDS = {'batch': 1.1, 'length': 1.2, 'size': 1.1}
AXES = {'batch': 'sequences', 'length': 'tokens', 'size': 'flops'}
NAMES = {'lm': 'LM step', 'pm': 'PM step', 'sampling': 'decoding'}


@dataclasses.dataclass(frozen=True)
class Point:
  """One measurement of one kind of job."""

  size: str
  batch: int
  length: int


@dataclasses.dataclass(frozen=True)
class Grid:
  """What is swept; the first size is that of the other sweeps."""

  sizes: tuple[str, ...]
  batches: tuple[int, ...]
  lengths: tuple[int, ...]

  def sweeps(self) -> dict[str, list[Point]]:
    """The points of every sweep, some of them in several."""
    size = self.sizes[0]
    batch = self.batches[len(self.batches) // 2]
    length = self.lengths[len(self.lengths) // 2]
    return {
      'batch': [Point(size, number, length) for number in self.batches],
      'length': [Point(size, batch, number) for number in self.lengths],
      'size': [Point(name, batch, length) for name in self.sizes],
    }

  def points(self, size: str) -> list[Point]:
    """Every point of one size, once."""
    found = [p for points in self.sweeps().values() for p in points]
    return [point for point in dict.fromkeys(found) if point.size == size]


def job_of(kind: str, point: Point) -> jobs_lib.Job:
  """The job of a point; a comparison's replies are a quarter of it each."""
  half = point.length // 2
  fields: dict[str, dict[str, Any]] = {
    'lm': {
      'rows': point.batch,
      'row_length': point.length,
      'rate': 1e-4,
      'repeats': 3,
    },
    'pm': {
      'pairs': point.batch,
      'batches': 1,
      'row_length': point.length,
      'rate': 1e-5,
      'repeats': 3,
    },
    'sampling': {
      'prompts': point.batch,
      'slots': point.batch,
      'prompt_length': half,
      'max_new': half,
      'repeats': 2,
    },
  }
  return jobs_lib.Job(kind, 'tokens', (), fields[kind])


def write_texts(setting: Setting, point: Point) -> None:
  """Replaces the texts of a folder by random ones of the point's length."""
  generator = np.random.default_rng(0)
  smallest = len(tokenizer_lib.SPECIAL_TOKENS)

  def ids(*shape: int) -> np.ndarray:
    return generator.integers(smallest, setting.vocab, shape, dtype=np.int32)

  # A tree is a prompt and two replies, each with the mark of its end.
  reply = point.length // 4 - 1
  clock.write_lists(
    setting.folder / 'comparisons.npz',
    prompts=list(ids(point.batch, point.length // 2)),
    chosen=list(ids(point.batch, reply)),
    rejected=list(ids(point.batch, reply)),
  )
  np.save(setting.folder / 'text.npy', ids(point.batch, point.length))


def measured(kind: str, point: Point, setting: Setting) -> Row:
  """The row of one point."""
  job = job_of(kind, point)
  write_texts(setting, point)
  process = run_process(SIDE, kind, job.fields_of(SIDE), setting)
  seconds = float(np.median(process['samples']))
  (mean_reply,) = process['checks'].get('mean_reply', [0.0])
  tokens = point.batch * point.length
  if kind == 'sampling':
    tokens = process['units']
  flops = rows.needed(job, 'plain', setting, mean_reply)
  return {
    **rows.key_of(name_of(kind, point), setting),
    'kind': NAMES[kind],
    'sequences': point.batch,
    'tokens': point.length,
    'seconds': seconds,
    'tokens_per_second': tokens / seconds,
    'flops': flops,
    'gflops_per_second': flops / seconds / 1e9,
    'memory': process['peak_gib'],
    'settings': process['settings'],
  }


def name_of(kind: str, point: Point) -> str:
  return f'{NAMES[kind]}, {point.batch} x {point.length} tokens'


def exponent(sizes: Sequence[float], seconds: Sequence[float]) -> float:
  """The power of the sizes that the seconds follow, by least squares."""
  slope, _ = np.polyfit(np.log(sizes), np.log(seconds), 1)
  return float(slope)


def fits(measured_rows: Sequence[Row], grid: Grid) -> list[Row]:
  """The exponent of every sweep of every kind that has two points."""
  rows_of = {
    (row['kind'], Point(row['size'], row['sequences'], row['tokens'])): row
    for row in measured_rows
    if 'seconds' in row
  }
  found = []
  for kind in NAMES.values():
    for sweep, swept in grid.sweeps().items():
      here = [rows_of[kind, p] for p in swept if (kind, p) in rows_of]
      axis = AXES[sweep]
      if len({row[axis] for row in here}) < 2:
        continue
      power = exponent(
        [row[axis] for row in here], [row['seconds'] for row in here]
      )
      found.append(
        {
          'job': f'{kind}, exponent of {axis}',
          'kind': kind,
          'sweep': sweep,
          'exponent': power,
          'bound': BOUNDS[sweep],
          'met': power <= BOUNDS[sweep],
          'points': len(here),
        }
      )
  return found


def tell(row: Row) -> None:
  if 'exponent' in row:
    print(
      f'{row["job"]}: {row["exponent"]:.2f} (at most {row["bound"]})',
      flush=True,
    )
    return
  print(
    f'{row["job"]}, {row["size"]}: {row["seconds"]:.4g} s, '
    f'{row["tokens_per_second"]:.4g} tokens/s, '
    f'{row["gflops_per_second"]:.4g} GFLOP/s',
    flush=True,
  )


def main(arguments: list[str] | None = None) -> None:
  """Measures all sweeps and, where asked, writes the result file."""
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument('--platform', default='cpu')
  parser.add_argument('--sizes', default=','.join(SIZES))
  parser.add_argument('--batches', default=','.join(map(str, BATCHES)))
  parser.add_argument('--lengths', default=','.join(map(str, LENGTHS)))
  parser.add_argument('--kinds', default=','.join(KINDS))
  parser.add_argument('--vocab', type=int, default=VOCAB)
  parser.add_argument('--dtype', default='float32')
  parser.add_argument('--record', type=pathlib.Path)
  options = parser.parse_args(arguments)
  device = devices.find(options.platform)
  results = Results(
    options.record, {}, device.hardware, module='benchmarks.scaling'
  )
  # They are of all points, also of those that a file had already.
  results.rows = [row for row in results.rows if 'exponent' not in row]
  grid = Grid(
    tuple(options.sizes.split(',')),
    tuple(map(int, options.batches.split(','))),
    tuple(map(int, options.lengths.split(','))),
  )
  for size in grid.sizes:
    with tempfile.TemporaryDirectory() as name:
      folder = pathlib.Path(name)
      setting = Setting(
        size, options.vocab, options.dtype, 1, folder, folder, device, False
      )
      measure(grid.points(size), options.kinds.split(','), setting, results)
  for row in fits(results.rows, grid):
    tell(row)
    results.add(row)


def measure(
  swept: Sequence[Point],
  kinds: Sequence[str],
  setting: Setting,
  results: Results,
) -> None:
  """Measures the points of one size that are not done."""
  missing = [
    (kind, point)
    for kind in kinds
    for point in swept
    if not results.has(name_of(kind, point), setting)
  ]
  if missing:
    run.prepare(setting, '', {inputs.NEOX})
  for kind, point in missing:
    row = measured(kind, point, setting)
    tell(row)
    results.add(row)


if __name__ == '__main__':
  main()
