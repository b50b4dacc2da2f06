"""Each test has a database of its own, and is run on either kind."""

import itertools
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from easel_gateway.ledger import Ledger
from support.ledgers import ledger_at, needs_postgresql, new_database
from support.postgres_process import PostgresProcess, postgres_process

_numbers = itertools.count()


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresProcess]:
    """A server for tests that let it be."""
    needs_postgresql()
    with postgres_process() as server:
        yield server


@pytest.fixture
def mortal() -> Iterator[PostgresProcess]:
    """A server that may be killed."""
    needs_postgresql()
    with postgres_process() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Of an empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/ledger.db"
    server: PostgresProcess = request.getfixturevalue("postgres")
    return new_database(server, f"ledger{next(_numbers)}")


@pytest.fixture
async def ledger(url: str) -> AsyncIterator[Ledger]:
    """In that database."""
    async with ledger_at(url) as opened:
        yield opened
