"""A tranche made elsewhere, at the feedback interface, and who answered in it.

1. Every file must be what `export.json` says it is.
2. Every reply must be by a model that an earlier iteration made: one of its
   snapshots, or the best of k by one of its preference models. Those of others
   are counted, and refused unless the config takes them.

Reference: Bai et al. 2022, section 4.5 and footnote 11.
"""

from __future__ import annotations

import collections
import gzip
import hashlib
import json
import pathlib
from collections.abc import Collection, Mapping
from typing import Any

from hh_jax.stages import tranche_files

TABLES = ('counts', 'rows', 'models', 'sha256')  # of export.json
ANSWERED = ('chosen_model', 'rejected_model')  # in a sidecar


def read(folder: str) -> dict[str, bytes]:
  """Returns the files of an export by their names.

  Raises:
    ValueError: It is none, or a file is not what was exported.
  """
  root, spelled = pathlib.Path(folder), f'tranche {folder}'
  try:
    about = json.loads((root / tranche_files.ABOUT).read_text())
    hashes = _hashes(about)
  except (OSError, ValueError) as error:
    raise ValueError(
      f'{spelled} is no folder that hh_jax.feedback.export wrote ({error})'
    ) from None
  made = {tranche_files.ABOUT: (root / tranche_files.ABOUT).read_bytes()}
  for name, digest in hashes.items():
    path = root / name
    made[name] = path.read_bytes() if path.is_file() else b''
    if hashlib.sha256(made[name]).hexdigest() != digest:
      raise ValueError(f'{spelled}: {name} is not what was exported')
  return made


def _hashes(about: Any) -> dict[str, str]:
  """The SHA-256 of each file that `export.json` names.

  Raises:
    ValueError: It lacks a table, or a file is not of its folder.
  """
  tables = about if isinstance(about, dict) else {}
  missing = [key for key in TABLES if not isinstance(tables.get(key), dict)]
  if missing:
    raise ValueError(f'{tranche_files.ABOUT} has no {" and no ".join(missing)}')
  for name in sorted(tables['rows'].keys() | tables['sha256'].keys()):
    path = pathlib.PurePosixPath(name)
    if path.is_absolute() or '..' in path.parts:
      raise ValueError(f'{name} is outside of it')
    if name not in tables['sha256']:
      raise ValueError(f'{tranche_files.ABOUT} has no hash of {name}')
  return tables['sha256']


def count_models(
  made: Mapping[str, bytes], policies: Collection[str], pms: Collection[str]
) -> tuple[dict[str, int], int]:
  """How many comparisons have a reply by an unknown model.

  Args:
    made: Files of the export.
    policies: `state_sha256` of the policies that earlier iterations made.
    pms: Of their preference models.

  Returns:
    Comparisons by unknown model, and all with one.

  Raises:
    ValueError: Of some it is not said who answered.
  """
  specs = json.loads(made[tranche_files.ABOUT])['models']
  by_model: collections.Counter[str] = collections.Counter()
  num_unknown = 0
  for name, data in made.items():
    if not name.startswith(f'{tranche_files.SIDECAR}/'):
      continue
    for line in gzip.decompress(data).splitlines():
      row = json.loads(line)
      if any(key not in row for key in ANSWERED):
        raise ValueError(
          f'{name} of the tranche does not say which models answered; only '
          'comparisons between them are of an iteration from 1 on'
        )
      models = {row[key] for key in ANSWERED} - {None}
      unknown = [
        model
        for model in models
        if not _is_known(specs.get(model, {}), policies, pms)
      ]
      by_model.update(_name(model, specs) for model in unknown)
      num_unknown += bool(unknown)
  return dict(sorted(by_model.items())), num_unknown


def _is_known(
  spec: Mapping[str, Any], policies: Collection[str], pms: Collection[str]
) -> bool:
  return spec.get('state_sha256') in policies and (
    'pm_state_sha256' not in spec or spec['pm_state_sha256'] in pms
  )


def _name(model: str, specs: Mapping[str, Mapping[str, Any]]) -> str:
  name = specs.get(model, {}).get('name', 'unnamed')
  return f'{name} ({str(model)[:12]})'
