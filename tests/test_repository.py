import ast
import dataclasses
import importlib
import json
import os
import pathlib
import re
import resource
import runpy
import shlex
import shutil
import subprocess
import sys

import pytest
import setuptools
from packaging import requirements, utils

import hh_jax
from experiments import sweep as sweep_script
from hh_jax.launch import checks, cli
from hh_jax.launch import command as sweep_command
from hh_jax.launch import plan as plan_command

ROOT = pathlib.Path(__file__).parents[1]
FOREIGN = {'matplotlib', 'pandas', 'tensorflow', 'torch'}
LOCKED = ('dev', 'eval', 'feedback', 'launch')  # of them, in constraints.txt
EXTRAS = 'dev eval feedback harness hf launch plan tfds'.split()


def repository_files():
  """Everything that is or would be committed."""
  listed = subprocess.run(
    ['git', 'ls-files', '-z', '--cached', '--others', '--exclude-standard'],
    cwd=ROOT,
    capture_output=True,
    text=True,
  )
  if listed.returncode:
    pytest.skip('not a git checkout: its files cannot be listed')
  names = filter(None, listed.stdout.split('\0'))
  return [ROOT / name for name in names if (ROOT / name).is_file()]


def python_files(*folders):
  return [
    file
    for file in repository_files()
    if file.suffix == '.py' and file.relative_to(ROOT).parts[0] in folders
  ]


def run_python(code):
  """Runs code in a fresh interpreter; returns what it prints, as JSON."""
  done = subprocess.run(
    [sys.executable, '-c', code],
    cwd=ROOT,
    env={**os.environ, 'JAX_PLATFORMS': 'cpu'},
    capture_output=True,
    text=True,
    timeout=120,
  )
  assert done.returncode == 0, done.stderr
  return json.loads(done.stdout)


def test_importing_the_package_loads_nothing_heavy():
  before = resource.getrusage(resource.RUSAGE_CHILDREN)
  loaded = run_python(
    'import hh_jax, json, sys; hh_jax.__version__; dir(hh_jax); '
    'print(json.dumps(list(sys.modules)))'
  )
  after = resource.getrusage(resource.RUSAGE_CHILDREN)
  assert 'hh_jax' in loaded
  assert not {*FOREIGN, 'flax', 'jax', 'numpy'} & set(loaded)
  assert after.ru_utime - before.ru_utime < 2


@pytest.mark.slow
def test_importing_every_core_module_loads_no_foreign_framework():
  names = []
  for file in python_files('hh_jax'):
    parts = file.relative_to(ROOT).with_suffix('').parts
    if parts[1] not in ('feedback', 'report'):
      names.append('.'.join(parts).removesuffix('.__init__'))
  loaded = run_python(
    'import importlib, json, sys\n'
    f'for name in {names!r}: importlib.import_module(name)\n'
    'print(json.dumps(list(sys.modules)))'
  )
  assert set(names) <= set(loaded)
  assert not FOREIGN & set(loaded)


def test_the_lazy_package_names_what_it_lacks():
  with pytest.raises(AttributeError, match="no attribute 'lode'"):
    _ = hh_jax.lode


def readme_commands():
  commands = []
  pages = [ROOT / 'README.md', ROOT / 'experiments' / 'README.md']
  for file in (*pages, *sorted((ROOT / 'docs').glob('*.md'))):
    blocks = re.findall(r'```bash\n(.*?)```', file.read_text(), re.DOTALL)
    for block in blocks:
      lines = block.replace('\\\n', ' ').splitlines()
      commands += [shlex.split(line, comments=True) for line in lines]
  return [command for command in commands if command]


def is_setting(part):
  """Whether a part of a command sets a variable of its environment."""
  return re.match(r'[A-Z_]+=', part) is not None


def make_targets():
  text = (ROOT / 'Makefile').read_text()
  return set(re.search(r'\.PHONY: (.*)', text)[1].split())


def test_readme_has_the_two_commands():
  commands = readme_commands()
  assert ['make', 'demo'] in commands
  assert ['make', 'test'] in commands
  assert len(commands) >= 10


@pytest.mark.parametrize('command', readme_commands(), ids=' '.join)
def test_every_readme_command_parses(command, monkeypatch):
  program, *args = [part for part in command if not is_setting(part)]
  if program == 'make':
    assert set(args) <= make_targets()
    return
  if program != 'python':
    assert program in ('git', 'pip', 'source')
    return
  assert args[0] == '-m'
  module = ROOT / args[1].replace('.', '/')
  files = (module.with_suffix('.py'), module / '__main__.py')
  assert any(path.is_file() for path in files)
  monkeypatch.chdir(ROOT)
  if args[1] == 'hh_jax.launch.plan':
    assert plan_command.parse(args[2:]).topology
  if not args[1].startswith('experiments.'):
    return
  if args[1] == 'experiments.sweep':
    request = sweep_command.parse(args[2:])
    module = sweep_script.EXECUTORS[request.executor]
    sweep_command.options_of(module.Options, request.options)
    trials, configs = request.trials()
    checks.check(trials, configs, sees_files=False)
    return
  module = importlib.import_module(args[1])
  (config_type,) = (
    value
    for value in vars(module).values()
    if dataclasses.is_dataclass(value) and value.__name__.endswith('Config')
  )
  _, workdir = cli.parse(config_type, args[2:])
  assert workdir


def test_makefile_targets_have_recipes():
  text = (ROOT / 'Makefile').read_text()
  rules = set(re.findall(r'^([a-z-]+):', text, re.MULTILINE))
  assert rules == make_targets()


def test_no_file_names_a_machine():
  # In pieces, so that this file does not match itself.
  folders = ('/' + 'work', '/' + 'root', '/tmp/bash' + '_jobs')
  names = '|'.join([rf'(?<![\w./]){name}(?![\w-])' for name in folders])
  paths = re.compile(rf'{names}|\bfarm-[a-z]')
  checked = 0
  for file in repository_files():
    try:
      text = file.read_text(encoding='utf-8')
    except UnicodeDecodeError:
      continue
    checked += 1
    found = paths.search(text)
    assert not found, f'{file.relative_to(ROOT)} names {found[0]!r}'
  assert checked > 20


def test_suppressions_are_few_and_give_a_reason():
  pattern = re.compile(r'#\s*(noqa|type:\s*ignore|pylint:|fmt:\s*off).*')
  found = []
  for file in repository_files():
    if file.suffix == '.py' and file != pathlib.Path(__file__):
      for match in pattern.finditer(file.read_text()):
        found.append(f'{file.relative_to(ROOT)}: {match[0]}')
  assert len(found) <= 10, found


def test_python_files_fit_a_sitting():
  limits = {'experiments': 80}
  folders = ('configs', 'experiments', 'hh_jax', 'tests')
  for file in python_files(*folders):
    name = file.relative_to(ROOT)
    limit = limits.get(name.parts[0], 350)
    num_lines = len(file.read_text().splitlines())
    assert num_lines <= limit, f'{name} has {num_lines} lines (at most {limit})'


def test_functions_fit_a_screen():
  long = []
  for file in python_files('configs', 'experiments', 'hh_jax'):
    for node in ast.walk(ast.parse(file.read_text())):
      if isinstance(node, ast.FunctionDef):
        num_lines = node.end_lineno - node.lineno + 1
        if num_lines > 80:
          long.append(f'{file.relative_to(ROOT)}:{node.name} ({num_lines})')
  assert not long


def lint_imports(folder):
  program = pathlib.Path(sys.executable).with_name('lint-imports')
  return subprocess.run(
    [program, '--no-cache'], cwd=folder, capture_output=True, text=True
  )


def test_imports_point_one_way():
  done = lint_imports(ROOT)
  assert done.returncode == 0, done.stdout
  assert ' 0 broken' in done.stdout


def test_an_import_the_other_way_is_caught(tmp_path):
  for name in ('hh_jax', 'experiments'):
    shutil.copytree(
      ROOT / name,
      tmp_path / name,
      ignore=shutil.ignore_patterns('__pycache__'),
    )
  shutil.copy(ROOT / 'pyproject.toml', tmp_path)
  (tmp_path / 'hh_jax' / 'ops' / 'wrong.py').write_text(
    'import pandas\n\nfrom hh_jax import config\nfrom hh_jax.stages import pm\n'
  )
  done = lint_imports(tmp_path)
  assert done.returncode == 1
  broken = re.findall(r'^(.*) BROKEN', done.stdout, re.MULTILINE)
  assert len(broken) == 3, done.stdout


@pytest.fixture(scope='module')
def metadata():
  found = {}
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(setuptools, 'setup', found.update)
    patch.setattr(setuptools, 'find_packages', lambda **kwargs: [])
    runpy.run_path(str(ROOT / 'setup.py'))
  return found


def locked_versions():
  text = (ROOT / 'constraints.txt').read_text()
  found = {}
  for entry in re.split(r'\n(?=\S)', text):
    if not entry.startswith('#'):
      name, version = re.match(r'(\S+)==(\S+)', entry).groups()
      assert '--hash=sha256:' in entry, f'{name} has no hash'
      found[utils.canonicalize_name(name)] = version
  return found


def test_setup_describes_this_package(metadata):
  assert metadata['name'] == 'hh_jax'
  assert metadata['version'] == hh_jax.__version__
  assert metadata['python_requires'] == '>=3.11'
  assert sorted(metadata['extras_require']) == EXTRAS
  assert 'py.typed' in metadata['package_data']['hh_jax']


def test_core_requires_no_foreign_framework(metadata):
  names = {
    requirements.Requirement(line).name for line in metadata['install_requires']
  }
  assert not names & FOREIGN


def test_the_lock_satisfies_what_setup_asks_for(metadata):
  locked = locked_versions()
  extras = metadata['extras_require']
  more = [line for name in LOCKED for line in extras[name]]
  for line in (*metadata['install_requires'], *more):
    wanted = requirements.Requirement(line)
    version = locked[utils.canonicalize_name(wanted.name)]
    assert wanted.specifier.contains(version), (line, version)
