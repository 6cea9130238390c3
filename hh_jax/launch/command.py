"""The command line of a sweep: a sweep file, a workdir, what runs it.

  [run | status | collect] --sweep=FILE.py[:name=value,...] --workdir=DIR
    [--executor=NAME[:name=value,...]] [--config.key=value ...]

`--config.key=value` is for every trial.
"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Collection, Sequence
from typing import Any, TypeVar

from absl import flags

from hh_jax.config import parse_arg
from hh_jax.config.convert import nearest
from hh_jax.launch import checks, cli
from hh_jax.launch import sweep as sweep_lib
from hh_jax.launch.sweep import Trial

OptionsT = TypeVar('OptionsT')

ACTIONS = ('run', 'status', 'collect')
_FOR_ALL = ('--config.', '--noconfig.')


@dataclasses.dataclass(frozen=True)
class Request:
  """What is asked for."""

  action: str
  sweep: str  # FILE.py:arg
  workdir: str
  executor: str  # its name
  options: str  # what stands after the name and the colon
  flags: tuple[str, ...]  # for every trial

  def trials(self) -> tuple[list[Trial], checks.Configs]:
    """Returns the trials of the sweep and their configs.

    Raises:
      ValueError: The sweep or one of them is malformed.
    """
    sweep = cli.call(self.sweep, 'sweep')
    if not isinstance(sweep, sweep_lib.Sweep):
      raise cli.UsageError(
        f'get_sweep of {self.sweep!r} returned a {type(sweep).__name__}, '
        'not a Sweep'
      )
    trials = sweep_lib.expand(sweep, self.workdir, self.flags)
    checks.require_names(trials)
    return checks.parse(trials)


def parse(args: Sequence[str]) -> Request:
  """Reads the arguments, without the program's name.

  Raises:
    UsageError: One is unknown, missing or malformed.
  """
  for_all = tuple(arg for arg in args if arg.startswith(_FOR_ALL))
  parser = flags.FlagValues()
  for name in ('sweep', 'workdir', 'executor'):
    flags.DEFINE_string(name, None, '', flag_values=parser)
  try:
    _, *words = parser(['', *(arg for arg in args if arg not in for_all)])
  except flags.Error as error:
    raise cli.UsageError(str(error)) from None
  action, *extra = words or ACTIONS[:1]
  if action not in ACTIONS:
    raise cli.UsageError(f'{action!r} is unknown{nearest(action, [*ACTIONS])}')
  if extra:
    raise cli.UsageError(
      f'argument {extra[0]!r} is not a flag; --help explains'
    )
  if not parser.sweep:
    raise cli.UsageError('--sweep=FILE.py is required; --help explains')
  if not parser.workdir:
    raise cli.UsageError('--workdir=DIR is required; --help explains')
  cli.require_workdir(parser.workdir)
  executor, _, options = (parser.executor or 'print').partition(':')
  return Request(
    action,
    parser.sweep,
    parser.workdir.rstrip('/') or '/',
    executor,
    options,
    for_all,
  )


def require_known(name: str, executors: Collection[str]) -> None:
  """Raises UsageError for an executor that there is not."""
  if name not in executors:
    close = difflib.get_close_matches(name, executors, n=1, cutoff=0.0)[0]
    raise cli.UsageError(
      f'--executor={name} is not one of {", ".join(executors)}; did you mean '
      f'{close}?'
    )


def options_of(kind: type[OptionsT], text: str) -> OptionsT:
  """Builds the options of an executor from `name=value,...`.

  Raises:
    ValueError: A name is unknown, or a value is refused.
  """
  options: Any = kind
  fields = dataclasses.fields(options)
  defaults: dict[str, Any] = {field.name: field.default for field in fields}
  return options(**parse_arg(text, **defaults))
