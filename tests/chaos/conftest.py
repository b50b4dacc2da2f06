"""Houses with a ledger of each kind."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from support.house import House
from support.postgres_process import PostgresProcess, postgres_process


@pytest.fixture
def postgres() -> Iterator[PostgresProcess]:
    """A real PostgreSQL."""
    with postgres_process() as server:
        yield server


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    """A gateway with SQLite for its ledger, and one runtime."""
    with ExitStack() as stack:
        house = House(stack, tmp_path)
        house.start_runtime()
        yield house


@pytest.fixture
def large_house(tmp_path: Path, postgres: PostgresProcess) -> Iterator[House]:
    """A gateway with PostgreSQL for its ledger, and two runtimes."""
    with ExitStack() as stack:
        house = House(stack, tmp_path, postgres.url)
        house.start_runtime()
        house.start_runtime()
        yield house
