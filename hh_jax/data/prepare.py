"""Reads comparison files, writes a data card and the cleaned comparisons.

  python -m hh_jax.data.prepare --source=FILE_OR_FOLDER --out=DIR

Writes DIR/data_card.json and DIR/comparisons.jsonl, which `read_comparisons`
reads back to the same comparisons. Bad input: one line, exit code 2.
"""

from __future__ import annotations

import argparse
import pathlib
import sys
from collections.abc import Sequence

from hh_jax.data import card as card_lib
from hh_jax.data import comparisons as comparisons_lib
from hh_jax.data import dialogue as dialogue_lib
from hh_jax.data import jsonl, tranches

COMPARISONS_NAME = 'comparisons.jsonl'


def to_row(pair: comparisons_lib.Comparison) -> dict[str, object]:
  """A comparison as a row of the official format with three more fields."""
  return {
    'chosen': dialogue_lib.format_transcript(pair.prompt.reply(pair.chosen)),
    'rejected': dialogue_lib.format_transcript(
      pair.prompt.reply(pair.rejected)
    ),
    'side': pair.side,
    'tranche': pair.tranche,
    'weight': pair.weight,
  }


def prepare(source: str, out: str) -> dict[str, object]:
  """Reads `source`, fills the folder `out` and returns the card.

  Raises:
    ValueError: Bad rows, or `out` holds what must not be written over.
  """
  folder = pathlib.Path(out)
  rows = folder / COMPARISONS_NAME
  if folder.exists() and not folder.is_dir():
    raise ValueError(f'{folder} is a file; --out must be a folder')
  inside = folder.resolve()
  if inside == pathlib.Path(source).resolve() or any(
    inside == file.resolve().parent
    for file in tranches.comparison_files(source)
  ):
    raise ValueError(
      f'--out={out} is where the comparisons are read from; choose another'
    )
  found = comparisons_lib.read_comparisons(source)
  card = card_lib.data_card(found)
  if not card_lib.holds(folder, card) and rows.exists():
    raise ValueError(
      f'{rows} is there without a data card; choose another --out'
    )
  folder.mkdir(parents=True, exist_ok=True)
  partial = rows.with_name(rows.name + '.partial')
  jsonl.write_rows(partial, (to_row(pair) for pair in found.comparisons))
  card_lib.write_card(card, folder)
  partial.replace(rows)
  return card


def main(argv: Sequence[str] | None = None) -> int:
  """Command line; returns the exit code."""
  parser = argparse.ArgumentParser(
    prog='hh_jax.data.prepare', description=__doc__.splitlines()[0]
  )
  parser.add_argument('--source', required=True, help='jsonl[.gz] or folder')
  parser.add_argument('--out', required=True, help='folder to fill')
  flags = parser.parse_args(argv)
  try:
    card = prepare(flags.source, flags.out)
  except (OSError, ValueError) as error:
    print(f'error: {error}', file=sys.stderr)
    return 2
  print(card_lib.summary(card))
  return 0


if __name__ == '__main__':
  sys.exit(main())
