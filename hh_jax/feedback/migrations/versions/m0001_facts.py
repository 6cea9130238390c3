"""The first version: all facts, and the triggers that keep them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = '0001'
down_revision = None
branch_labels = None
depends_on = None

_KEEP = """
CREATE FUNCTION refuse_change() RETURNS trigger AS $$
BEGIN RAISE EXCEPTION 'facts are never changed'; END
$$ LANGUAGE plpgsql
"""


def _id() -> sa.Column[int]:
  return sa.Column('id', sa.Integer, primary_key=True)


def _at(name: str = 'created_at') -> sa.Column[float]:
  return sa.Column(name, sa.Float(53), nullable=False)


def _of(name: str, table: str, *, is_key: bool = False) -> sa.Column[int]:
  return sa.Column(
    name,
    sa.Integer,
    sa.ForeignKey(f'{table}.id'),
    primary_key=is_key,
    autoincrement=False,
    nullable=False,
  )


def _text(name: str, *, is_unique: bool = False) -> sa.Column[str]:
  return sa.Column(name, sa.Text, nullable=False, unique=is_unique)


def _number(name: str) -> sa.Column[int]:
  return sa.Column(name, sa.Integer, nullable=False)


def _check(condition: str, name: str) -> sa.CheckConstraint:
  return sa.CheckConstraint(condition, name=name)


_SLOT = "slot IN ('a', 'b')"
_STEP = 'step BETWEEN 1 AND 8'


def _people() -> None:
  op.create_table(
    'workers', _id(), _text('name'), _text('pseudonym', is_unique=True), _at()
  )
  op.create_table(
    'invites',
    _id(),
    _text('token_hash', is_unique=True),
    sa.Column('worker_id', sa.Integer, sa.ForeignKey('workers.id'), index=True),
    _text('task'),
    _number('num_conversations'),
    _at(),
    _at('expires_at'),
  )
  op.create_table(
    'activities', _id(), _of('invite_id', 'invites'), _text('kind'), _at()
  )
  op.create_table(
    'decisions',
    _id(),
    _of('invite_id', 'invites'),
    _text('kind'),
    _number('subject'),
    _text('value'),
    _at(),
  )
  op.create_table(
    'requests',
    sa.Column(
      'invite_id', sa.Integer, sa.ForeignKey('invites.id'), primary_key=True
    ),
    sa.Column('key', sa.Text, primary_key=True),
    _text('digest'),
    _text('answer'),
    _at(),
  )


def _dialogues() -> None:
  op.create_table(
    'snapshots',
    _id(),
    _text('name', is_unique=True),
    _text('fingerprint'),
    _text('spec'),
    _at(),
  )
  op.create_table(
    'conversations',
    _id(),
    _of('invite_id', 'invites'),
    _number('number'),
    _at(),
    sa.UniqueConstraint('invite_id', 'number'),
  )
  op.create_table(
    'turns',
    _id(),
    _of('conversation_id', 'conversations'),
    _number('number'),
    _text('text'),
    _at(),
    sa.UniqueConstraint('conversation_id', 'number'),
  )
  op.create_table(
    'attempts',
    _id(),
    _of('turn_id', 'turns'),
    _number('number'),
    _of('snapshot_a', 'snapshots'),
    _of('snapshot_b', 'snapshots'),
    _number('seed'),
    _at(),
    sa.UniqueConstraint('turn_id', 'number'),
  )
  op.create_table(
    'replies',
    _of('attempt_id', 'attempts', is_key=True),
    sa.Column('slot', sa.Text, primary_key=True),
    _text('text'),
    _text('finish'),
    _at('seconds'),
    _at(),
    _check(_SLOT, 'slot'),
  )
  op.create_table(
    'failures',
    _of('attempt_id', 'attempts', is_key=True),
    _text('reason'),
    _at(),
  )


def _judgements() -> None:
  op.create_table(
    'choices',
    _of('turn_id', 'turns', is_key=True),
    _of('attempt_id', 'attempts'),
    _number('step'),
    _at('seconds'),
    _at(),
    _check(_STEP, 'step'),
  )
  op.create_table(
    'edits', _of('turn_id', 'turns', is_key=True), _text('text'), _at()
  )
  op.create_table(
    'endings',
    _of('conversation_id', 'conversations', is_key=True),
    _text('kind'),
    sa.Column('rating', sa.Integer),
    _text('comment'),
    _at(),
    _check("kind IN ('finished', 'skipped')", 'kind'),
    _check('rating BETWEEN 1 AND 5', 'rating'),
  )
  op.create_table(
    'reports',
    _id(),
    _of('turn_id', 'turns'),
    _text('slot'),
    _text('reason'),
    _at(),
    _check(_SLOT, 'slot'),
  )
  op.create_table(
    'reviews',
    _id(),
    _of('invite_id', 'invites'),
    _number('number'),
    _of('turn_id', 'turns'),
    sa.Column('is_swapped', sa.Boolean, nullable=False),
    _at(),
    sa.UniqueConstraint('invite_id', 'number'),
  )
  op.create_table(
    'verdicts',
    _of('review_id', 'reviews', is_key=True),
    sa.Column('step', sa.Integer),
    _at('seconds'),
    _at(),
    _check(_STEP, 'step'),
  )


_INDICES = (
  ('activities', 'invite_id'),
  ('attempts', 'turn_id'),
  ('choices', 'created_at'),
  ('decisions', 'kind', 'subject'),
  ('reports', 'turn_id'),
  ('reviews', 'turn_id'),
)
_TABLES = (
  'workers invites activities decisions requests snapshots conversations turns '
  'attempts replies failures choices edits endings reports reviews verdicts'
).split()


def upgrade() -> None:
  """Makes everything."""
  _people()
  _dialogues()
  _judgements()
  for table, *columns in _INDICES:
    op.create_index(f'ix_{"_".join((table, *columns))}', table, columns)
  is_sqlite = op.get_bind().dialect.name == 'sqlite'
  if not is_sqlite:
    op.execute(_KEEP)
  for table in _TABLES:
    for change in ('UPDATE', 'DELETE'):
      name = f'keep_{table}_{change.lower()}'
      what = "BEGIN SELECT RAISE(ABORT, 'facts are never changed'); END"
      if not is_sqlite:
        what = 'FOR EACH ROW EXECUTE FUNCTION refuse_change()'
      op.execute(f'CREATE TRIGGER {name} BEFORE {change} ON {table} {what}')


def downgrade() -> None:
  """Is refused: it would drop what people did."""
  raise ValueError('there is no version before the first')
