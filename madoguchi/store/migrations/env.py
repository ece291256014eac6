"""Alembic's environment: runs on the connection that `Database.migrate` hands over."""

from __future__ import annotations

from alembic import context

from madoguchi.store.models import Base

connection = context.config.attributes.get("connection")
if connection is None:
    raise RuntimeError("migrations run through `madoguchi migrate`, not through the alembic command")
context.configure(connection=connection, target_metadata=Base.metadata, render_as_batch=True)
with context.begin_transaction():
    context.run_migrations()
