"""What the everyday commands take, beside what they may take.

  python -m benchmarks.budgets --record=results/budgets.json

1. HEAD is cloned into a new folder, where `make setup` makes an environment of
   its own; that is not timed.
2. Every command runs there, one at a time. Short ones run several times and
   the median counts. Nothing else should run on the machine.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import pathlib
import shlex
import statistics
import subprocess
import sys
import tempfile
import time

from hh_jax.report import record

ROOT = pathlib.Path(__file__).parents[1]
REAL_DATA = 'HH_JAX_DATA'  # where the tests look for it


@dataclasses.dataclass(frozen=True)
class Job:
  """A command and the seconds it may take."""

  name: str
  command: str
  budget: float
  repeats: int = 1
  expected: int = 0  # exit code


PYTHON = '.venv/bin/python'
PM = f'{PYTHON} -m experiments.pm --config=configs/pm.py'
JOBS = (
  Job('import hh_jax', f"{PYTHON} -c 'import hh_jax'", 2, 5),
  Job('--help', f'{PM} --help', 1, 5),
  Job(
    'bad value, known before jax is loaded',
    f'{PM} --config.seed=x --workdir=runs/bad',
    2,
    5,
    expected=2,
  ),
  Job('make demo', 'make demo', 600),
  Job(
    'bad row, known when runs and data are open',
    f'{PM}:world=hh --config.data.data_dir=bad.jsonl '
    '--config.init_from=runs/demo/pmp --workdir=runs/bad',
    2,
    5,
    expected=2,
  ),
  Job('make test-fast', 'make test-fast', 180),
  Job('make test', 'make test', 900),
)


def measure(job: Job, folder: pathlib.Path) -> dict[str, str | float | bool]:
  """Returns the row of one command.

  Raises:
    SystemExit: It ended otherwise than expected.
  """
  seconds = []
  for _ in range(job.repeats):
    started = time.perf_counter()
    done = subprocess.run(
      job.command,
      shell=True,
      cwd=folder,
      env={**os.environ, 'JAX_PLATFORMS': 'cpu'},
      capture_output=True,
      text=True,
    )
    seconds.append(time.perf_counter() - started)
    if done.returncode != job.expected:
      sys.exit(
        f'{job.command} ended with {done.returncode}:\n'
        f'{done.stdout[-2000:]}\n{done.stderr[-2000:]}'
      )
  median = round(statistics.median(seconds), 2)
  print(f'{job.name}: {median} s of {job.budget} s', flush=True)
  return {
    'name': job.name,
    'seconds': median,
    'budget': job.budget,
    'met': median <= job.budget,
    'command': job.command.replace(PYTHON, 'python'),
  }


def main() -> None:
  """Clones, measures and writes the result file."""
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument('--record', type=pathlib.Path, required=True)
  path = parser.parse_args().record
  data = pathlib.Path(os.environ.get(REAL_DATA, ROOT / '../shared/data'))
  os.environ[REAL_DATA] = str(data.resolve())
  started = time.perf_counter()
  with tempfile.TemporaryDirectory() as folder:
    clone = pathlib.Path(folder) / 'clone'
    subprocess.run(['git', 'clone', '--quiet', ROOT, clone], check=True)
    (clone / 'bad.jsonl').write_text('{"chosen": "no transcript"\n')
    subprocess.run(['make', 'setup'], cwd=clone, check=True)
    rows = [measure(job, clone) for job in JOBS]
  record.write_result(
    path,
    rows,
    command=shlex.join(['python', '-m', 'benchmarks.budgets', *sys.argv[1:]]),
    seeds=[],
    seconds=time.perf_counter() - started,
  )


if __name__ == '__main__':
  main()
