"""The data card: counts of what was read, kept and rejected, and lengths."""

from __future__ import annotations

import collections
import json
import pathlib
from typing import Any

import numpy as np

from hh_jax.data import comparisons as comparisons_lib

CARD_NAME = 'data_card.json'

_PERCENTILES = (50, 90, 95, 99)


def _counts(values: list[str]) -> dict[str, int]:
  return dict(sorted(collections.Counter(values).items()))


def data_card(found: comparisons_lib.ComparisonSet) -> dict[str, Any]:
  """Card of a set of comparisons, ready for JSON.

  `characters` are percentiles of the whole chosen transcript over all rows
  read; `sha256` is of the source files as they lie on disk, by file name.
  """
  turns = collections.Counter(pair.turn for pair in found.comparisons)
  lengths = np.asarray(found.characters)
  characters = {
    f'p{percent}': float(round(np.percentile(lengths, percent), 1))
    for percent in _PERCENTILES
  }
  return {
    'read': found.num_read,
    'kept': found.num_kept,
    'rejected': dict(found.rejected),
    'anomalies': dict(found.anomalies),
    'sides': _counts([pair.side for pair in found.comparisons]),
    'tranches': _counts([pair.tranche for pair in found.comparisons]),
    'turns': {str(turn): turns[turn] for turn in sorted(turns)},
    'characters': {**characters, 'max': int(lengths.max())},
    'sha256': {
      '/'.join(pathlib.Path(path).parts[-2:]): digest
      for path, digest in found.sources.items()
    },
  }


def summary(card: dict[str, Any]) -> str:
  """The card in a few lines, for a terminal."""
  rejected = sum(card['rejected'].values())
  reasons = {name: n for name, n in card['rejected'].items() if n}
  anomalies = {name: n for name, n in card['anomalies'].items() if n}
  return '\n'.join(
    (
      f'read {card["read"]}, kept {card["kept"]}, rejected {rejected}'
      + (f' {reasons}' if reasons else ''),
      f'anomalies {anomalies}',
      f'sides {card["sides"]} tranches {card["tranches"]}',
      f'turns {card["turns"]}',
      f'characters {card["characters"]}',
    )
  )


def holds(folder: pathlib.Path, card: dict[str, Any]) -> bool:
  """Whether the folder has this card already.

  Raises:
    ValueError: The folder holds a card of other data, or an unreadable one.
  """
  path = folder / CARD_NAME
  if not path.exists():
    return False
  try:
    existing = json.loads(path.read_text(encoding='utf-8'))
  except (json.JSONDecodeError, UnicodeDecodeError):
    existing = None
  if existing != card:
    raise ValueError(
      f'{path} is the card of other data; choose another --out or remove it'
    )
  return True


def write_card(card: dict[str, Any], folder: pathlib.Path) -> None:
  """Writes `data_card.json` into a folder."""
  text = json.dumps(card, indent=2, ensure_ascii=False) + '\n'
  (folder / CARD_NAME).write_text(text, encoding='utf-8')
