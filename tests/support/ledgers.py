"""Ledgers for tests: databases of their own, and charges that nobody has to spell out."""

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy

from easel_crds.money import Price
from easel_gateway.ledger import Charge, Ledger
from easel_gateway.ledger.sql import Bounds, open_ledger
from support.postgres_process import PostgresProcess

NOON = datetime(2026, 11, 29, 12, tzinfo=UTC)


def needs_postgresql() -> None:
    """Skip the test where PostgreSQL is not installed, but in CI, where that is a failure."""
    if shutil.which("initdb") is None and not list(Path("/usr/lib/postgresql").glob("*/bin/initdb")):
        why = "PostgreSQL is not installed (Debian: apt install postgresql)"
        if os.environ.get("CI") == "true":
            pytest.fail(why)
        pytest.skip(why)


def new_database(server: PostgresProcess, name: str) -> str:
    """An empty database in `server`; its URL."""
    engine = sqlalchemy.create_engine(server.url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(sqlalchemy.text(f'CREATE DATABASE "{name}"'))
    engine.dispose()
    return sqlalchemy.make_url(server.url).set(database=name).render_as_string()


def charge(request_id: str, price: Price | None = None, **fields: Any) -> Charge:
    """A charge of a picture of 64 x 64; what is named in `fields` differs."""
    price = price or Price(amount="1.9073484e-08")
    usual: dict[str, Any] = {
        "time": NOON,
        "caller": "ada",
        "model_id": "easel/demo",
        "namespace": "default",
        "model": "demo",
        "revision": "main",
        "generation": 1,
        "width": 64,
        "height": 64,
        "images": 1,
        "pixels": 64 * 64,
        "seconds": 0.5,
        "gpu_seconds": 0.25,
    }
    usual |= fields
    return Charge(request_id=request_id, price=price, **{"amount": price.of(usual["pixels"]), **usual})


@asynccontextmanager
async def ledger_at(url: str, **bounds: Any) -> AsyncIterator[Ledger]:
    """The ledger in the database of this URL."""
    ledger = await open_ledger(url, Bounds(**bounds))
    try:
        yield ledger
    finally:
        await ledger.close()


def lose_one_answer(engine: sqlalchemy.Engine, error: Exception) -> list[str]:
    """The next charges that go through `engine` are written, and then `error` is raised; the list has what was lost."""
    execute = engine.dialect.do_execute
    lost: list[str] = []

    def execute_and_lose(cursor: Any, statement: str, parameters: Any, context: Any = None) -> None:
        execute(cursor, statement, parameters, context)
        if statement.startswith("INSERT INTO charges") and not lost:
            lost.append(statement)
            raise error

    engine.dialect.do_execute = execute_and_lose  # type: ignore[method-assign]
    return lost


def rows(url: str, statement: str = "SELECT * FROM charges") -> list[Any]:
    """What SQL says, and not the ledger."""
    engine = sqlalchemy.create_engine(url)
    try:
        with engine.connect() as connection:
            return list(connection.execute(sqlalchemy.text(statement)))
    finally:
        engine.dispose()
