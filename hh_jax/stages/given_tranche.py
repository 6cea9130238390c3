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


def read(folder: str) -> dict[str, bytes]:
  """Returns the files of an export by their names.

  Raises:
    ValueError: It is none, or a file is not what was exported.
  """
  root, spelled = pathlib.Path(folder), f'tranche {folder}'
  try:
    about = json.loads((root / tranche_files.ABOUT).read_text())
    names = dict(about['sha256'])
  except (OSError, ValueError, KeyError, TypeError) as error:
    raise ValueError(
      f'{spelled} is no folder that hh_jax.feedback.export wrote ({error})'
    ) from None
  made = {tranche_files.ABOUT: (root / tranche_files.ABOUT).read_bytes()}
  for name, digest in names.items():
    path = root / name
    made[name] = path.read_bytes() if path.is_file() else b''
    if hashlib.sha256(made[name]).hexdigest() != digest:
      raise ValueError(f'{spelled}: {name} is not what was exported')
  return made


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
  """
  specs = json.loads(made[tranche_files.ABOUT])['models']
  by_model: collections.Counter[str] = collections.Counter()
  num_unknown = 0
  for name, data in made.items():
    if not name.startswith(f'{tranche_files.SIDECAR}/'):
      continue
    for line in gzip.decompress(data).splitlines():
      row = json.loads(line)
      models = {row['chosen_model'], row['rejected_model']} - {None}
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
