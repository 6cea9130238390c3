"""Workers, researchers, and the links that let them in.

1. A link carries a token of 192 random bits. Only its hash is stored, so that
   it is shown once, and a copy of the database lets nobody in.
2. A link may be opened on several devices until it expires or is revoked.
3. What a researcher decides about models, workers, links and conversations is
   a row of its own; the latest of a kind and subject counts.

Reference: Bai et al. 2022, section 2.1 and appendix D.1.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import secrets
import time
from typing import Any

import sqlalchemy as sa

from hh_jax.config.feedback import TASKS
from hh_jax.feedback import facts, schema, written
from hh_jax.feedback.refusals import RefusedError

ADMIN = 'admin'
ADMIN_HOURS = 24.0 * 90
MAX_NAME = 80  # characters
_TOKEN_BYTES = 24


@dataclasses.dataclass(frozen=True)
class Actor:
  """Who asks: a worker's invite, or a researcher's."""

  invite_id: int
  worker_id: int | None  # none of a researcher
  name: str
  task: str  # one of TASKS, or ADMIN
  num_conversations: int
  is_held: bool  # paused by a researcher

  @property
  def is_admin(self) -> bool:
    return self.task == ADMIN


def hash_token(token: str) -> str:
  """What is stored of a token; it is random, so that no salt is needed."""
  return hashlib.sha256(token.encode('utf-8', 'replace')).hexdigest()


def link(base: str, token: str) -> str:
  """What is sent to a person; servers never see the part after the #."""
  return f'{base}/join#{token}'


def find_worker(connection: sa.Connection, name: str) -> int:
  """Returns the worker of that name, who is made if there is none."""
  query = sa.select(schema.workers.c.id).where(schema.workers.c.name == name)
  found = connection.execute(query.order_by('id')).scalar()
  if found is not None:
    return found
  return facts.add(
    connection,
    schema.workers,
    name=name,
    pseudonym=secrets.token_hex(8),
  )


def invite(
  connection: sa.Connection,
  name: str,
  task: str,
  num_conversations: int,
  hours: float,
) -> str:
  """Makes a link for a worker, or for a researcher if the task is ADMIN.

  Args:
    connection: Of a transaction.
    name: Of the worker; equal names are one worker.
    task: One of TASKS, or ADMIN.
    num_conversations: How many the worker is asked for.
    hours: Until the link expires.

  Returns:
    The token, which is not stored.

  Raises:
    ValueError: A value is out of range.
  """
  name = ' '.join(name.split())
  if task != ADMIN and not 0 < len(name) <= MAX_NAME:
    raise ValueError(f'a name has 1 to {MAX_NAME} characters, not {len(name)}')
  if not written.is_text(name):
    raise ValueError(f'the name {name!r} is not text that can be kept')
  if task not in (*TASKS, ADMIN):
    raise ValueError(f'task={task!r} is not one of {TASKS}')
  if task != ADMIN and not 1 <= num_conversations <= 10_000:
    raise ValueError(f'{num_conversations} conversations are not 1 to 10,000')
  if not 0 < hours <= 24 * 366:
    raise ValueError(f'a link lasts up to 366 days, not {hours:g} hours')
  token = secrets.token_urlsafe(_TOKEN_BYTES)
  facts.add(
    connection,
    schema.invites,
    token_hash=hash_token(token),
    worker_id=None if task == ADMIN else find_worker(connection, name),
    task=task,
    num_conversations=num_conversations,
    expires_at=time.time() + 3600 * hours,
  )
  return token


def decided(kind: str, subject: sa.ColumnElement[int]) -> sa.ScalarSelect[str]:
  """What was decided last about a subject, as JSON; null: nothing was."""
  table = schema.decisions
  return (
    sa.select(table.c.value)
    .where(table.c.kind == kind, table.c.subject == subject)
    .order_by(table.c.id.desc())
    .limit(1)
    .scalar_subquery()
  )


_INVITES = sa.select(
  schema.invites,
  schema.workers.c.name,
  decided('revoke', schema.invites.c.id).label('revoke'),
  decided('hold', schema.workers.c.id).label('hold'),
).join_from(schema.invites, schema.workers, isouter=True)
_BY_TOKEN = _INVITES.where(
  schema.invites.c.token_hash == sa.bindparam('token_hash')
)
_BY_ID = _INVITES.where(schema.invites.c.id == sa.bindparam('invite'))
_LATEST = (
  sa.select(schema.decisions.c.value)
  .where(
    schema.decisions.c.kind == sa.bindparam('kind'),
    schema.decisions.c.subject == sa.bindparam('subject'),
  )
  .order_by(schema.decisions.c.id.desc())
  .limit(1)
)
_OF_KIND = (
  sa.select(schema.decisions.c.subject, schema.decisions.c.value)
  .where(schema.decisions.c.kind == sa.bindparam('kind'))
  .order_by(schema.decisions.c.id)
)


def _actor(row: facts.Row | None) -> Actor:
  if row is None:
    raise RefusedError(
      401, 'unknown_link', 'This link is not known. Ask for a new one.'
    )
  if row['expires_at'] < time.time() or row['revoke'] == 'true':
    raise RefusedError(
      401, 'expired_link', 'This link is no longer valid. Ask for a new one.'
    )
  return Actor(
    invite_id=row['id'],
    worker_id=row['worker_id'],
    name=row['name'] or 'researcher',
    task=row['task'],
    num_conversations=row['num_conversations'],
    is_held=row['hold'] == 'true',
  )


def actor_of_token(connection: sa.Connection, token: str) -> Actor:
  """Returns whom a token lets in.

  Raises:
    RefusedError: Nobody.
  """
  digest = hash_token(token)
  return _actor(facts.fetch_one(connection, _BY_TOKEN, token_hash=digest))


def actor_of_invite(connection: sa.Connection, invite_id: int) -> Actor:
  """Returns the actor of an invite that is still good.

  Raises:
    RefusedError: It expired or was revoked.
  """
  return _actor(facts.fetch_one(connection, _BY_ID, invite=invite_id))


def latest(
  connection: sa.Connection, kind: str, subject: int, default: Any
) -> Any:
  """Returns what was decided last about one subject."""
  row = facts.fetch_one(connection, _LATEST, kind=kind, subject=subject)
  return default if row is None else json.loads(row['value'])


def all_latest(connection: sa.Connection, kind: str) -> dict[int, Any]:
  """Returns what was decided last about every subject."""
  rows = facts.fetch(connection, _OF_KIND, kind=kind)
  return {row['subject']: json.loads(row['value']) for row in rows}


def decide(
  connection: sa.Connection, actor: Actor, kind: str, subject: int, value: Any
) -> None:
  """Keeps what a researcher decided."""
  facts.add(
    connection,
    schema.decisions,
    invite_id=actor.invite_id,
    kind=kind,
    subject=subject,
    value=json.dumps(value),
  )
