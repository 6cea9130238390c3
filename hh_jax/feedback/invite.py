r"""Makes links for workers, or for a researcher, and prints them.

python -m hh_jax.feedback.invite --db=URL --url=https://HOST --task=helpful \
    --conversations=10 NAME...
python -m hh_jax.feedback.invite --db=URL --url=https://HOST --admin
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from hh_jax.config.feedback import TASKS
from hh_jax.feedback import database, people


def main(argv: Sequence[str] | None = None) -> int:
  """Command line; returns the exit code."""
  parser = argparse.ArgumentParser(
    prog='hh_jax.feedback.invite', description=__doc__.splitlines()[0]
  )
  parser.add_argument('--db', required=True, help='SQLite file or postgresql:')
  parser.add_argument('--url', default='http://127.0.0.1:8000')
  parser.add_argument('--task', choices=TASKS, default='helpful')
  parser.add_argument('--conversations', type=int, default=10)
  parser.add_argument('--days', type=float, default=14)
  parser.add_argument('--admin', action='store_true', help='for a researcher')
  parser.add_argument('names', nargs='*', help='of workers')
  flags = parser.parse_args(argv)
  try:
    if flags.admin == bool(flags.names):
      raise ValueError('give either names of workers or --admin')
    opened = database.open_database(flags.db, must_exist=True)
    task, hours = flags.task, 24 * flags.days
    if flags.admin:
      task, hours = people.ADMIN, people.ADMIN_HOURS

    def command(connection) -> list[str]:
      return [
        people.invite(connection, name, task, flags.conversations, hours)
        for name in flags.names or ['']
      ]

    tokens = opened.write(command)
  except (OSError, ValueError, database.UnavailableError) as error:
    print(f'error: {error}', file=sys.stderr)
    return 2
  for name, token in zip(flags.names or ['researcher'], tokens):
    print(f'{name}\t{people.link(flags.url.rstrip("/"), token)}')
  return 0


if __name__ == '__main__':
  sys.exit(main())
