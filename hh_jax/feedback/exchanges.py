"""Conversations as they were: messages, replies, choices.

The one place that knows how the facts of a turn hang together; workers' pages,
researchers' pages and the export all read this.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import sqlalchemy as sa

from hh_jax.data.dialogue import ASSISTANT, HUMAN, Dialogue, Turn
from hh_jax.feedback import facts, schema


@dataclasses.dataclass(frozen=True)
class Reply:
  """What one side answered."""

  text: str
  finish: str  # 'stop', 'length' or 'time'
  seconds: float


@dataclasses.dataclass(frozen=True)
class Exchange:
  """A human message, the latest attempt to answer it, and the choice."""

  turn_id: int
  conversation_id: int
  number: int  # in its conversation, from 1
  text: str
  created_at: float
  attempt_id: int
  attempt: int  # number, from 1
  snapshots: tuple[int, int]  # of A and of B
  seed: int
  replies: tuple[Reply, Reply] | None
  failure: str | None
  step: int | None  # 1 (A much more so) to 8 (B much more so)
  seconds: float | None  # the choice took
  chosen_at: float | None
  edit: str | None

  @property
  def picked(self) -> int:
    """Side that was chosen: 0 for A, 1 for B."""
    if self.step is None:
      raise ValueError(f'turn {self.turn_id} has no choice yet')
    return picked_by(self.step)

  @property
  def answer(self) -> str:
    """What the conversation goes on with."""
    if self.replies is None:
      raise ValueError(f'turn {self.turn_id} has no replies yet')
    return self.replies[self.picked].text if self.edit is None else self.edit


def picked_by(step: int) -> int:
  """Side that a step prefers: 0 for A, 1 for B."""
  return int(step > schema.NUM_STEPS // 2)


def _query() -> sa.Select:
  turns, attempts = schema.turns, schema.attempts
  first, second = schema.replies.alias('first'), schema.replies.alias('second')
  newest = (
    sa.select(sa.func.max(attempts.c.number))
    .where(attempts.c.turn_id == turns.c.id)
    .correlate(turns)
    .scalar_subquery()
  )
  of_attempt = attempts.c.id
  joined = (
    turns.join(
      attempts,
      sa.and_(attempts.c.turn_id == turns.c.id, attempts.c.number == newest),
    )
    .outerjoin(
      first, sa.and_(first.c.attempt_id == of_attempt, first.c.slot == 'a')
    )
    .outerjoin(
      second, sa.and_(second.c.attempt_id == of_attempt, second.c.slot == 'b')
    )
    .outerjoin(schema.failures, schema.failures.c.attempt_id == of_attempt)
    .outerjoin(schema.choices, schema.choices.c.turn_id == turns.c.id)
    .outerjoin(schema.edits, schema.edits.c.turn_id == turns.c.id)
  )
  return sa.select(
    turns,
    attempts.c.id.label('attempt_id'),
    attempts.c.number.label('attempt'),
    attempts.c.snapshot_a,
    attempts.c.snapshot_b,
    attempts.c.seed,
    *(
      side.c[name].label(f'{side.name}_{name}')
      for side in (first, second)
      for name in ('text', 'finish', 'seconds')
    ),
    schema.failures.c.reason,
    schema.choices.c.step,
    schema.choices.c.seconds,
    schema.choices.c.created_at.label('chosen_at'),
    schema.edits.c.text.label('edit'),
  ).select_from(joined)


def _exchange(row: facts.Row) -> Exchange:
  replies = None
  if row['first_text'] is not None and row['second_text'] is not None:
    first, second = (
      Reply(row[f'{side}_text'], row[f'{side}_finish'], row[f'{side}_seconds'])
      for side in ('first', 'second')
    )
    replies = (first, second)
  return Exchange(
    turn_id=row['id'],
    conversation_id=row['conversation_id'],
    number=row['number'],
    text=row['text'],
    created_at=row['created_at'],
    attempt_id=row['attempt_id'],
    attempt=row['attempt'],
    snapshots=(row['snapshot_a'], row['snapshot_b']),
    seed=row['seed'],
    replies=replies,
    failure=row['reason'],
    step=row['step'],
    seconds=row['seconds'],
    chosen_at=row['chosen_at'],
    edit=row['edit'],
  )


_ALL = _query().order_by(schema.turns.c.conversation_id, schema.turns.c.id)
_OF_CONVERSATION = _ALL.where(
  schema.turns.c.conversation_id == sa.bindparam('conversation')
)
_OF_TURN = _query().where(schema.turns.c.id == sa.bindparam('turn'))


def read(
  connection: sa.Connection, conversation_id: int | None = None
) -> list[Exchange]:
  """Returns the exchanges of one conversation, or of all, in order."""
  if conversation_id is None:
    rows = facts.fetch(connection, _ALL)
  else:
    rows = facts.fetch(
      connection, _OF_CONVERSATION, conversation=conversation_id
    )
  return [_exchange(row) for row in rows]


def read_turn(connection: sa.Connection, turn_id: int) -> Exchange | None:
  """Returns one exchange, or None if there is none."""
  row = facts.fetch_one(connection, _OF_TURN, turn=turn_id)
  return None if row is None else _exchange(row)


def prompt_of(before: Sequence[Exchange], text: str) -> Dialogue:
  """The dialogue that a reply to `text` continues."""
  turns = []
  for exchange in before:
    turns.append(Turn(HUMAN, exchange.text))
    turns.append(Turn(ASSISTANT, exchange.answer))
  return Dialogue((*turns, Turn(HUMAN, text)))
