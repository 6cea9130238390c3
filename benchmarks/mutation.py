"""Mutation score of the losses and ops: how many planted faults tests notice.

  python -m benchmarks.mutation --record=results/mutation.json

1. cosmic-ray, in an environment of its own, changes one operator, number or
   condition at a time. Operators are replaced by those of their kind: a shift
   in place of a sum would be noticed by any test at all.
2. The tests of the module run on each change, those of the module first, until
   one fails. A module is done in a copy of the repository, two at a time.
3. The result names every change that no test noticed.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import dataclasses
import json
import os
import pathlib
import re
import shlex
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from typing import Any

from hh_jax.report import record

ROOT = pathlib.Path(__file__).parents[1]
TOOL = 'cosmic-ray==8.7.0'
TIMEOUT = 300.0  # seconds of the tests of one change
PARITY = {
  'losses': ('gae_ppo_parity', 'losses_parity', 'ppo_losses_parity'),
  'ops/attention': ('attention_parity',),
  'ops/logprobs': ('logprobs_parity',),
  'ops/masking': ('attention_parity',),
  'ops/rotary': ('attention_parity',),
  'ops/sampling': ('logprobs_parity',),
}
KINDS = (  # an operator is replaced by one of its kind
  {'Add', 'Sub', 'Mul', 'Div', 'FloorDiv'},
  {'BitAnd', 'BitOr', 'BitXor'},
  {'Eq', 'NotEq', 'Lt', 'LtE', 'Gt', 'GtE'},
  {'USub', 'Invert', 'Not', 'Delete'},
)
OPERATOR = re.compile(r'core/Replace(?:Binary|Comparison|Unary)Operator_(\w+)')
ANNOTATION = re.compile(r'^\s*(\w+: |\) -> |def )[^=]*\|')
SETTINGS = """
[cosmic-ray]
module-path = "{module}"
timeout = {timeout}
excluded-modules = []
test-command = "{command}"
[cosmic-ray.distributor]
name = "local"
"""

Row = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Module:
  """A file and the tests that guard it, as 'losses/ppo'."""

  name: str

  @property
  def path(self) -> str:
    return f'hh_jax/{self.name}.py'

  @property
  def tests(self) -> list[str]:
    package, _, stem = self.name.partition('/')
    own = [f'tests/{package}/test_{stem}.py']
    own += [f'tests/{package}'] if package == 'losses' else []
    parity = PARITY.get(package, ()) + PARITY.get(self.name, ())
    paths = own + [f'tests/parity/test_{name}.py' for name in parity]
    return [path for path in paths if (ROOT / path).exists()]


def modules() -> list[Module]:
  """Every file of the two packages, the longest first."""
  paths = [
    path
    for package in ('losses', 'ops')
    for path in (ROOT / 'hh_jax' / package).glob('[!_]*.py')
  ]
  paths.sort(key=lambda path: -path.stat().st_size)
  return [Module(f'{path.parent.name}/{path.stem}') for path in paths]


def install(folder: pathlib.Path) -> pathlib.Path:
  """Makes the tool's environment; returns its command."""
  tool = folder / 'bin/cosmic-ray'
  if not tool.exists():
    subprocess.run([sys.executable, '-m', 'venv', folder], check=True)
    pip = [str(folder / 'bin/python'), '-m', 'pip', 'install', '-qq']
    subprocess.run([*pip, TOOL], check=True)
  return tool


def copy_repository(place: pathlib.Path) -> None:
  """Copies what git knows, as it is on disk, and the files not ignored."""
  listed = subprocess.run(
    ['git', 'ls-files', '--cached', '--others', '--exclude-standard', '-z'],
    cwd=ROOT,
    check=True,
    capture_output=True,
    text=True,
  ).stdout
  for name in listed.split('\0'):
    if name and (ROOT / name).is_file():
      (place / name).parent.mkdir(parents=True, exist_ok=True)
      shutil.copy2(ROOT / name, place / name)


def measure(module: Module, tool: pathlib.Path) -> Row:
  """Plants every fault of a module; returns its row."""
  with tempfile.TemporaryDirectory() as folder:
    place = pathlib.Path(folder)
    copy_repository(place)
    command = shlex.join(
      [sys.executable, '-m', 'pytest', '-x', '-q', *module.tests]
    )
    environ = {
      **os.environ,
      'PYTHONPATH': folder,
      'JAX_PLATFORMS': 'cpu',
      'PYTHONDONTWRITEBYTECODE': '1',
    }

    def call(*arguments: str) -> str:
      return subprocess.run(
        arguments,
        cwd=place,
        env=environ,
        check=True,
        capture_output=True,
        text=True,
      ).stdout

    call(*shlex.split(command))  # without a fault nothing may fail
    (place / 'mutation.toml').write_text(
      SETTINGS.format(module=module.path, timeout=TIMEOUT, command=command)
    )
    call(str(tool), 'init', 'mutation.toml', 'mutation.sqlite')
    leave_out(place / 'mutation.sqlite', (place / module.path).read_text())
    call(str(tool), 'exec', 'mutation.toml', 'mutation.sqlite')
    return row_of(module, call(str(tool), 'dump', 'mutation.sqlite'))


def is_telling(operator: str, line: str) -> bool:
  """Whether a change of this line could go unnoticed, and would matter."""
  found = OPERATOR.match(operator)
  if found is None:
    return True
  before, after = found[1].split('_')
  is_of_kind = any({before, after} <= kind for kind in KINDS)
  return is_of_kind and not (before == 'BitOr' and ANNOTATION.match(line))


def leave_out(session: pathlib.Path, source: str) -> None:
  """Removes the changes that tell nothing from a session."""
  lines = source.splitlines()
  with sqlite3.connect(session) as connection:
    found = connection.execute(
      'SELECT job_id, operator_name, start_pos_row FROM mutation_specs'
    ).fetchall()
    easy = [
      (job,)
      for job, operator, row in found
      if not is_telling(operator, lines[row - 1])
    ]
    for table in ('mutation_specs', 'work_items'):
      connection.executemany(f'DELETE FROM {table} WHERE job_id = ?', easy)


def row_of(module: Module, dump: str) -> Row:
  """Counts what became of the changes, and names those nobody noticed."""
  killed, survivors = 0, []
  for line in dump.splitlines():
    item, result = json.loads(line)
    if result['test_outcome'] != 'survived':
      killed += 1
      continue
    for change in item['mutations']:
      name = change['operator_name'].removeprefix('core/')
      survivors.append(f'line {change["start_pos"][0]}: {name}')
  total = killed + len(survivors)
  return {
    'module': module.name,
    'changes': total,
    'noticed': killed,
    'share': killed / total if total else 1.0,
    'survivors': sorted(survivors),
  }


def main() -> None:
  """Measures all modules and writes the result file."""
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument('--tool', type=pathlib.Path, default=ROOT / '.mutation')
  parser.add_argument('--modules', default='', help='part of a name')
  parser.add_argument('--workers', type=int, default=2)
  parser.add_argument('--record', type=pathlib.Path)
  options = parser.parse_args()
  started = time.perf_counter()
  tool = install(options.tool.resolve())
  wanted = [m for m in modules() if options.modules in m.name]
  rows: list[Row] = []
  with concurrent.futures.ThreadPoolExecutor(options.workers) as pool:
    for row in pool.map(lambda module: measure(module, tool), wanted):
      rows.append(row)
      print(
        f'{row["module"]}: {row["noticed"]} of {row["changes"]} noticed',
        flush=True,
      )
  noticed, total = (sum(r[n] for r in rows) for n in ('noticed', 'changes'))
  print(f'all: {noticed} of {total}, {noticed / max(total, 1):.1%}')
  if options.record:
    record.write_result(
      options.record,
      rows,
      command=shlex.join(
        ['python', '-m', 'benchmarks.mutation', *sys.argv[1:]]
      ),
      seeds=[],
      seconds=time.perf_counter() - started,
    )


if __name__ == '__main__':
  main()
