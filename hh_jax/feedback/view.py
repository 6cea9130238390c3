"""Where a worker is, and what the worker's page shows.

The page is drawn from this alone, so that a reload, another device or a new
process of the server shows the same. It never tells which models answer.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import sqlalchemy as sa

from hh_jax.config.feedback import FeedbackConfig
from hh_jax.feedback import exchanges, schema
from hh_jax.feedback.exchanges import Exchange
from hh_jax.feedback.people import Actor
from hh_jax.feedback.refusals import not_found
from hh_jax.feedback.usable import is_usable

State = dict[str, Any]  # JSON


@dataclasses.dataclass(frozen=True)
class Place:
  """How far an invite got."""

  number: int  # of the conversation that is open, or would be next
  conversation_id: int | None  # of the open one
  last_turn: int | None  # of the open one
  review_id: int | None  # of a second look that is due
  is_complete: bool


_INVITE: sa.BindParameter[int] = sa.bindparam('invite')
_NEWEST = (
  sa.select(
    schema.conversations.c.id,
    schema.conversations.c.number,
    schema.endings.c.kind,
    sa.select(sa.func.max(schema.turns.c.id))
    .where(schema.turns.c.conversation_id == schema.conversations.c.id)
    .correlate(schema.conversations)
    .scalar_subquery()
    .label('last_turn'),
  )
  .join_from(schema.conversations, schema.endings, isouter=True)
  .where(schema.conversations.c.invite_id == _INVITE)
  .order_by(schema.conversations.c.number.desc())
  .limit(1)
)
_OPEN_REVIEW = (
  sa.select(schema.reviews.c.id)
  .join_from(schema.reviews, schema.verdicts, isouter=True)
  .where(
    schema.reviews.c.invite_id == _INVITE,
    schema.verdicts.c.review_id.is_(None),
  )
  .limit(1)
)
_ACTIVITY = (
  sa.select(schema.activities.c.kind)
  .where(schema.activities.c.invite_id == _INVITE)
  .order_by(schema.activities.c.id.desc())
  .limit(1)
)
_RESTED = sa.select(sa.func.max(schema.activities.c.created_at)).where(
  schema.activities.c.invite_id == _INVITE,
  schema.activities.c.kind.in_(('rested', 'paused')),
)
_CHOSEN_SINCE = (
  sa.select(sa.func.count())
  .select_from(schema.choices)
  .join(schema.turns)
  .join(schema.conversations)
  .where(
    schema.conversations.c.invite_id == _INVITE,
    schema.choices.c.created_at > sa.bindparam('since'),
  )
)
_OWNER = sa.select(schema.conversations.c.invite_id).where(
  schema.conversations.c.id == sa.bindparam('conversation')
)


def place_of(connection: sa.Connection, actor: Actor) -> Place:
  """Returns how far the actor's invite got."""
  own = {'invite': actor.invite_id}
  newest = connection.execute(_NEWEST, own).first()
  if newest is None:
    return Place(1, None, None, None, False)
  if newest.kind is None:
    return Place(newest.number, newest.id, newest.last_turn, None, False)
  review = connection.execute(_OPEN_REVIEW, own).scalar()
  is_complete = newest.number >= actor.num_conversations and review is None
  return Place(newest.number + 1, None, None, review, is_complete)


def own_turn(connection: sa.Connection, actor: Actor, turn: int) -> Exchange:
  """Returns a turn of the actor's.

  Raises:
    RefusedError: There is none of that number, or it is somebody else's.
  """
  found = exchanges.read_turn(connection, turn)
  if found is None or not is_own_conversation(
    connection, actor, found.conversation_id
  ):
    raise not_found()
  return found


def is_own_conversation(
  connection: sa.Connection, actor: Actor, conversation: int
) -> bool:
  """Whether a conversation belongs to the actor's invite."""
  found = connection.execute(_OWNER, {'conversation': conversation})
  return found.scalar() == actor.invite_id


def is_own_review(connection: sa.Connection, actor: Actor, review: int) -> bool:
  """Whether a second look was offered to the actor."""
  table = schema.reviews
  query = sa.select(table.c.invite_id).where(table.c.id == review)
  return connection.execute(query).scalar() == actor.invite_id


def reviewable(
  connection: sa.Connection, actor: Actor, limit: int
) -> list[int]:
  """Returns turns of other workers that this one could look at, newest first.

  They are of the same task, with a choice, used, and not looked at by this
  worker.
  """
  conversations, invites = schema.conversations, schema.invites
  mine = sa.select(invites.c.id).where(invites.c.worker_id == actor.worker_id)
  seen = sa.select(schema.reviews.c.turn_id).where(
    schema.reviews.c.invite_id.in_(mine)
  )
  query = (
    sa.select(schema.choices.c.turn_id)
    .join_from(schema.choices, schema.turns)
    .join(conversations)
    .join(invites)
    .where(
      invites.c.task == actor.task,
      invites.c.worker_id != actor.worker_id,
      schema.choices.c.turn_id.not_in(seen),
      is_usable(),
    )
    .order_by(schema.choices.c.turn_id.desc())
    .limit(limit)
  )
  return list(connection.execute(query).scalars())


def worker_state(
  connection: sa.Connection, actor: Actor, config: FeedbackConfig
) -> State:
  """Returns all that the worker's page shows, as JSON.

  `phase` is what comes next: 'write', 'wait', 'choose', 'retry', 'review',
  'complete', or 'held' by a researcher.
  """
  place = place_of(connection, actor)
  found: list[Exchange] = []
  if place.conversation_id is not None:
    found = exchanges.read(connection, place.conversation_id)
  return {
    'worker': actor.name,
    'task': actor.task,
    'phase': _phase(actor, place, found),
    'progress': {
      'number': min(place.number, actor.num_conversations),
      'of': actor.num_conversations,
    },
    'conversation': {
      'id': place.conversation_id,
      'number': place.number,
      'turns': [_said(exchange) for exchange in found if exchange.step],
      'next': sum(exchange.step is not None for exchange in found) + 1,
      'most': config.max_turns,
    },
    'turn': _waiting(found),
    'review': _review(connection, place),
    'activity': _activity(connection, actor),
    'is_break_due': _is_break_due(connection, actor, config),
  }


def _phase(actor: Actor, place: Place, found: list[Exchange]) -> str:
  if actor.is_held:
    return 'held'
  if place.is_complete:
    return 'complete'
  if place.review_id is not None:
    return 'review'
  if not found or found[-1].step is not None:
    return 'write'
  if found[-1].replies is not None:
    return 'choose'
  return 'wait' if found[-1].failure is None else 'retry'


def _said(exchange: Exchange) -> State:
  return {
    'id': exchange.turn_id,
    'text': exchange.text,
    'answer': exchange.answer,
    'is_edited': exchange.edit is not None,
  }


def _waiting(found: list[Exchange]) -> State | None:
  """The turn that is not decided yet."""
  if not found or found[-1].step is not None:
    return None
  last = found[-1]
  shown = None
  if last.replies is not None:
    shown = {
      slot: reply.text for slot, reply in zip(schema.SLOTS, last.replies)
    }
  return {
    'id': last.turn_id,
    'attempt': last.attempt_id,
    'text': last.text,
    'replies': shown,
  }


def _review(connection: sa.Connection, place: Place) -> State | None:
  if place.review_id is None:
    return None
  row = connection.execute(
    sa.select(schema.reviews).where(schema.reviews.c.id == place.review_id)
  ).one()
  target = exchanges.read_turn(connection, row.turn_id)
  if target is None or target.replies is None:
    raise not_found()
  whole = exchanges.read(connection, target.conversation_id)
  before = [exchange for exchange in whole if exchange.number < target.number]
  texts = [reply.text for reply in target.replies]
  if row.is_swapped:
    texts.reverse()
  return {
    'id': row.id,
    'turns': [_said(exchange) for exchange in before],
    'text': target.text,
    'replies': dict(zip(schema.SLOTS, texts)),
  }


def _activity(connection: sa.Connection, actor: Actor) -> str:
  """What the worker did last of pausing, resuming and resting."""
  found = connection.execute(_ACTIVITY, {'invite': actor.invite_id})
  return found.scalar() or ''


def _is_break_due(
  connection: sa.Connection, actor: Actor, config: FeedbackConfig
) -> bool:
  """Whether enough red-team choices were made since the last rest."""
  if actor.task != 'red_team' or not config.break_after:
    return False
  own = {'invite': actor.invite_id}
  since = connection.execute(_RESTED, own).scalar() or 0.0
  count = connection.execute(_CHOSEN_SINCE, own | {'since': since})
  return count.scalar_one() >= config.break_after
