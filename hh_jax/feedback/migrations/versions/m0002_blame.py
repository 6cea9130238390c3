"""Which replies of an attempt failed, and one worker a name."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = '0002'
down_revision = '0001'
branch_labels = None
depends_on = None


def upgrade() -> None:
  """Of earlier failures it is not known: both replies have failed."""
  slots = sa.Column('slots', sa.Text, nullable=False, server_default='ab')
  op.add_column('failures', slots)
  op.create_index('ix_workers_name', 'workers', ['name'], unique=True)
