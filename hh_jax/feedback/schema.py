"""The facts that are kept, each table one kind of fact.

1. Rows are inserted and never changed: triggers refuse UPDATE and DELETE. What
   is true now is the latest fact.
2. A conversation belongs to an invite, and an invite to a worker. A turn is a
   human message; an attempt is two snapshots asked to answer it, with the seed
   that makes their replies again; replies are stored both or neither.
3. Steps run from 1 (A much more so) to 8 (B much more so), and there is no
   tie. "More so" is more helpful, or in red-team work more harmful.
4. A request that was acknowledged is kept under the key its client gave it, in
   the transaction of the facts it made.

Times are seconds since 1970 in UTC.

Reference: Bai et al. 2022, sections 2.1-2.3, figure 6.
"""

from __future__ import annotations

import sqlalchemy as sa

NUM_STEPS = 8
WEAK_STEPS = (4, 5)  # left out of training [§2.2] and of Elo [§B.5]
SLOTS = ('a', 'b')

metadata = sa.MetaData(
  naming_convention={
    'ix': 'ix_%(table_name)s_%(column_0_N_name)s',
    'uq': 'uq_%(table_name)s_%(column_0_N_name)s',
    'ck': 'ck_%(table_name)s_%(constraint_name)s',
    'fk': 'fk_%(table_name)s_%(column_0_N_name)s',
    'pk': 'pk_%(table_name)s',
  }
)


def _id() -> sa.Column[int]:
  return sa.Column('id', sa.Integer, primary_key=True)


def _at() -> sa.Column[float]:
  return sa.Column('created_at', sa.Float(53), nullable=False)


def _of(table: str, name: str = '', *, is_key: bool = False) -> sa.Column[int]:
  """The row of another table that a row belongs to."""
  return sa.Column(
    name or f'{table.removesuffix("s")}_id',
    sa.Integer,
    sa.ForeignKey(f'{table}.id'),
    primary_key=is_key,
    autoincrement=False,
    nullable=False,
  )


def _text(name: str) -> sa.Column[str]:
  return sa.Column(name, sa.Text, nullable=False)


def _number(name: str) -> sa.Column[int]:
  return sa.Column(name, sa.Integer, nullable=False)


def _seconds(name: str) -> sa.Column[float]:
  return sa.Column(name, sa.Float(53), nullable=False)


def _step_check() -> sa.CheckConstraint:
  return sa.CheckConstraint(f'step BETWEEN 1 AND {NUM_STEPS}', name='step')


def _slot_check() -> sa.CheckConstraint:
  return sa.CheckConstraint("slot IN ('a', 'b')", name='slot')


workers = sa.Table(
  'workers',
  metadata,
  _id(),
  _text('name'),
  sa.Column('pseudonym', sa.Text, nullable=False, unique=True),  # in exports
  _at(),
)

# A link that lets a worker, or without one a researcher, in.
invites = sa.Table(
  'invites',
  metadata,
  _id(),
  sa.Column('token_hash', sa.Text, nullable=False, unique=True),
  sa.Column('worker_id', sa.Integer, sa.ForeignKey('workers.id'), index=True),
  _text('task'),  # of the config's TASKS, or 'admin'
  _number('num_conversations'),
  _at(),
  _seconds('expires_at'),
)

# A model together with how it is sampled.
snapshots = sa.Table(
  'snapshots',
  metadata,
  _id(),
  sa.Column('name', sa.Text, nullable=False, unique=True),
  _text('fingerprint'),  # SHA-256 of spec
  _text('spec'),  # JSON: all that makes its replies again, but for the seed
  _at(),
)

conversations = sa.Table(
  'conversations',
  metadata,
  _id(),
  _of('invites'),
  _number('number'),
  _at(),
  sa.UniqueConstraint('invite_id', 'number'),
)

turns = sa.Table(
  'turns',
  metadata,
  _id(),
  _of('conversations'),
  _number('number'),
  _text('text'),
  _at(),
  sa.UniqueConstraint('conversation_id', 'number'),
)

attempts = sa.Table(
  'attempts',
  metadata,
  _id(),
  _of('turns'),
  _number('number'),
  _of('snapshots', 'snapshot_a'),
  _of('snapshots', 'snapshot_b'),
  _number('seed'),
  _at(),
  sa.UniqueConstraint('turn_id', 'number'),
)

replies = sa.Table(
  'replies',
  metadata,
  _of('attempts', is_key=True),
  sa.Column('slot', sa.Text, primary_key=True),
  _text('text'),
  _text('finish'),  # 'stop', 'length' or 'time'
  _seconds('seconds'),  # from the request to the last character
  _at(),
  _slot_check(),
)

failures = sa.Table(
  'failures',
  metadata,
  _of('attempts', is_key=True),
  _text('reason'),
  _at(),
  # Of the replies that failed: 'a', 'b' or 'ab'.
  sa.Column('slots', sa.Text, nullable=False, server_default='ab'),
)

choices = sa.Table(
  'choices',
  metadata,
  _of('turns', is_key=True),
  _of('attempts'),
  _number('step'),
  _seconds('seconds'),  # from the time both replies were there
  _at(),
  _step_check(),
)

# The picked reply made better by the worker; the conversation goes on with it.
edits = sa.Table(
  'edits',
  metadata,
  _of('turns', is_key=True),
  _text('text'),
  _at(),
)

endings = sa.Table(
  'endings',
  metadata,
  _of('conversations', is_key=True),
  _text('kind'),  # 'finished' or 'skipped'
  sa.Column('rating', sa.Integer),  # 1 (bad) to 5 (good); none when skipped
  _text('comment'),
  _at(),
  sa.CheckConstraint("kind IN ('finished', 'skipped')", name='kind'),
  sa.CheckConstraint('rating BETWEEN 1 AND 5', name='rating'),
)

reports = sa.Table(
  'reports',
  metadata,
  _id(),
  _of('turns'),
  _text('slot'),
  _text('reason'),
  _at(),
  _slot_check(),
)

# Another worker's comparison shown for a second look, sides perhaps swapped.
reviews = sa.Table(
  'reviews',
  metadata,
  _id(),
  _of('invites'),
  _number('number'),  # of the conversation it follows
  _of('turns'),
  sa.Column('is_swapped', sa.Boolean, nullable=False),
  _at(),
  sa.UniqueConstraint('invite_id', 'number'),
)

verdicts = sa.Table(
  'verdicts',
  metadata,
  _of('reviews', is_key=True),
  sa.Column('step', sa.Integer),  # of the sides as shown; none: passed over
  _seconds('seconds'),
  _at(),
  _step_check(),
)

# When a worker came, paused, went on, or rested.
activities = sa.Table(
  'activities',
  metadata,
  _id(),
  _of('invites'),
  _text('kind'),
  _at(),
)

# What a researcher decided; of one kind and subject the latest counts.
decisions = sa.Table(
  'decisions',
  metadata,
  _id(),
  _of('invites'),  # the researcher's
  _text('kind'),
  _number('subject'),
  _text('value'),  # JSON
  _at(),
)

requests = sa.Table(
  'requests',
  metadata,
  sa.Column(
    'invite_id', sa.Integer, sa.ForeignKey('invites.id'), primary_key=True
  ),
  sa.Column('key', sa.Text, primary_key=True),
  _text('digest'),  # SHA-256 of method, path and body
  _text('answer'),  # JSON
  _at(),
)

sa.Index('ix_activities_invite_id', activities.c.invite_id)
sa.Index('ix_attempts_turn_id', attempts.c.turn_id)
sa.Index('ix_choices_created_at', choices.c.created_at)
sa.Index('ix_decisions_kind_subject', decisions.c.kind, decisions.c.subject)
sa.Index('ix_reports_turn_id', reports.c.turn_id)
sa.Index('ix_reviews_turn_id', reviews.c.turn_id)
sa.Index('ix_workers_name', workers.c.name, unique=True)
