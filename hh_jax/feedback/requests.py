"""Commands that are carried out once, however often they are sent.

1. A client gives every command a key of its own and sends it again until it is
   answered. Commands of one invite take turns.
2. The key, a digest of the request and the answer are kept in the transaction
   of the facts: a command that comes again gets the same answer and does
   nothing.
3. The same key with another request is refused: one of the two would be lost.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable

import sqlalchemy as sa

from hh_jax.feedback import facts, schema
from hh_jax.feedback.people import Actor
from hh_jax.feedback.refusals import RefusedError

_KEY = re.compile(r'[A-Za-z0-9_-]{8,64}')

Ack = dict[str, int]

# SQLite has one writer anyway.
_LOCK = (
  sa.select(schema.invites.c.id)
  .where(schema.invites.c.id == sa.bindparam('invite'))
  .with_for_update()
)
_ASKED = sa.select(schema.requests.c.digest, schema.requests.c.answer).where(
  schema.requests.c.invite_id == sa.bindparam('invite'),
  schema.requests.c.key == sa.bindparam('key'),
)


def clean_key(key: str | None) -> str:
  """Returns a key that a client gave.

  Raises:
    RefusedError: It gave none, or no good one.
  """
  if key is None or not _KEY.fullmatch(key):
    raise RefusedError(
      400,
      'no_key',
      'Idempotency-Key must have 8 to 64 letters, digits, - or _.',
    )
  return key


def digest(method: str, path: str, body: bytes) -> str:
  """SHA-256 of what is asked for."""
  head = f'{method} {path}\n'.encode()
  return hashlib.sha256(head + body).hexdigest()


def carry_out(
  connection: sa.Connection,
  actor: Actor,
  key: str,
  asked: str,
  command: Callable[[], Ack],
) -> Ack:
  """Runs a command, or returns what it answered when it ran.

  Args:
    connection: Of a transaction.
    actor: Who asks.
    key: Of the command.
    asked: Its `digest`.
    command: Writes facts through the same connection.

  Raises:
    RefusedError: The key was used for something else, or the command refuses.
  """
  connection.execute(_LOCK, {'invite': actor.invite_id})
  row = facts.fetch_one(connection, _ASKED, invite=actor.invite_id, key=key)
  if row is not None:
    if row['digest'] != asked:
      raise RefusedError(
        422, 'key_used', 'This Idempotency-Key was used for another request.'
      )
    return json.loads(row['answer'])
  answer = command()
  facts.add(
    connection,
    schema.requests,
    invite_id=actor.invite_id,
    key=key,
    digest=asked,
    answer=json.dumps(answer),
  )
  return answer
