"""Mutation score of the losses and ops: how many planted faults tests notice.

  python -m benchmarks.mutation --record=results/mutation.json

1. cosmic-ray, in an environment of its own, lists every change of one operator,
   number or condition. Operators are replaced by those of their kind: a shift
   in place of a sum would be noticed by any test at all.
2. The tests of the module run on each change, those of the module first, until
   one fails; random ones with few cases, and where none fails with all of them.
   Each is a fork of a process that has imported everything but the library, in
   a copy of the repository; two modules are done at a time.
3. The result names every change that no test noticed. It is written after every
   module; the same command again goes on, if it is at the same commit.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import dataclasses
import importlib
import json
import multiprocessing
import os
import pathlib
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from typing import Any, NoReturn

ROOT = pathlib.Path(__file__).parents[1]
TOOL = 'cosmic-ray==8.7.0'
TIMEOUT = 300.0  # seconds of the tests of one change
PROFILES = ('brief', 'quick')  # of random tests, in tests/conftest.py
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
OPERATOR = re.compile(r'Replace(?:Binary|Comparison|Unary)Operator_(\w+)')
ANNOTATION = re.compile(r'^\s*(\w+: |\) -> |def )[^=]*\|')
WARM = ('flax.linen', 'hypothesis', 'jax', 'jaxtyping', 'optax', 'pytest')
OWN = ('benchmarks', 'hh_jax', 'tests')  # imported anew for every change

Change = dict[str, Any]  # a line of `mutants`
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
  """Makes the tool's environment; returns its Python."""
  python = folder / 'bin/python'
  if not python.exists():
    subprocess.run([sys.executable, '-m', 'venv', folder], check=True)
    subprocess.run([python, '-m', 'pip', 'install', '-qq', TOOL], check=True)
  return python


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


def changes(module: Module, python: pathlib.Path) -> list[Change]:
  """The changes of a module that tell something."""
  script = ROOT / 'benchmarks/mutants.py'
  lines = (ROOT / module.path).read_text().splitlines()
  listed = subprocess.run(
    [python, script, ROOT / module.path],
    check=True,
    capture_output=True,
    text=True,
  ).stdout
  found = map(json.loads, listed.splitlines())
  return [c for c in found if is_telling(c['operator'], lines[c['line'] - 1])]


def is_telling(operator: str, line: str) -> bool:
  """Whether a change of this line could go unnoticed, and would matter."""
  found = OPERATOR.match(operator)
  if found is None:
    return True
  before, after = found[1].split('_')
  is_of_kind = any({before, after} <= kind for kind in KINDS)
  return is_of_kind and not (before == 'BitOr' and ANNOTATION.match(line))


def warm() -> None:
  """Imports what every run of the tests needs and no change touches.

  Programs that a change does not touch are compiled once.
  """
  os.environ.update(
    JAX_PLATFORMS='cpu',
    PYTHONDONTWRITEBYTECODE='1',
    JAX_COMPILATION_CACHE_DIR=tempfile.mkdtemp(),
    JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS='0',
    JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES='-1',
  )
  for name in WARM:
    importlib.import_module(name)


def is_noticed(place: pathlib.Path, tests: Sequence[str]) -> bool:
  """Whether a test fails in a copy of the repository."""
  return not all(passes(place, tests, profile) for profile in PROFILES)


def passes(place: pathlib.Path, tests: Sequence[str], profile: str) -> bool:
  """Whether these tests pass in a copy of the repository, within `TIMEOUT`."""
  child = os.fork()
  if not child:
    os.environ['HYPOTHESIS_PROFILE'] = profile
    run_tests(place, tests)
  ends = time.monotonic() + TIMEOUT
  while time.monotonic() < ends:
    finished, status = os.waitpid(child, os.WNOHANG)
    if finished:
      return status == 0
    time.sleep(0.02)
  os.kill(child, signal.SIGKILL)
  os.waitpid(child, 0)
  return False


def run_tests(place: pathlib.Path, tests: Sequence[str]) -> NoReturn:
  """Runs tests in this process, which ends with their exit code."""
  silence = os.open(os.devnull, os.O_WRONLY)
  os.dup2(silence, 1)
  os.dup2(silence, 2)
  os.chdir(place)
  sys.dont_write_bytecode = True
  sys.path[:] = [
    str(place),
    *(p for p in sys.path if p and pathlib.Path(p).resolve() != ROOT),
  ]
  for name in list(sys.modules):
    if name.partition('.')[0] in OWN:
      del sys.modules[name]
  pytest = importlib.import_module('pytest')
  code = 1
  try:  # never back into the loop that forked
    code = pytest.main(['-x', '-q', '-p', 'no:cacheprovider', *tests])
  finally:
    os._exit(code)


def measure(module: Module, python: pathlib.Path) -> Row:
  """Plants every fault of a module; returns its row."""
  survivors = []
  found = changes(module, python)
  with tempfile.TemporaryDirectory() as folder:
    place = pathlib.Path(folder)
    copy_repository(place)
    if is_noticed(place, module.tests):
      raise RuntimeError(f'{module.name}: tests fail without a fault')
    for change in found:
      (place / module.path).write_text(change['source'])
      if not is_noticed(place, module.tests):
        survivors.append(f'line {change["line"]}: {change["operator"]}')
  noticed = len(found) - len(survivors)
  return {
    'module': module.name,
    'changes': len(found),
    'noticed': noticed,
    'share': noticed / len(found) if found else 1.0,
    'survivors': survivors,
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
  python = install(options.tool.resolve())
  rows, before = begun(options.record)
  done = {row['module'] for row in rows}
  wanted = [m for m in modules() if options.modules in m.name]
  wanted = [m for m in wanted if m.name not in done]
  with concurrent.futures.ProcessPoolExecutor(
    options.workers, multiprocessing.get_context('spawn'), initializer=warm
  ) as pool:
    tasks = [pool.submit(measure, module, python) for module in wanted]
    for task in concurrent.futures.as_completed(tasks):
      row = task.result()
      rows.append(row)
      print(
        f'{row["module"]}: {row["noticed"]} of {row["changes"]} noticed',
        flush=True,
      )
      if options.record:
        write(options.record, rows, before + time.perf_counter() - started)
  noticed, total = (sum(r[n] for r in rows) for n in ('noticed', 'changes'))
  print(f'all: {noticed} of {total}, {noticed / max(total, 1):.1%}')


def begun(path: pathlib.Path | None) -> tuple[list[Row], float]:
  """Rows of a result file of this commit, and the seconds they took."""
  from hh_jax.training import provenance

  if path is None or not path.exists():
    return [], 0.0
  saved = json.loads(path.read_text())
  commit = provenance.commit(ignore=path)
  if saved['commit'] != commit:
    sys.exit(
      f'{path} is of {saved["commit"]} and this is {commit}; move it away to '
      'begin anew'
    )
  return saved['values'], saved['seconds']


def write(path: pathlib.Path, rows: Sequence[Row], seconds: float) -> None:
  """Writes the result file; modules by name."""
  from hh_jax.report import record

  record.write_result(
    path,
    sorted(rows, key=lambda row: str(row['module'])),
    command=shlex.join(['python', '-m', 'benchmarks.mutation', *sys.argv[1:]]),
    seeds=[],
    seconds=seconds,
  )


if __name__ == '__main__':
  main()
