"""Comparisons as files that training reads, with what was left out and why.

  python -m hh_jax.feedback.export --db=URL --out=FOLDER --tranche=online

1. FOLDER/helpful-online/{train,test}.jsonl.gz and FOLDER/harmless-online/...
   are in the official format, and `data_dir=FOLDER` is the next tranche.
2. FOLDER/sidecar/ says for each row how strong the choice was, whose it was (a
   pseudonym), which models answered, with which seed, and when.
3. The files depend on the facts alone: exported twice they are the same, byte
   for byte, and export.json holds their SHA-256.

Reference: Bai et al. 2022, sections 2.2-2.3 and D.2; stages/tranche_files.py.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence

import sqlalchemy as sa

from hh_jax.feedback import database, tranche
from hh_jax.stages import tranche_files


def build(
  connection: sa.Connection, name: str, test_fraction: float
) -> dict[str, bytes]:
  """Returns the files of an export by their names.

  Args:
    connection: To the facts.
    name: 'online' makes `helpful-online` and `harmless-online`.
    test_fraction: Share of first human turns in the test part.

  Raises:
    ValueError: A value is out of range, or nothing is left to export.
  """
  if not 0 <= test_fraction < 1:
    raise ValueError(f'test_fraction={test_fraction} is outside [0, 1)')
  known = tranche.read_facts(connection)
  found, counts = tranche.rows(connection, known, test_fraction)
  return tranche_files.make(
    found,
    name,
    counts,
    test_fraction=test_fraction,
    models=known.specs,
  )


def summary(made: Mapping[str, bytes]) -> str:
  """Says in one line what an export holds and what was left out."""
  counts = json.loads(made[tranche_files.ABOUT])['counts']
  names = (*tranche.REASONS, *(f'edit_{n}' for n in tranche.EDIT_REASONS))
  left = ', '.join(f'{name} {counts[name]}' for name in names if counts[name])
  return (
    f'{counts["exported_choices"]} of {counts["chosen"]} choices and '
    f'{counts["exported_edits"]} of {counts["edits"]} edits; left out: '
    f'{left or "none"}'
  )


def main(argv: Sequence[str] | None = None) -> int:
  """Command line; returns the exit code."""
  parser = argparse.ArgumentParser(
    prog='hh_jax.feedback.export', description=__doc__.splitlines()[0]
  )
  parser.add_argument('--db', required=True, help='SQLite file or postgresql:')
  parser.add_argument('--out', required=True, help='folder to make')
  parser.add_argument('--tranche', default='online')
  parser.add_argument(
    '--test_fraction', type=float, default=0.05, help='0.05, as in the paper'
  )
  flags = parser.parse_args(argv)
  try:
    opened = database.open_database(flags.db, must_exist=True)
    with opened.reading() as connection:
      made = build(connection, flags.tranche, flags.test_fraction)
    tranche_files.write(made, flags.out, f'--out={flags.out}')
  except (OSError, ValueError, database.UnavailableError) as error:
    print(f'error: {error}', file=sys.stderr)
    return 2
  print(f'{flags.out}: {summary(made)}')
  return 0


if __name__ == '__main__':
  sys.exit(main())
