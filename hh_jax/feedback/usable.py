"""Which work is used: not what was reported, skipped or refused.

The one rule of what researchers look at and of what other workers are shown
again; the export counts the same three under reasons of their own.
"""

from __future__ import annotations

import json

import sqlalchemy as sa

from hh_jax.feedback import people, schema


def is_usable() -> sa.ColumnElement[bool]:
  """A condition on the rows of `turns`."""
  turns, endings = schema.turns, schema.endings
  reported = sa.select(schema.reports.c.turn_id)
  skipped = sa.select(endings.c.conversation_id).where(
    endings.c.kind == 'skipped'
  )
  verdict = people.decided('check', turns.c.conversation_id)
  return sa.and_(
    turns.c.id.not_in(reported),
    turns.c.conversation_id.not_in(skipped),
    sa.func.coalesce(verdict, '') != json.dumps('refused'),
  )
