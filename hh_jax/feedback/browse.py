"""Lists that researchers look through."""

from __future__ import annotations

import sqlalchemy as sa

from hh_jax.feedback import facts, people, schema

PAGE = 30  # conversations
_ESCAPE = '\\'

Rows = list[facts.Row]


def snapshot_names(connection: sa.Connection) -> dict[int, str]:
  """Returns the names of all snapshots, the oldest first."""
  table = schema.snapshots
  query = sa.select(table.c.id, table.c.name).order_by(table.c.id)
  return {row.id: row.name for row in connection.execute(query)}


def snapshots(connection: sa.Connection) -> Rows:
  """Returns all snapshots with the numbers of their replies and failures."""
  table, attempts = schema.snapshots, schema.attempts
  slots = schema.failures.c.slots
  own_failed = sa.or_(
    sa.and_(slots.contains('a'), attempts.c.snapshot_a == table.c.id),
    sa.and_(slots.contains('b'), attempts.c.snapshot_b == table.c.id),
  )
  replies = (
    sa.select(sa.func.count())
    .select_from(schema.replies.join(attempts))
    .where(
      sa.or_(
        sa.and_(
          schema.replies.c.slot == 'a', attempts.c.snapshot_a == table.c.id
        ),
        sa.and_(
          schema.replies.c.slot == 'b', attempts.c.snapshot_b == table.c.id
        ),
      )
    )
  )
  failures = (
    sa.select(sa.func.count())
    .select_from(schema.failures.join(attempts))
    .where(own_failed)
  )
  last = (
    sa.select(schema.failures.c.reason)
    .select_from(schema.failures.join(attempts))
    .where(own_failed)
    .order_by(schema.failures.c.attempt_id.desc())
    .limit(1)
  )
  query = sa.select(
    table,
    replies.correlate(table).scalar_subquery().label('num_replies'),
    failures.correlate(table).scalar_subquery().label('num_failures'),
    last.correlate(table).scalar_subquery().label('last_failure'),
  ).order_by(table.c.id)
  return facts.fetch(connection, query)


def workers(connection: sa.Connection) -> Rows:
  """Returns all workers."""
  table = schema.workers
  query = sa.select(table).order_by(table.c.name, table.c.id)
  return facts.fetch(connection, query)


def worker_name(connection: sa.Connection, worker: int) -> str | None:
  """Returns the name of a worker, or None if there is none of that number."""
  table = schema.workers
  query = sa.select(table.c.name).where(table.c.id == worker)
  return connection.execute(query).scalar()


def invites(connection: sa.Connection) -> Rows:
  """Returns all links without their tokens, the newest first."""
  table = schema.invites
  ended = (
    sa.select(sa.func.count())
    .select_from(schema.endings.join(schema.conversations))
    .where(schema.conversations.c.invite_id == table.c.id)
    .correlate(table)
    .scalar_subquery()
  )
  joined = (
    sa.select(sa.func.max(schema.activities.c.created_at))
    .where(schema.activities.c.invite_id == table.c.id)
    .correlate(table)
    .scalar_subquery()
  )
  query = (
    sa.select(
      table.c.id,
      table.c.task,
      table.c.num_conversations,
      table.c.expires_at,
      schema.workers.c.name,
      ended.label('num_ended'),
      joined.label('seen_at'),
    )
    .join_from(table, schema.workers, isouter=True)
    .order_by(table.c.id.desc())
  )
  revoked = people.all_latest(connection, 'revoke')
  rows = facts.fetch(connection, query)
  return [{**row, 'is_revoked': revoked.get(row['id'], False)} for row in rows]


def is_invite(connection: sa.Connection, invite: int) -> bool:
  """Whether there is a link of that number."""
  table = schema.invites
  query = sa.select(table.c.id).where(table.c.id == invite)
  return connection.execute(query).first() is not None


def conversations(
  connection: sa.Connection,
  *,
  worker: int | None = None,
  conversation: int | None = None,
  text: str = '',
  before: int | None = None,
  limit: int = PAGE,
) -> Rows:
  """Returns conversations, the newest first.

  Args:
    connection: To the facts.
    worker: Only this worker's.
    conversation: Only this one.
    text: Only those in which a message or a reply contains it; small and
      capital letters are alike.
    before: Only those with a smaller number.
    limit: How many at most.
  """
  table, turns = schema.conversations, schema.turns
  of_table = turns.c.conversation_id == table.c.id
  first = (
    sa.select(turns.c.text)
    .where(of_table, turns.c.number == 1)
    .correlate(table)
    .scalar_subquery()
  )
  num_turns = (
    sa.select(sa.func.count())
    .select_from(turns)
    .where(of_table)
    .correlate(table)
    .scalar_subquery()
  )
  query = (
    sa.select(
      table.c.id,
      table.c.created_at,
      schema.invites.c.task,
      schema.workers.c.id.label('worker_id'),
      schema.workers.c.name,
      schema.endings.c.kind,
      schema.endings.c.rating,
      schema.endings.c.comment,
      first.label('first'),
      num_turns.label('num_turns'),
    )
    .join_from(table, schema.invites)
    .join(schema.workers)
    .outerjoin(schema.endings)
    .order_by(table.c.id.desc())
    .limit(limit)
  )
  if worker is not None:
    query = query.where(schema.invites.c.worker_id == worker)
  if conversation is not None:
    query = query.where(table.c.id == conversation)
  if before is not None:
    query = query.where(table.c.id < before)
  if text:
    query = query.where(table.c.id.in_(_containing(text)))
  return facts.fetch(connection, query)


def _containing(text: str) -> sa.Select[tuple[int]]:
  """Conversations in which a text occurs."""
  turns, replies = schema.turns, schema.replies
  joined = turns.join(schema.attempts).outerjoin(replies)
  return (
    sa.select(turns.c.conversation_id)
    .select_from(joined)
    .where(
      sa.or_(
        turns.c.text.icontains(text, autoescape=True, escape=_ESCAPE),
        replies.c.text.icontains(text, autoescape=True, escape=_ESCAPE),
      )
    )
  )


def reports(connection: sa.Connection, conversation: int) -> Rows:
  """Returns what was reported in a conversation."""
  query = (
    sa.select(schema.reports, schema.turns.c.number)
    .join_from(schema.reports, schema.turns)
    .where(schema.turns.c.conversation_id == conversation)
    .order_by(schema.reports.c.id)
  )
  return facts.fetch(connection, query)
