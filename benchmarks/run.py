"""Our side and its peers, alternately, on the same texts and weights.

  python -m benchmarks.run --record=results/benchmark_cpu.json

1. The peers are installed into an environment of their own.
2. Texts and weights are written once; real texts where `--data` names them.
3. All sides of a job run in turn in fresh processes, `--rounds` times; medians
   over all samples of a side are compared.
4. Sides must have computed the same: losses, greedy text and scores are
   compared, and a difference ends the run.
5. The result file is written after every job; the same command again goes on
   where it was stopped, if it is at the same commit.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import pathlib
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks import clock, environment, flops, inputs
from benchmarks import jobs as jobs_lib
from hh_jax.report import record
from hh_jax.training import provenance

ROOT = pathlib.Path(__file__).parents[1]
TOLERANCES = {'float32': 1e-3, 'bfloat16': 5e-2}
DRAWN_TOLERANCE = 0.2
DRAWN = ('mean_reply', 'moved')  # each side draws replies of its own
SAME_START = 0.5  # share of greedy text before rounding parts the sides
Process = dict[str, Any]  # what `clock.finish` wrote
Row = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Setting:
  """What every job of one run shares."""

  size: str
  vocab: int
  dtype: str
  rounds: int
  folder: pathlib.Path  # of the inputs
  peers: pathlib.Path  # environment of the other side


def run_process(
  side: str, module: str, fields: Row, setting: Setting
) -> Process:
  """Runs one side of a job, 'ours/VARIANT'; returns what it measured."""
  owner, _, variant = side.partition('/')
  is_ours = owner == 'ours'
  job = {**fields, 'dtype': setting.dtype, 'variant': variant}
  out = setting.folder / 'result.json'
  out.unlink(missing_ok=True)
  done = subprocess.run(
    [
      environment.python_of(setting.peers, is_ours, module),
      '-m',
      f'benchmarks.{owner}.{module}',
      f'--job={json.dumps(job)}',
      f'--inputs={setting.folder}',
      f'--out={out}',
    ],
    cwd=ROOT,
    env=environment.of_side(setting.peers, is_ours, module),
    capture_output=True,
    text=True,
  )
  if done.returncode or not out.exists():
    sys.exit(f'{side} {module} {job} failed:\n{done.stderr[-4000:]}')
  return json.loads(out.read_text())


def run_job(job: jobs_lib.Job, setting: Setting) -> dict[str, list[Process]]:
  """Runs all sides of a job in turn."""
  found: dict[str, list[Process]] = {side: [] for side in job.sides()}
  fields = {**job.fields, 'family': job.family}
  for _ in range(setting.rounds):
    for side, processes in found.items():
      module = job.module(side.partition('/')[0])
      processes.append(run_process(side, module, fields, setting))
  return found


def check(name: str, ours: Process, theirs: Process, dtype: str) -> None:
  """Ends the run unless both sides computed the same.

  Whatever the peer computed is compared. In bfloat16 greedy text may part where
  two tokens are nearly equal, but not before `SAME_START` of it.
  """
  if (
    not theirs['checks'] or not theirs['checks'].keys() <= ours['checks'].keys()
  ):
    sys.exit(
      f'{name}: ours tells {[*ours["checks"]]}, the peer {[*theirs["checks"]]}'
    )
  for key, other in theirs['checks'].items():
    value = ours['checks'][key]
    is_same = len(value) == len(other) > 0
    if is_same and key == 'greedy':
      wanted = 1.0 if dtype == 'float32' else SAME_START
      is_same = common_start(value, other) >= wanted
    elif is_same:
      error = DRAWN_TOLERANCE if key in DRAWN else TOLERANCES[dtype]
      is_same = np.allclose(value, other, rtol=error, atol=error)
    if not is_same:
      sys.exit(f'{name}: {key} differs: ours {value}, peer {other}')


def common_start(
  texts: Sequence[Sequence[int]], others: Sequence[Sequence[int]]
) -> float:
  """Share of the tokens before the first one that differs, over all texts."""
  same = 0
  for text, other in zip(texts, others, strict=True):
    is_same = [a == b for a, b in zip(text, other)]
    same += (is_same + [False]).index(False)
  return same / max(sum(map(len, texts)), 1)


def needed(
  job: jobs_lib.Job, variant: str, setting: Setting, mean_reply: float
) -> float:
  """Operations that one call of a job cannot do without."""
  config = inputs.model_config(setting.size, setting.vocab, job.family)
  counter, fields = flops.Counter(config), job.fields
  lists = clock.read_lists(setting.folder / 'comparisons.npz')
  lengths = {name: [len(x) for x in items] for name, items in lists.items()}
  prompts = lengths['prompts'][: fields.get('prompts', 0)]
  if job.kind == 'lm':
    return counter.lm_step(fields['rows'], inputs.ROW_LENGTH)
  if job.kind == 'pm':
    triples = zip(
      *(lengths[name] for name in ('prompts', 'chosen', 'rejected'))
    )
    return counter.pm_step(list(triples)[: fields['pairs'] * fields['batches']])
  if job.kind == 'sampling':
    return counter.sampling(prompts, mean_reply)
  if job.kind == 'best_of':
    return counter.best_of(prompts, mean_reply, fields['k'])
  return counter.ppo(prompts, mean_reply, variant == 'shared')


def rate(processes: Sequence[Process]) -> np.ndarray:
  """Units a second of every sample of a side."""
  return np.concatenate(
    [process['units'] / np.array(process['samples']) for process in processes]
  )


def spread(rates: np.ndarray) -> float:
  """Half the range between the quartiles, relative to the median."""
  low, mid, high = np.quantile(rates, [0.25, 0.5, 0.75])
  return float((high - low) / 2 / mid)


def parts(processes: Sequence[Process]) -> dict[str, float]:
  """Median seconds of each phase of a call."""
  return {
    name: float(np.median([t for p in processes for t in p['parts'][name]]))
    for name in processes[0]['parts']
  }


def row_of(
  job: jobs_lib.Job,
  comparison: jobs_lib.Comparison,
  found: dict[str, list[Process]],
  setting: Setting,
  peaks: dict[str, float],
) -> Row:
  """One entry of the table."""
  ours = found[f'ours/{comparison.ours}']
  for peer in comparison.peers:
    for pair in zip(ours, found[f'peers/{peer}'], strict=True):
      check(comparison.name, *pair, setting.dtype)
  theirs = max(
    (found[f'peers/{peer}'] for peer in comparison.peers),
    key=lambda side: float(np.median(rate(side))),
  )
  rates = rate(ours), rate(theirs)
  ours_rate, their_rate = (float(np.median(r)) for r in rates)
  (mean_reply,) = ours[0]['checks'].get('mean_reply', [0.0])
  num_flops = needed(job, comparison.ours, setting, mean_reply)
  speed = num_flops / ours[0]['units'] * ours_rate
  memory = [max(p['peak_gib'] for p in side) for side in (ours, theirs)]
  return {
    'job': comparison.name,
    'size': setting.size,
    'vocab': setting.vocab,
    'dtype': setting.dtype,
    'unit': f'{job.unit}/s',
    'ours': ours_rate,
    'peer': their_rate,
    'ratio': ours_rate / their_rate,
    'goal': comparison.goal,
    'spread': max(map(spread, rates)),
    'samples': [len(r) for r in rates],
    'flops': num_flops,
    'gflops_per_second': speed / 1e9,
    'share_of_peak': speed / max(peaks.values()),
    'peak_gflops_per_second': peaks['ours'] / 1e9,
    'peak_gflops_per_second_peer': peaks['peers'] / 1e9,
    'mean_reply': mean_reply,
    'memory': memory[0],
    'memory_peer': memory[1],
    'memory_ratio': memory[0] / memory[1],
    'parts': parts(ours),
    'parts_peer': parts(theirs),
    'settings': ours[0]['settings'],
    'settings_peer': theirs[0]['settings'],
  }


def peaks_of(setting: Setting) -> dict[str, float]:
  """The fastest matrix product of each side, in operations a second."""
  found = {
    owner: run_process(f'{owner}/plain', 'peak', {}, setting)
    for owner in ('ours', 'peers')
  }
  return {
    owner: done['units'] / min(done['samples']) for owner, done in found.items()
  }


def tell(row: Row) -> None:
  """Prints the row of a job that is done."""
  print(
    f'{row["job"]}, {row["dtype"]}: {row["ours"]:.4g} against '
    f'{row["peer"]:.4g} {row["unit"]}, ratio {row["ratio"]:.2f} (goal '
    f'{row["goal"]}), {row["share_of_peak"]:.0%} of peak, memory '
    f'{row["memory_ratio"]:.2f}',
    flush=True,
  )


class Results:
  """The result file, written after every job."""

  def __init__(self, path: pathlib.Path | None, facts: Row):
    """Opens a file that was begun at this commit.

    Args:
      path: The file; None writes nothing.
      facts: What every row of this run is told with: texts and rounds.
    """
    self.rows: list[Row] = []
    self._facts = facts
    self._path = path
    self._before = 0.0
    self._started = time.perf_counter()
    if path is None or not path.exists():
      return
    saved = json.loads(path.read_text())
    commit = provenance.commit(ignore=path)
    if saved['commit'] != commit or commit.endswith('+dirty'):
      sys.exit(
        f'{path} is of {saved["commit"]} and this is {commit}; move it away '
        'to begin anew'
      )
    self.rows, self._before = saved['values'], saved['seconds']

  def has(self, name: str, setting: Setting) -> bool:
    wanted = {
      'job': name,
      'size': setting.size,
      'vocab': setting.vocab,
      'dtype': setting.dtype,
      **self._facts,
    }
    return any(wanted.items() <= row.items() for row in self.rows)

  def add(self, row: Row) -> None:
    """Keeps a row and writes the file."""
    self.rows.append({**row, **self._facts})
    if self._path is not None:
      record.write_result(
        self._path,
        self.rows,
        command=shlex.join(['python', '-m', 'benchmarks.run', *sys.argv[1:]]),
        seeds=[inputs.SEED],
        seconds=self._before + time.perf_counter() - self._started,
      )


def measure(setting: Setting, wanted: str, results: Results) -> None:
  """Runs the jobs whose names contain a text and that are not done."""
  peaks = peaks_of(setting)
  for job in jobs_lib.JOBS:
    open_rows = [
      row
      for row in job.comparisons
      if wanted in row.name
      and setting.dtype in row.dtypes
      and not results.has(row.name, setting)
    ]
    if not open_rows:
      continue
    job = dataclasses.replace(job, comparisons=tuple(open_rows))
    found = run_job(job, setting)
    for comparison in open_rows:
      row = row_of(job, comparison, found, setting, peaks)
      tell(row)
      results.add(row)


def main() -> None:
  """Measures and, where asked, writes the result file."""
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument('--size', default='13m')
  parser.add_argument('--vocab', type=int, default=8192)
  parser.add_argument('--dtypes', default=','.join(jobs_lib.DTYPES))
  parser.add_argument('--jobs', default='', help='part of a name')
  parser.add_argument('--rounds', type=int, default=3)
  parser.add_argument(
    '--data', default=os.environ.get('HH_JAX_DATA', ''), help='real texts'
  )
  parser.add_argument('--peers', type=pathlib.Path, default=ROOT / '.peers')
  parser.add_argument('--record', type=pathlib.Path)
  options = parser.parse_args()
  peers = options.peers.resolve()
  environment.make(peers)
  with tempfile.TemporaryDirectory() as name:
    folder = pathlib.Path(name)
    facts = inputs.prepare(folder, options.size, options.vocab, options.data)
    print(json.dumps(facts), flush=True)
    told = {'texts': facts['texts'], 'rounds': options.rounds}
    results = Results(options.record, told)
    for dtype in options.dtypes.split(','):
      setting = Setting(
        options.size, options.vocab, dtype, options.rounds, folder, peers
      )
      measure(setting, options.jobs, results)


if __name__ == '__main__':
  main()
