"""The command line of every script: a config file, overrides, a workdir.

1. `--config=FILE.py:name=value,...` is loaded first, because the flags
   `--config.key=value` follow from the fields it hands out.
2. Override keys are looked up before flags are parsed, so that a typo is
   answered with the nearest key.
3. The ConfigDict becomes a frozen dataclass once; only then is `main` called,
   which imports jax. Whatever the user got wrong before that is one line.
"""

from __future__ import annotations

import dataclasses
import difflib
import importlib.util
import os
import pathlib
import re
import shlex
import sys
import types
from collections.abc import Callable, Iterator, Sequence
from typing import NoReturn, TypeVar

import ml_collections
from absl import flags
from ml_collections import config_flags

from hh_jax import config as config_lib
from hh_jax.launch import environment, processes
from hh_jax.training import console, exit_codes, files, provenance

ConfigT = TypeVar('ConfigT')

HELP = ('--help', '-help', '-h')
USER_ERRORS = (
  ValueError,
  FileExistsError,
  FileNotFoundError,
  IsADirectoryError,
  NotADirectoryError,
  PermissionError,
)

_OVERRIDE = re.compile(r'--?(?:no)?config\.([^=]+)')
_SYNOPSIS = """
usage: --config=FILE.py[:name=value,...] [--config.key=value ...] --workdir=DIR

  --config      Python file with get_config(arg); its docstring says which
                names may follow the colon. With --help: lists every key.
  --config.key  overrides one field, for example --config.data.batch_size=8
  --workdir     folder for checkpoints, metrics and the report

Several processes of one run take --coordinator=HOST:PORT --num_processes=N
--process_id=I as well.
"""


class UsageError(ValueError):
  """The command line is wrong; the message is the line to show."""


def run(
  main: Callable[[ConfigT, str], str | None],
  config_type: type[ConfigT],
  argv: Sequence[str] | None = None,
) -> None:
  """Runs a script and prints the line that `main` returns.

  One of `USER_ERRORS`, from the flags or from `main`, is something the user
  can put right: one line and exit code 2. With `HH_JAX_TRACEBACK=1` it keeps
  its traceback, as other exceptions do.

  Args:
    main: Does the work, given the config and the workdir as written. Imports
      its stage itself, so that mistakes are answered before jax is loaded.
    config_type: Dataclass of the stage, from `hh_jax.config`.
    argv: Program name and arguments; default `sys.argv`.
  """
  program, *args = sys.argv if argv is None else argv
  try:
    if any(arg in HELP for arg in args):
      print(_help(sys.modules[main.__module__].__doc__, args))
      return
    group, args = processes.take(args)
    config, workdir = parse(config_type, args)
    require_workdir(workdir)
    require_inputs(config)
    if group is not None:
      processes.require_reachable(group)
      processes.require_spread(config_type, group.num_processes)
      num_devices = processes.devices_of(config)
      processes.require_even(num_devices, group.num_processes)
  except USER_ERRORS as error:
    fail(error)
  if argv is None:
    environment.use_huge_pages()
  # Libraries that define absl flags of their own read the defaults.
  flags.FLAGS([program])
  console.show_log()
  environment.keep_freed_memory()
  environment.set_deterministic_flags()
  try:
    if group is not None:
      _join(group, config, workdir)
    line = main(config, workdir)
  except USER_ERRORS as error:
    fail(error, hint=' (HH_JAX_TRACEBACK=1 shows where)')
  except KeyboardInterrupt:
    print('interrupted', file=sys.stderr)
    sys.exit(exit_codes.INTERRUPTED)
  if line and (group is None or group.process_id == 0):
    print(line)


def answer(
  main: Callable[[Sequence[str]], int], argv: Sequence[str] | None = None
) -> NoReturn:
  """Runs a script that trains nothing itself, and exits with what it returns.

  Args:
    main: Does the work, given the arguments.
    argv: Program name and arguments; default `sys.argv`.
  """
  _, *args = sys.argv if argv is None else argv
  if any(arg in HELP for arg in args):
    print((sys.modules[main.__module__].__doc__ or '').strip())
    sys.exit(0)
  console.show_log()
  try:
    sys.exit(main(args))
  except USER_ERRORS as error:
    fail(error)
  except KeyboardInterrupt:
    print('interrupted', file=sys.stderr)
    sys.exit(exit_codes.INTERRUPTED)


def _join(group: processes.Group, config: object, workdir: str) -> None:
  """Joins the other processes, which must do the same by the same code."""
  from hh_jax.training import distributed  # which loads jax

  distributed.join(*dataclasses.astuple(group))
  code = (provenance.versions(), provenance.sources()['hh_jax_sha256'])
  distributed.require_same(repr((config, workdir, code)))


def parse(
  config_type: type[ConfigT], args: Sequence[str]
) -> tuple[ConfigT, str]:
  """Returns the config and the workdir that the arguments ask for.

  Args:
    config_type: Dataclass of the stage.
    args: Arguments without the program's name.

  Raises:
    UsageError: An argument is unknown, missing or malformed.
    ValueError: A value is refused by the config file or the dataclass.
  """
  path, rest = take_config(args)
  if path is None:
    raise UsageError('--config=FILE.py is required; --help explains')
  values = load_config(path)
  rest = [spell_out(config_type, arg) for arg in rest]
  check_overrides(values, rest)
  workdir = apply_flags(values, rest)
  if not workdir:
    raise UsageError('--workdir=DIR is required; --help explains')
  config = config_lib.from_config_dict(config_type, values.to_dict())
  return config, workdir


def spell_out(config_type: type, arg: str) -> str:
  """Returns `--config.NAME=value` for `--NAME=value` of a field with a flag."""
  name = arg.partition('=')[0].lstrip('-')
  fields = {field.name: field for field in dataclasses.fields(config_type)}
  has_flag = name in fields and fields[name].metadata.get('has_flag')
  return f'--config.{arg.lstrip("-")}' if has_flag else arg


def require_inputs(config: object) -> None:
  """Raises ValueError where what a config names is missing or malformed."""
  from hh_jax.stages import inputs  # which --help need not wait for

  inputs.require(config)
  inputs.require_readable(config)


def require_workdir(workdir: str) -> None:
  """Raises UsageError where no folder of that name can be written to."""
  if '://' in workdir:
    raise UsageError(
      f'--workdir={workdir} is on an object store; give a folder, which may be '
      'a mounted bucket'
    )
  files.require_folder_place(workdir, f'--workdir={workdir}')


def load_config(path: str) -> ml_collections.ConfigDict:
  """Executes `FILE.py:arg` and returns the locked result of `get_config(arg)`.

  Raises:
    UsageError: There is no such file, or it has no `get_config`.
    ValueError: `get_config` refuses the argument.
  """
  values = call(path, 'config')
  if not isinstance(values, ml_collections.ConfigDict):
    raise UsageError(
      f'get_config of {path!r} returned a {type(values).__name__}, '
      'not a ConfigDict; use hh_jax.config.to_config_dict'
    )
  return values.lock()


def call(path: str, kind: str) -> object:
  """Executes `FILE.py:arg` and returns its `get_<kind>(arg)`.

  Args:
    path: The file, and what follows the colon.
    kind: What the file is one of: 'config' or 'sweep'.

  Raises:
    UsageError: There is no such file, or it has no such function.
  """
  name, _, arg = path.partition(':')
  file = pathlib.Path(name)
  if not file.is_file():
    raise UsageError(f'no {kind} file {name!r}{_nearest_file(file)}')
  function = vars(_execute(file, kind)).get(f'get_{kind}')
  if function is None:
    raise UsageError(f'{kind} file {name!r} has no get_{kind}(arg)')
  return function(arg)


def take_config(args: Sequence[str]) -> tuple[str | None, list[str]]:
  """Splits the last `--config` off the other arguments."""
  path, rest, pending = None, [], iter(args)
  for arg in pending:
    name, has_value, value = arg.partition('=')
    if name not in ('--config', '-config'):
      rest.append(arg)
      continue
    path = value if has_value else next(pending, None)
    if not path:
      raise UsageError('--config has no value; give --config=FILE.py')
  return path, rest


def _nearest_file(file: pathlib.Path) -> str:
  folder = file.parent
  names = [p.name for p in folder.glob('*.py')] if folder.is_dir() else []
  close = difflib.get_close_matches(file.name, names, n=1)
  return f'; did you mean {str(folder / close[0])!r}?' if close else ''


def _execute(file: pathlib.Path, kind: str) -> types.ModuleType:
  spec = importlib.util.spec_from_file_location(f'{kind}_{file.stem}', file)
  if spec is None or spec.loader is None:
    raise UsageError(f'{kind} file {str(file)!r} is not a .py file')
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  return module


def _leaves(
  values: ml_collections.ConfigDict, prefix: str = ''
) -> Iterator[tuple[str, object]]:
  """Yields every field's dotted key and value."""
  for key in values:
    value = values[key]
    if isinstance(value, ml_collections.ConfigDict):
      yield from _leaves(value, f'{prefix}{key}.')
    else:
      yield f'{prefix}{key}', value


def check_overrides(
  values: ml_collections.ConfigDict, args: Sequence[str]
) -> None:
  """Refuses a `--config.key` that is not a field, naming the nearest one."""
  keys = [key for key, _ in _leaves(values)]
  for match in filter(None, map(_OVERRIDE.match, args)):
    key = match[1]
    if key in keys:
      continue
    if any(known.startswith(f'{key}.') for known in keys):
      raise UsageError(
        f'--config.{key} is a group of fields; set one of them, '
        f'--config.{key}.NAME=value'
      )
    raise UsageError(f'--config.{key} is unknown{_nearest_key(key, keys)}')


def _nearest_key(key: str, keys: Sequence[str]) -> str:
  """Compares whole keys, then last parts: the group may be what is missing."""
  close = difflib.get_close_matches(key, keys, n=1)
  if not close:
    last_parts = {known.rpartition('.')[2]: known for known in keys}
    last = key.rpartition('.')[2]
    names = difflib.get_close_matches(last, last_parts, n=1)
    close = [last_parts[name] for name in names]
  if close:
    return f'; did you mean --config.{close[0]}?'
  return '; --config=FILE.py --help lists the keys'


def apply_flags(
  values: ml_collections.ConfigDict, args: Sequence[str]
) -> str | None:
  """Writes the overrides into `values` and returns the workdir."""
  argv = ['', *args]
  parser = flags.FlagValues()
  workdir = flags.DEFINE_string('workdir', None, 'folder', flag_values=parser)
  try:
    config_flags.DEFINE_config_dict(
      'config', values, flag_values=parser, sys_argv=argv
    )
    _, *extra = parser(argv)
  except (flags.Error, TypeError) as error:
    # ConfigDict reports a value of another type as a TypeError.
    raise UsageError(str(error)) from None
  if extra:
    raise UsageError(f'argument {extra[0]!r} is not a flag; --help explains')
  return workdir.value


def _help(description: str | None, args: Sequence[str]) -> str:
  """Returns usage and, if a config file is given, its docstring and keys."""
  parts = [(description or '').strip(), _SYNOPSIS.strip()]
  path, _ = take_config(args)
  if path is not None:
    fields = _leaves(load_config(path))
    parts.append('\n'.join(f'  --config.{k}={v}' for k, v in fields))
  return '\n\n'.join(filter(None, parts))


def fail(error: Exception, hint: str = '') -> NoReturn:
  """Prints one line and exits with code 2, or raises for the traceback."""
  if os.environ.get('HH_JAX_TRACEBACK') == '1':
    raise error
  print(f'error: {" ".join(str(error).split())}{hint}', file=sys.stderr)
  sys.exit(exit_codes.USAGE)


def command_line(program: str | None = None) -> str:
  """Returns the command that started this process, ready to be repeated."""
  main_spec = sys.modules['__main__'].__spec__
  start = ['-m', main_spec.name] if main_spec else [program or sys.argv[0]]
  return shlex.join(['python', *start, *sys.argv[1:]])
