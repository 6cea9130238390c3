"""Which run a config asks for: what must be equal for a folder to be its own.

Known before jax is loaded, so that a sweep can ask it of every trial.
"""

from __future__ import annotations

import dataclasses
import json
import pathlib
from typing import Any

from hh_jax.config import DistillConfig, PretrainConfig
from hh_jax.data.tokenizer import Tokenizer
from hh_jax.stages import sources
from hh_jax.training import workdir as workdir_lib

LENGTHS = ('num_steps', 'num_iterations')
NOT_IN_FINGERPRINT = ('loop', 'record', *LENGTHS)


def check(config: Any, workdir: str | pathlib.Path) -> None:
  """Refuses the folder of another run, as `begin` does, before it is opened.

  The runs that a stage starts from may not be there yet: they are not
  compared.

  Raises:
    ValueError: The workdir holds another run.
  """
  workdir_lib.check(workdir, fingerprint(config), is_whole=False)
  _require_length(config, workdir)


def planned_steps(config: Any) -> int | None:
  """Returns where a stage is to end, if that is its config's to say."""
  fields = vars(config)
  return next((fields[name] for name in LENGTHS if name in fields), None)


def _require_length(config: Any, workdir: str | pathlib.Path) -> None:
  """Refuses another length of a run that has begun, where its steps differ.

  A rate that decays is stretched over all steps, and a distillation shuffles
  as many sequences as they take.
  """
  path = pathlib.Path(workdir) / workdir_lib.CONFIG
  name = next((name for name in LENGTHS if name in vars(config)), None)
  if name is None or not path.exists():
    return
  if config.optimizer.schedule != 'constant':
    why = f'its rate decays ({config.optimizer.schedule}) over all of its steps'
  elif isinstance(config, DistillConfig):
    why = 'it draws its batches for all of its steps'
  else:
    return
  planned = getattr(config, name)
  try:
    saved = json.loads(path.read_text()).get(name, planned)
  except (ValueError, AttributeError):
    raise ValueError(f'{path} is damaged; give another --workdir') from None
  if saved != planned and workdir_lib.has_work(workdir):
    raise ValueError(
      f'workdir {workdir} holds another run: {name}={saved} saved, {planned} '
      f'now, and {why}; give another --workdir'
    )


def fingerprint(config: Any) -> dict[str, Any]:
  """Returns the part of a run's fingerprint that its config gives."""
  fields = dataclasses.asdict(config)
  kept = {
    key: value
    for key, value in fields.items()
    if key not in NOT_IN_FINGERPRINT and not key.endswith('_from')
  }
  if isinstance(config, PretrainConfig) and config.tokenizer:
    kept['tokenizer'] = Tokenizer.load(config.tokenizer).sha256
  if config.loop.keep_steps:  # a finished run cannot make up for one it lacks
    kept['keep_steps'] = config.loop.keep_steps
  return {
    **kept,
    'data': {**fields['data'], 'data_dir': ''},
    'world': sources.identity(config),
  }
