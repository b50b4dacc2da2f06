import asyncio
import zipfile
from pathlib import Path

import pytest
import sqlalchemy
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

import easel_gateway.ledger
from easel_gateway.ledger import LedgerError, tables
from easel_gateway.ledger.sql import open_ledger
from support.ledgers import charge, ledger_at, rows


async def test_the_migrations_make_the_tables_that_the_program_knows(url: str) -> None:
    async with ledger_at(url):
        engine = sqlalchemy.create_engine(url)
        with engine.connect() as connection:
            context = MigrationContext.configure(connection, opts={"compare_type": True})
            assert compare_metadata(context, tables.metadata) == []
            names = set(sqlalchemy.inspect(connection).get_table_names())
        engine.dispose()
    assert names == {"charges", "claims", "alembic_version"}


async def test_several_gateways_can_make_the_tables_at_once(url: str) -> None:
    ledgers = await asyncio.gather(*(open_ledger(url) for _ in range(5)))
    await asyncio.gather(*(ledger.charge(charge(f"{number}")) for number, ledger in enumerate(ledgers)))
    await asyncio.gather(*(ledger.close() for ledger in ledgers))
    assert len(rows(url)) == 5


async def test_tables_of_a_newer_version_are_refused_and_left_alone(url: str) -> None:
    async with ledger_at(url):
        pass
    engine = sqlalchemy.create_engine(url)
    with engine.begin() as connection:
        connection.execute(sqlalchemy.text("UPDATE alembic_version SET version_num = '9999'"))
    engine.dispose()
    with pytest.raises(LedgerError, match="newer version of Easel \\(revision 9999\\)"):
        await open_ledger(url)
    assert rows(url, "SELECT version_num FROM alembic_version") == [("9999",)]


def test_the_wheel_has_the_migrations(tmp_path: Path) -> None:
    from hatchling.builders.wheel import WheelBuilder

    root = Path(easel_gateway.ledger.__file__).parents[3]
    (wheel,) = WheelBuilder(str(root)).build(directory=str(tmp_path), versions=["standard"])
    names = zipfile.ZipFile(wheel).namelist()
    assert "easel_gateway/ledger/migrations/env.py" in names
    assert "easel_gateway/ledger/migrations/versions/v0001_charges_and_claims.py" in names
