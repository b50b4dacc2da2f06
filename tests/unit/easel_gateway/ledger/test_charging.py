import asyncio
import shutil
import sqlite3
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest
import sqlalchemy

from easel_crds.money import Price
from easel_gateway.ledger import ANSWER_BYTES, Ledger, LedgerError, Query
from easel_gateway.ledger.sql import open_ledger
from easel_http.errors import Conflict, Unavailable
from support.ledgers import NOON, charge, ledger_at, lose_one_answer, rows


async def test_a_charge_is_a_row_with_all_that_it_said(ledger: Ledger, url: str) -> None:
    said = charge("one", Price(amount="1.50", currency="EUR", per_pixels=3), caller="Åse", time=NOON)
    await ledger.charge(said)
    (row,) = rows(url)
    assert row.request_id == "one"
    assert row.caller == "Åse"
    assert (row.model_id, row.namespace, row.model, row.revision, row.generation) == (
        "easel/demo",
        "default",
        "demo",
        "main",
        1,
    )
    assert (row.width, row.height, row.images, row.pixels) == (64, 64, 1, 4096)
    assert (row.price_amount, row.currency, row.per_pixels) == ("1.50", "EUR", 3)
    assert Decimal(row.amount) == said.amount == Decimal(2048)
    assert (row.seconds, row.gpu_seconds, row.idempotency_key) == (0.5, 0.25, None)
    assert str(row.time).replace("T", " ").startswith("2026-11-29 12:00:00")


@pytest.mark.parametrize("amount", ["1e-99", "1e+99", "0", "1.9073484e-08", "123456789012345678901234567890.123456789"])
async def test_an_amount_keeps_every_digit(ledger: Ledger, url: str, amount: str) -> None:
    said = charge("one", Price(amount=amount, per_pixels=7))
    await ledger.charge(said)
    assert Decimal(rows(url)[0].amount) == said.amount


async def test_a_request_is_charged_once(ledger: Ledger, url: str) -> None:
    await ledger.charge(charge("one"))
    with pytest.raises(Conflict, match="request one is charged already"):
        await ledger.charge(charge("one"))
    assert len(rows(url)) == 1
    assert (await ledger.usage(Query()))[0].requests == 1


async def test_what_is_refused_does_not_take_its_batch_along(ledger: Ledger, url: str) -> None:
    await ledger.charge(charge("old"))
    ids = ["old", *(f"new-{number}" for number in range(50)), "new-7"]
    outcomes = await asyncio.gather(*(ledger.charge(charge(one)) for one in ids), return_exceptions=True)
    assert [one for one, outcome in zip(ids, outcomes, strict=True) if outcome is not None] == ["old", "new-7"]
    assert len(rows(url)) == 51


async def test_what_no_database_can_take_does_not_take_its_batch_along(ledger: Ledger, url: str) -> None:
    wrong = charge("wrong", revision=None)
    outcomes = await asyncio.gather(
        *(ledger.charge(one) for one in (charge("a"), wrong, charge("b"))), return_exceptions=True
    )
    assert [outcome is None for outcome in outcomes] == [True, False, True]
    assert {row.request_id for row in rows(url)} == {"a", "b"}


async def test_what_waits_together_is_written_in_few_transactions(ledger: Ledger) -> None:
    begun: list[object] = []
    count = begun.append
    sqlalchemy.event.listen(sqlalchemy.Engine, "begin", count)
    try:
        await asyncio.gather(*(ledger.charge(charge(f"{number}")) for number in range(400)))
    finally:
        sqlalchemy.event.remove(sqlalchemy.Engine, "begin", count)
    assert 1 <= len(begun) <= 20
    assert (await ledger.usage(Query()))[0].requests == 400


async def test_two_ledgers_share_a_database(url: str) -> None:
    async with ledger_at(url) as one, ledger_at(url) as other:
        outcomes = await asyncio.gather(
            *(ledger.charge(charge(f"{number}")) for number in range(200) for ledger in (one, other)),
            return_exceptions=True,
        )
        assert sum(isinstance(outcome, Conflict) for outcome in outcomes) == 200
        assert sum(outcome is None for outcome in outcomes) == 200
        assert len(rows(url)) == 200


async def test_a_ledger_that_is_closed_has_written_what_waited_and_takes_no_more(url: str) -> None:
    ledger = await open_ledger(url)
    waiting = [asyncio.ensure_future(ledger.charge(charge(f"{number}"))) for number in range(100)]
    await asyncio.sleep(0)  # each of them begins
    await ledger.close()
    await asyncio.gather(*waiting)
    assert len(rows(url)) == 100
    with pytest.raises(Unavailable, match="closed"):
        await ledger.charge(charge("late"))
    with pytest.raises(Unavailable, match="closed"):
        await ledger.spent("ada", "USD", NOON)
    await ledger.close()


async def test_more_than_may_wait_is_refused_and_not_charged(url: str) -> None:
    async with ledger_at(url, queue=10) as ledger:
        outcomes = await asyncio.gather(
            *(ledger.charge(charge(f"{number}")) for number in range(2000)), return_exceptions=True
        )
        refused = [outcome for outcome in outcomes if outcome is not None]
        assert refused
        assert all(isinstance(one, Unavailable) and "Retry-After" in one.headers for one in refused)
        assert len(rows(url)) == 2000 - len(refused) >= 10


async def test_an_answer_that_is_too_long_to_be_kept_is_refused_before_anything_is_written(
    ledger: Ledger, url: str
) -> None:
    claim = await ledger.claim("ada", "key", "print")
    with pytest.raises(ValueError, match="too long"):
        await ledger.charge(charge("one"), claim, bytes(ANSWER_BYTES + 1))  # type: ignore[arg-type]
    assert rows(url) == []


async def test_a_file_that_another_program_has_locked_is_waited_for_and_then_refused(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/ledger.db"
    async with ledger_at(url, retry_seconds=0) as ledger:
        other = sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)
        try:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(Unavailable):
                await ledger.charge(charge("one"))
            other.execute("ROLLBACK")
            await ledger.charge(charge("two"))
        finally:
            other.close()
    assert [row.request_id for row in rows(url)] == ["two"]


@pytest.mark.parametrize(
    "url",
    [
        "nonsense",
        "sqlite://",
        "sqlite:///:memory:",
        "mysql://user:s3cret@host/db",
        "postgresql://user:s3cret@x@host:port/db",
        "postgresql://user:s3cret@127.0.0.1:s3cret/db",
        "postgresql://user:s3cret@127.0.0.1:1/db",
        "sqlite:////proc/nowhere/ledger.db",
    ],
)
async def test_a_database_that_cannot_be_used_is_named_without_its_password(url: str) -> None:
    with pytest.raises(LedgerError) as caught:
        await open_ledger(url)
    assert "s3cret" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert "ledger" in str(caught.value).lower()


async def test_the_ledger_of_a_moment_ago_is_there_when_it_is_opened_again(url: str) -> None:
    async with ledger_at(url) as ledger:
        await ledger.charge(charge("one"))
    async with ledger_at(url) as ledger:
        assert await ledger.spent("ada", "USD", NOON - timedelta(days=1)) == charge("one").amount


async def test_what_was_charged_moves_from_the_log_into_the_file(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/ledger.db"
    async with ledger_at(url) as ledger:
        for number in range(1000):  # one by one: the most pages for each
            await ledger.charge(charge(f"{number}"))
        shutil.copy(tmp_path / "ledger.db", tmp_path / "copy.db")
        assert (tmp_path / "ledger.db-wal").stat().st_size < 32 << 20
    assert 500 < len(rows(f"sqlite:///{tmp_path}/copy.db")) <= 1000
    assert len(rows(url)) == 1000


async def test_a_file_whose_answer_was_lost_is_looked_at_before_it_is_written_again(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/ledger.db"
    async with ledger_at(url) as ledger:
        *_, inline = ledger._engines  # type: ignore[attr-defined]
        lost = lose_one_answer(inline, sqlite3.OperationalError("disk I/O error"))
        await ledger.charge(charge("one"))
        assert lost, "the event loop writes"
        with pytest.raises(Conflict):
            await ledger.charge(charge("one"))
    assert [row.request_id for row in rows(url)] == ["one"]
