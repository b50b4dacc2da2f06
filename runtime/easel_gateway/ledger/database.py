"""From a URL to engines: which databases there are, how they are set up, and what can be wrong with a URL."""

import math
import sqlite3
import time
from pathlib import Path
from typing import Any, Final

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError

from easel_gateway.ledger import LedgerError

_CONNECT_SECONDS: Final = 3
_WRITE_SECONDS: Final = 10
REPORT_SECONDS: Final = 30
"""Longest time for one report."""
_EXAMPLES: Final = "such as sqlite:////var/lib/easel/ledger.db or postgresql://user:password@host/database"
_INSTRUCTIONS: Final = 1_000_000
"""Of SQLite's machine, after which a report is asked whether its time is over: some milliseconds."""


def parse(text: str) -> URL:
    """The database that `text` names.

    Raises:
        LedgerError: it names none; the text of the error does not have `text`, which may have a password.
    """
    try:
        url = make_url(text)
        _ = url.port
    except (ArgumentError, ValueError):
        # Not even as the cause: what is between colons may be taken for a port, and be a password.
        raise LedgerError(f"EASEL_GATEWAY_LEDGER must be a URL {_EXAMPLES}; in a password, write @ as %40") from None
    if url.drivername in ("postgresql", "postgres", "postgresql+psycopg"):
        return url.set(drivername="postgresql+psycopg")
    if url.drivername in ("sqlite", "sqlite+pysqlite"):
        if not url.database or url.database == ":memory:" or url.database.startswith("file:"):
            raise LedgerError(
                "EASEL_GATEWAY_LEDGER must name a file for SQLite, with four slashes before it if absolute"
            )
        return url.set(drivername="sqlite+pysqlite")
    raise LedgerError(f"EASEL_GATEWAY_LEDGER must be a URL of SQLite or PostgreSQL, {_EXAMPLES}")


def name_of(url: URL) -> str:
    """`url` for people: nothing but where it is."""
    if url.get_backend_name() == "sqlite":
        return str(url.database)
    return f"PostgreSQL database {url.database or url.username} on {url.host or 'this machine'}:{url.port or 5432}"


def writing_engine(url: URL) -> Engine:
    """One connection, for the one thread that writes."""
    if url.get_backend_name() == "postgresql":
        return _postgresql(url, connections=1, seconds=_WRITE_SECONDS, reading=False)
    return _sqlite(url, connections=1, begin="BEGIN IMMEDIATE")


def inline_engine(url: URL) -> Engine | None:
    """One connection for the event loop, on which each statement is a transaction and nothing is waited for.

    None: the database is not of the kind that can be written to without waiting.
    """
    if url.get_backend_name() == "postgresql":
        return None
    engine = _sqlite(url, connections=1, seconds=0)

    @event.listens_for(engine, "connect")
    def never_sync(connection: sqlite3.Connection, _: object) -> None:
        connection.execute("PRAGMA wal_autocheckpoint=0")

    return engine


def reading_engine(url: URL, connections: int) -> Engine:
    """As many connections, for reports and budgets; on PostgreSQL they cannot write."""
    if url.get_backend_name() == "postgresql":
        return _postgresql(url, connections=connections, seconds=REPORT_SECONDS, reading=True)
    engine = _sqlite(url, connections=connections, begin="BEGIN")

    @event.listens_for(engine, "connect")
    def bound(connection: sqlite3.Connection, record: Any) -> None:
        info = record.info
        connection.set_progress_handler(lambda: time.monotonic() > info.get("deadline", math.inf), _INSTRUCTIONS)

    @event.listens_for(engine, "begin")
    def begin_to_count(connection: Connection) -> None:
        connection.info["deadline"] = time.monotonic() + REPORT_SECONDS

    return engine


def _postgresql(url: URL, *, connections: int, seconds: int, reading: bool) -> Engine:
    """`reading`: it cannot write, and asks whether a connection still is one before it is used.

    Who writes tries again anyway, and the question would be a way to the database and back for each transaction.
    """
    options = f"-c statement_timeout={seconds}s -c lock_timeout={seconds}s"
    if reading:
        options += " -c default_transaction_read_only=on"
    arguments: dict[str, Any] = {
        "application_name": "easel-gateway",
        "connect_timeout": _CONNECT_SECONDS,
        # A host that is gone without a word is found out within seconds.
        "tcp_user_timeout": _WRITE_SECONDS * 1000,
        "keepalives_idle": 5,
        "keepalives_interval": 2,
        "keepalives_count": 3,
        "prepare_threshold": None,  # proxies such as PgBouncer give each transaction another server
        "options": options,
    }
    return create_engine(
        url, connect_args=arguments, pool_size=connections, max_overflow=0, pool_pre_ping=reading, pool_timeout=seconds
    )


def _sqlite(url: URL, *, connections: int, begin: str = "", seconds: float = 5) -> Engine:
    """`begin`: what transactions begin with, if they do; `seconds`: how long a lock is waited for."""
    Path(str(url.database)).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(
        url,
        connect_args={"timeout": seconds, "check_same_thread": False},
        pool_size=connections,
        max_overflow=0,
        pool_timeout=REPORT_SECONDS,
    )

    @event.listens_for(engine, "connect")
    def set_up(connection: sqlite3.Connection, _: object) -> None:
        connection.isolation_level = None  # transactions begin where we say, and with what we say
        connection.execute("PRAGMA journal_mode=WAL")
        # A process that is killed loses nothing; a power cut may lose the last moments, but never damages the file.
        connection.execute("PRAGMA synchronous=NORMAL")
        connection.execute("PRAGMA temp_store=MEMORY")  # else each batch makes a file, to be able to take itself back

    if begin:

        @event.listens_for(engine, "begin")
        def begin_as_said(connection: Connection) -> None:
            connection.exec_driver_sql(begin)

    return engine
