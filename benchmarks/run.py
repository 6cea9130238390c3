"""Our side and its peers, alternately, on the same texts and weights.

  python -m benchmarks.run --platform=cpu --record=results/benchmark_cpu.json
  python -m benchmarks.run --record=results/benchmark_gpu.json

1. The peers are installed into environments of their own; `--peer_python` may
   name an interpreter that has those with PyTorch. Tunix runs on a CPU only.
2. Texts and weights are written once; real texts where `--data` names them.
3. All sides of a job run in turn in fresh processes, `--rounds` times; medians
   over all samples of a side are compared.
4. Sides must have computed the same: whatever the peer tells of its losses,
   log-probs, greedy text and scores is compared, every round, and a difference
   ends the run.
5. The result file is written after every job; the same command again goes on
   where it was stopped, if it is at the same commit.
6. Where jax finds an accelerator both sides run there: other jobs, more sizes,
   measured against the chip's limits (`accelerator`). A failure is a row of
   its own there, and the run goes on; it ends with an error all the same.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import pathlib
import subprocess
import sys
import tempfile
from collections.abc import Collection
from typing import Any

from benchmarks import accelerator, devices, environment, inputs, rows
from benchmarks import jobs as jobs_lib
from benchmarks.results import Results
from benchmarks.sides import OUT_OF_MEMORY, Row, Setting, run_job, run_process

SIDES = ('both', 'ours')


def peaks_of(setting: Setting) -> dict[str, float]:
  """The fastest matrix product of each side, in operations a second.

  On an accelerator also `copy`, the bytes a second that our side copies.
  """
  owners = ('ours', 'peers') if setting.has_peers else ('ours',)
  fields = accelerator.PEAK if setting.goes_on else {}
  found = {
    owner: run_process(f'{owner}/plain', 'peak', fields, setting)
    for owner in owners
  }
  peaks = {
    owner: done['units'] / min(done['samples']) for owner, done in found.items()
  }
  for copy in found['ours']['checks'].get('copy', []):
    peaks['copy'] = copy
  return peaks


def open_jobs(
  setting: Setting, wanted: str, results: Results
) -> tuple[list[jobs_lib.Job], list[Row]]:
  """The jobs to run, and rows of those that cannot be; not what is done."""

  def is_open(name: str) -> bool:
    return wanted in name and not results.has(name, setting)

  jobs, left_out = list(jobs_lib.JOBS), list[Row]()
  if setting.device.is_accelerator:
    jobs, left_out = accelerator.plan(setting)
  found = []
  for job in jobs:
    job = job.of_dtype(setting.dtype)
    job = job if setting.has_peers else job.alone()
    rows_left = tuple(row for row in job.comparisons if is_open(row.name))
    if rows_left:
      found.append(dataclasses.replace(job, comparisons=rows_left))
  return found, [row for row in left_out if is_open(row['job'])]


def measure(setting: Setting, wanted: str, results: Results) -> None:
  """Runs the jobs whose names contain a text and that are not done."""
  jobs, left_out = open_jobs(setting, wanted, results)
  for row in left_out:
    row = {**rows.key_of(row['job'], setting), **row}
    rows.tell(row)
    results.add(row)
  peaks = peaks_of(setting) if jobs else {}
  for job in jobs:
    found, failures = run_job(job, setting)
    for comparison in job.comparisons:
      if found[f'ours/{comparison.ours}']:
        row = rows.row_of(job, comparison, found, setting, peaks, failures)
      else:
        row = failed_row(comparison, setting, failures)
      rows.tell(row)
      results.add(row)


def failed_row(
  comparison: jobs_lib.Comparison, setting: Setting, failures: dict[str, str]
) -> Row:
  """The row of a job that our side did not do."""
  why = failures[f'ours/{comparison.ours}']
  return {
    **rows.key_of(comparison.name, setting),
    'outcome': why if why == OUT_OF_MEMORY else 'failed',
    'failures': dict(failures),
  }


def prepare(
  setting: Setting, data: str, families: Collection[str]
) -> dict[str, Any]:
  """Writes what both sides read, in a process of its own."""
  done = subprocess.run(
    [
      sys.executable,
      '-m',
      'benchmarks.prepare',
      f'--folder={setting.folder}',
      f'--size={setting.size}',
      f'--vocab={setting.vocab}',
      f'--data={data}',
      f'--families={",".join(sorted(families))}',
    ],
    cwd=environment.ROOT,
    env=environment.of_platform(setting.device.platform),
    stdout=subprocess.PIPE,
    text=True,
    check=True,
  )
  return json.loads(done.stdout.splitlines()[-1])


def parse(arguments: list[str] | None) -> argparse.Namespace:
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument('--platform', default='', help='cpu, gpu or tpu')
  parser.add_argument('--sizes', default='')
  parser.add_argument('--vocab', type=int, default=0)
  parser.add_argument('--dtypes', default='')
  parser.add_argument('--jobs', default='', help='part of a name')
  parser.add_argument('--rounds', type=int, default=3)
  parser.add_argument('--sides', choices=SIDES, default='both')
  parser.add_argument(
    '--data', default=os.environ.get('HH_JAX_DATA', ''), help='real texts'
  )
  parser.add_argument(
    '--peers', type=pathlib.Path, default=environment.ROOT / '.peers'
  )
  parser.add_argument('--peer_python', default='')
  parser.add_argument('--peer_ppo', default='')
  parser.add_argument('--record', type=pathlib.Path)
  return parser.parse_args(arguments)


def with_defaults(
  options: argparse.Namespace, device: devices.Device
) -> argparse.Namespace:
  """Fills in what depends on the device."""
  if device.is_accelerator:
    sizes, vocab = accelerator.SIZES, accelerator.VOCAB
    dtypes = accelerator.DTYPES
  else:
    sizes, vocab, dtypes = jobs_lib.SIZES, jobs_lib.VOCAB, jobs_lib.DTYPES
  options.sizes = options.sizes.split(',') if options.sizes else sizes
  options.dtypes = options.dtypes.split(',') if options.dtypes else dtypes
  options.vocab = options.vocab or vocab
  return options


def main(arguments: list[str] | None = None) -> None:
  """Measures and, where asked, writes the result file."""
  options = parse(arguments)
  device = devices.find(options.platform)
  options = with_defaults(options, device)
  has_peers = options.sides == 'both' and device.platform in ('cpu', 'gpu')
  peers = options.peers.resolve()
  if has_peers:
    environment.make(peers, device.platform, options.peer_python)
  told = {
    'texts': inputs.kind_of_texts(options.data),
    'rounds': options.rounds,
    'sides': 'both' if has_peers else 'ours',
  }
  results = Results(options.record, told, device.hardware)
  for size in options.sizes:
    with tempfile.TemporaryDirectory() as name:
      setting = Setting(
        size,
        options.vocab,
        options.dtypes[0],
        options.rounds,
        pathlib.Path(name),
        peers,
        device,
        has_peers,
        options.peer_python,
        options.peer_ppo,
      )
      measure_size(setting, options, results)
  if said := accelerator.summary(results.rows):
    print(said, flush=True)
  if any(map(rows.is_broken, results.rows)):
    sys.exit(1)


def measure_size(
  setting: Setting, options: argparse.Namespace, results: Results
) -> None:
  """Writes the inputs of a size, where it has work, and does it."""
  settings = [
    dataclasses.replace(setting, dtype=dtype) for dtype in options.dtypes
  ]
  families = {
    job.family
    for each in settings
    for job in open_jobs(each, options.jobs, results)[0]
  }
  if families:
    print(json.dumps(prepare(setting, options.data, families)), flush=True)
  for each in settings:
    measure(each, options.jobs, results)


if __name__ == '__main__':
  main()
