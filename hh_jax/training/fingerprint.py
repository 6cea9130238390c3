"""Fingerprints: what must be equal for a run to be continued, as JSON.

Stage, architecture, tokenizer, data and algorithm belong in one; mesh,
processes, workdir, logging and the number of steps do not.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


def plain(fingerprint: Mapping[str, Any]) -> dict[str, Any]:
  """Returns a fingerprint as it reads back from JSON (tuples are lists)."""
  return json.loads(json.dumps(fingerprint))


def flatten(
  fingerprint: Mapping[str, Any], prefix: str = ''
) -> dict[str, object]:
  """Returns the values under dotted names."""
  flat: dict[str, object] = {}
  for key, value in fingerprint.items():
    if isinstance(value, Mapping):
      flat |= flatten(value, f'{prefix}{key}.')
    else:
      flat[f'{prefix}{key}'] = value
  return flat


def differences(
  saved: Mapping[str, Any], current: Mapping[str, Any]
) -> list[str]:
  """Spells out what differs, one entry a dotted name, sorted."""
  old, new = flatten(plain(saved)), flatten(plain(current))
  return [
    f'{name}={_spelled(name, old)} saved, {_spelled(name, new)} now'
    for name in sorted(old.keys() | new.keys())
    if _spelled(name, old) != _spelled(name, new)
  ]


def _spelled(name: str, values: Mapping[str, object]) -> str:
  return repr(values[name]) if name in values else 'nothing'
