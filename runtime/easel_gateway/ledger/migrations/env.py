"""Alembic's entrance: runs migrations on the connection that `easel_gateway.ledger.migrating` hands over."""

from alembic import context

from easel_gateway.ledger.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
