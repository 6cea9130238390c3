"""What Alembic runs: the migrations, on the connection it was handed."""

from alembic import context

from hh_jax.feedback import schema

context.configure(
  connection=context.config.attributes['connection'],
  target_metadata=schema.metadata,
)
with context.begin_transaction():
  context.run_migrations()
