"""Rows in, and rows out.

Statements that every request runs are built once, with bound parameters:
building one costs more than running it.
"""

from __future__ import annotations

import time
from typing import Any

import sqlalchemy as sa

Row = dict[str, Any]


def add(connection: sa.Connection, table: sa.Table, **row: object) -> int:
  """Keeps a fact with the time of now; returns the first of its key."""
  values = row | {'created_at': time.time()}
  made = connection.execute(sa.insert(table), values)
  key = made.inserted_primary_key
  if key is None:
    raise ValueError(f'{table.name} has no key')
  return key[0]


def fetch(
  connection: sa.Connection, query: sa.Select[Any], **values: object
) -> list[Row]:
  """Returns all rows of a query, each by the names of its columns."""
  return [row._asdict() for row in connection.execute(query, values)]


def fetch_one(
  connection: sa.Connection, query: sa.Select[Any], **values: object
) -> Row | None:
  """Returns the first row of a query, or None if there is none."""
  row = connection.execute(query, values).first()
  return None if row is None else row._asdict()
