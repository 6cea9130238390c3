r"""Load and loss of the feedback interface, with clients over HTTP.

  python -m benchmarks.feedback --record=results/feedback.json --db=sqlite \
    --db=postgresql://USER@HOST/feedback_{job}

1. load: workers who think 1 to 3 seconds before each choice; the time of the
   request that stores it, without kills.
2. kills: the same workers without thinking, while the server is killed
   (SIGKILL) at random moments; then the books are compared (`ledger`).
3. A row says what it was to reach and whether it did; if one did not, the exit
   code is 1.
Client and server share the machine. Limits of requests and second looks are
off (`limits` of a row), for they are not what is measured.
"""

from __future__ import annotations

import argparse
import asyncio
import pathlib
import shlex
import sys
import tempfile
import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from benchmarks import ledger
from hh_jax.report import record

LIMIT = 0.25  # seconds, 99th percentile of a choice without kills
SQLITE = 'sqlite'


def measure(
  name: str,
  db: str,
  folder: pathlib.Path,
  *,
  workers: int,
  choices: int,
  think: tuple[float, float],
  kills: int,
  every: float,
) -> dict[str, Any]:
  """Returns the row of one setting."""
  server = ledger.Server(db, folder / 'server.log')
  started = time.perf_counter()
  server.start()
  try:
    links = ledger.make_links(db, server.url, workers, choices)
    books, killed = asyncio.run(
      ledger.run(
        server, links, choices, think=think, num_kills=kills, every=every
      )
    )
  finally:
    server.kill()
  found = ledger.reconcile(db, books)
  times = [entry.seconds for book in books for entry in book]
  row: dict[str, Any] = {
    'name': name,
    'limits': ledger.LIMITS,
    'workers': workers,
    'comparisons': choices * workers,
    'kills': killed,
    **found,
    'choice_p50': round(float(np.quantile(times, 0.5)), 4),
    'choice_p99': round(float(np.quantile(times, 0.99)), 4),
    'seconds': round(time.perf_counter() - started, 1),
  }
  row['not_met'] = not_met(row, kills)
  print(row, flush=True)
  return row


def not_met(row: Mapping[str, Any], kills: int) -> list[str]:
  """Says what a row was to reach and did not.

  Args:
    row: What was found.
    kills: How many there should have been.
  """
  found = [f'{name}={row[name]} > 0' for name in ledger.FAULTS if row[name]]
  if row['acknowledged'] < row['comparisons']:
    found.append(f'acknowledged={row["acknowledged"]} < {row["comparisons"]}')
  if row['kills'] < kills:
    found.append(f'kills={row["kills"]} < {kills}')
  if not kills and row['choice_p99'] > LIMIT:
    found.append(f'choice_p99={row["choice_p99"]} > {LIMIT}')
  return found


def main() -> int:
  """Measures and writes the result file; returns the exit code."""
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument('--record', type=pathlib.Path, required=True)
  parser.add_argument(
    '--db',
    action='append',
    help=f'{SQLITE}, or a postgresql:// address of empty databases, with '
    '{job} for load and kills; once for each kind',
  )
  parser.add_argument('--workers', type=int, default=64)
  parser.add_argument('--choices', type=int, default=1000, help='of a worker')
  parser.add_argument('--load_choices', type=int, default=60)
  parser.add_argument('--kills', type=int, default=50)
  parser.add_argument('--every', type=float, default=20.0)
  flags = parser.parse_args()
  started = time.perf_counter()
  rows = []
  with tempfile.TemporaryDirectory() as name:
    folder = pathlib.Path(name)
    common = {'folder': folder, 'workers': flags.workers, 'every': flags.every}
    for db in flags.db or [SQLITE]:
      for job, choices, think, kills in (
        ('load', flags.load_choices, (1.0, 3.0), 0),
        ('kills', flags.choices, (0.0, 0.0), flags.kills),
      ):
        kind = db.partition(':')[0]
        place = str(folder / f'{job}.db') if db == SQLITE else db
        rows.append(
          measure(
            f'{kind}/{job}',
            place.format(job=job),
            choices=choices,
            think=think,
            kills=kills,
            **common,
          )
        )
  record.write_result(
    flags.record,
    rows,
    command=shlex.join(['python', '-m', 'benchmarks.feedback', *sys.argv[1:]]),
    seeds=[0],
    seconds=time.perf_counter() - started,
  )
  for row in rows:
    print(f'{row["name"]}: {"; ".join(row["not_met"]) or "met"}')
  return int(any(row['not_met'] for row in rows))


if __name__ == '__main__':
  sys.exit(main())
