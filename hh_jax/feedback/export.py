"""Comparisons as files that training reads, with what was left out and why.

  python -m hh_jax.feedback.export --db=URL --out=FOLDER --tranche=online

1. FOLDER/helpful-online/{train,test}.jsonl.gz and FOLDER/harmless-online/...
   are in the official format, and `data_dir=FOLDER` is the next tranche.
2. FOLDER/sidecar/ says for each row how strong the choice was, whose it was (a
   pseudonym), which models answered, with which seed, and when.
3. The files depend on the facts alone: exported twice they are the same, byte
   for byte, and export.json holds their SHA-256. They are read back and
   counted before the folder appears.

Reference: Bai et al. 2022, sections 2.2-2.3 and D.2.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import io
import json
import pathlib
import re
import shutil
import sys
from collections.abc import Mapping, Sequence

import sqlalchemy as sa

from hh_jax.data import comparisons as comparisons_lib
from hh_jax.feedback import database, tranche
from hh_jax.training import files

SPLITS = ('train', 'test')
_TRANCHE = re.compile(r'[a-z0-9][a-z0-9-]{0,40}')


def _gzip(lines: Sequence[Mapping[str, object]]) -> bytes:
  """JSON lines, compressed to the same bytes whenever and wherever."""
  text = ''.join(
    json.dumps(line, ensure_ascii=False, sort_keys=True) + '\n'
    for line in lines
  )
  buffer = io.BytesIO()
  with gzip.GzipFile(
    filename='', mode='wb', fileobj=buffer, compresslevel=9, mtime=0
  ) as stream:
    stream.write(text.encode('utf-8'))
  return buffer.getvalue()


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
  if not _TRANCHE.fullmatch(name):
    raise ValueError(
      f'tranche={name!r} is no name of small letters, digits and -'
    )
  if not 0 <= test_fraction < 1:
    raise ValueError(f'test_fraction={test_fraction} is outside [0, 1)')
  known = tranche.read_facts(connection)
  found, counts = tranche.rows(connection, known, test_fraction)
  if not found:
    raise ValueError(f'there is no comparison to export: {counts}')
  made: dict[str, bytes] = {}
  used: dict[str, int] = {}
  for side in tranche.SIDES.values():
    for split in SPLITS:
      own = [row for row in found if (row.side, row.split) == (side, split)]
      if own:
        file = f'{side}-{name}/{split}.jsonl.gz'
        made[file] = _gzip([row.comparison for row in own])
        made[f'sidecar/{side}-{name}.{split}.jsonl.gz'] = _gzip(
          [row.about for row in own]
        )
        used[file] = len(own)
  about = {
    'counts': counts,
    'rows': used,
    'test_fraction': test_fraction,
    'models': known.specs,
    'sha256': {
      file: hashlib.sha256(data).hexdigest()
      for file, data in sorted(made.items())
    },
  }
  made['export.json'] = (json.dumps(about, indent=2) + '\n').encode()
  return made


def write(made: Mapping[str, bytes], out: str) -> None:
  """Writes an export to a new folder, read back before it gets its name.

  Raises:
    ValueError: The folder is there with something else in it, or what was
      written is not what was to be.
  """
  folder = pathlib.Path(out)
  if folder.exists():
    if is_same(made, folder):
      return
    raise ValueError(f'--out={out} is there already; choose another folder')
  files.require_folder_place(str(folder.absolute().parent), f'--out={out}')
  partial = folder.with_name(folder.name + files.TEMPORARY)
  if partial.exists():
    shutil.rmtree(partial)
  for name, data in made.items():
    path = partial / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
  about = json.loads(made['export.json'])
  kept = comparisons_lib.read_comparisons(partial).num_kept
  if kept != sum(about['rows'].values()):
    raise ValueError(
      f'{partial} has {sum(about["rows"].values())} comparisons, of which '
      f'training would read {kept}'
    )
  partial.rename(folder)


def is_same(made: Mapping[str, bytes], folder: pathlib.Path) -> bool:
  """Whether a folder holds exactly this export."""
  there = {
    str(path.relative_to(folder))
    for path in folder.rglob('*')
    if path.is_file()
  }
  return there == made.keys() and all(
    (folder / name).read_bytes() == data for name, data in made.items()
  )


def summary(made: Mapping[str, bytes]) -> str:
  """Says in one line what an export holds and what was left out."""
  counts = json.loads(made['export.json'])['counts']
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
    write(made, flags.out)
  except (OSError, ValueError, database.UnavailableError) as error:
    print(f'error: {error}', file=sys.stderr)
    return 2
  print(f'{flags.out}: {summary(made)}')
  return 0


if __name__ == '__main__':
  sys.exit(main())
