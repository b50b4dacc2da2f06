"""Brings the database to the tables of this program, when it starts."""

from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, func, select

from easel_gateway.ledger import LedgerError

_LOCK: Final = 0x6561_7365_6C
"""Of PostgreSQL's advisory locks, the one that only Easel's migrations take: "easel" in ASCII."""


def migrate(engine: Engine) -> None:
    """Apply what is missing, in one transaction. Whoever else starts at the same time waits, and finds it done.

    Raises:
        LedgerError: the database is of a newer version.
    """
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    with engine.begin() as connection:  # on SQLite this is a lock by itself: BEGIN IMMEDIATE
        if connection.dialect.name == "postgresql":
            connection.execute(select(func.pg_advisory_xact_lock(_LOCK)))
        unknown = set(MigrationContext.configure(connection).get_current_heads()) - known
        if unknown:
            raise LedgerError(
                f"the ledger's tables are of a newer version of Easel (revision {', '.join(sorted(unknown))});"
                " start that version, or name another database in EASEL_GATEWAY_LEDGER"
            )
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
