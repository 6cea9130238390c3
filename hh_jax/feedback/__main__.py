"""Serves the interface where people compare replies.

  python -m hh_jax.feedback --db=feedback.db --policy=checkpoint:run=runs/rlhf

Policies, each `KIND:name=value,...`; several are compared with one another:
  checkpoint:run=WORKDIR,temperature=1.0,max_new_tokens=128,share=1
  best_of:run=WORKDIR,pm=WORKDIR,k=16
  http:url=http://HOST:PORT/v1,model=NAME
  canned:name=NAME
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import fcntl
import socket
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from hh_jax.config import from_config_dict, parse_arg
from hh_jax.config.feedback import (
  TASKS,
  FeedbackConfig,
  PolicyConfig,
  parse_policy,
)

if TYPE_CHECKING:
  from hh_jax.feedback.database import Database

DEMO_CONVERSATIONS = 3
_GRACE = 3  # seconds for what is under way when the server is stopped


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
  """Returns the flags; what is wrong with them is argparse's to say."""
  parser = argparse.ArgumentParser(
    prog='python -m hh_jax.feedback',
    description=__doc__,
    formatter_class=argparse.RawDescriptionHelpFormatter,
  )
  parser.add_argument(
    '--db', required=True, help='SQLite file, or postgresql://USER@HOST/NAME'
  )
  parser.add_argument(
    '--policy', required=True, action='append', metavar='SPEC'
  )
  parser.add_argument('--host', default='127.0.0.1')
  parser.add_argument('--port', type=int, default=8000)
  parser.add_argument(
    '--public_url', default='', help='where people find it, behind a proxy'
  )
  parser.add_argument(
    '--set', default='', metavar='NAME=VALUE,...', help='limits to change'
  )
  parser.add_argument(
    '--demo', action='store_true', help='print a link of every kind'
  )
  return parser.parse_args(argv)


def parse_limits(text: str) -> FeedbackConfig:
  """Returns the config with some fields changed."""
  defaults = dataclasses.asdict(FeedbackConfig())
  return from_config_dict(FeedbackConfig, parse_arg(text, **defaults), '--set')


def _bind(host: str, port: int) -> socket.socket:
  try:
    return socket.create_server((host, port), backlog=1024)
  except (OSError, OverflowError) as error:
    raise ValueError(f'--host={host} --port={port}: {error}') from None


@contextlib.contextmanager
def hold(db: str) -> Iterator[None]:
  """Keeps other servers from an SQLite file as long as this one serves it.

  Raises:
    ValueError: Another one does.
  """
  from hh_jax.feedback import database

  file = database.file_of(db)
  if file is None or not file.parent.is_dir():
    yield  # what is wrong with the folder is the database's to say
    return
  with file.with_name(file.name + '.lock').open('wb') as lock:
    try:
      fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
      raise ValueError(
        f'--db={db} is served by another process; several need PostgreSQL'
      ) from None
    yield


def links(opened: Database, base: str, is_demo: bool) -> list[str]:
  """Makes the links that are printed at the start.

  A database without a researcher gets one; a demonstration, workers of both
  tasks as well.
  """
  import sqlalchemy as sa

  from hh_jax.feedback import people, schema

  invites = schema.invites

  def command(connection: sa.Connection) -> list[tuple[str, str]]:
    admins = sa.select(invites.c.id).where(invites.c.task == people.ADMIN)
    made = []
    if is_demo or connection.execute(admins).first() is None:
      token = people.invite(connection, '', people.ADMIN, 0, people.ADMIN_HOURS)
      made.append(('researcher', token))
    for task in TASKS if is_demo else ():
      name = f'demo {task.replace("_", "-")} worker'
      token = people.invite(connection, name, task, DEMO_CONVERSATIONS, 24)
      made.append((name, token))
    return made

  found = opened.write(command)
  return [f'{name}: {people.link(base, token)}' for name, token in found]


def serve(
  flags: argparse.Namespace,
  config: FeedbackConfig,
  configs: Sequence[PolicyConfig],
) -> None:
  """Opens everything and serves until it is told to stop."""
  import uvicorn

  from hh_jax.feedback import app, database, security
  from hh_jax.feedback.policies import build
  from hh_jax.training import console

  console.show_log()
  build.require(configs)
  listener = _bind(flags.host, flags.port)
  with hold(flags.db):
    opened = database.open_database(flags.db)
    secret = security.load_secret(flags.db)
    port = listener.getsockname()[1]
    base = flags.public_url.rstrip('/') or f'http://{flags.host}:{port}'
    made = app.make_app(
      config, opened, build.build(configs), secret, flags.public_url
    )
    for line in links(opened, base, flags.demo):
      print(line, flush=True)
    print(f'serving on {base}', flush=True)
    server = uvicorn.Server(
      uvicorn.Config(
        made,
        access_log=False,
        log_level='warning',
        server_header=False,
        timeout_graceful_shutdown=_GRACE,
      )
    )
    server.run(sockets=[listener])


def main(argv: Sequence[str] | None = None) -> int:
  """Command line; returns the exit code."""
  flags = parse(argv)
  try:
    config = parse_limits(flags.set)
    configs = [parse_policy(spec) for spec in flags.policy]
    serve(flags, config, configs)
  except ImportError as error:
    print(f'error: {error}; install hh_jax[feedback]', file=sys.stderr)
    return 2
  except (OSError, ValueError) as error:
    print(f'error: {error}', file=sys.stderr)
    return 2
  return 0


if __name__ == '__main__':
  sys.exit(main())
