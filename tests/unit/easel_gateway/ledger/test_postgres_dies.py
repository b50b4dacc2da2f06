"""PostgreSQL is killed under the ledger, and comes back."""

import asyncio
from collections import Counter

import psycopg
import pytest
from sqlalchemy.exc import OperationalError

from easel_gateway.ledger import Claim, Ledger, Repeat
from easel_http.errors import ApiError, Conflict, Unavailable
from support.ledgers import NOON, charge, ledger_at, lose_one_answer, rows
from support.postgres_process import PostgresProcess


class Stream:
    """Callers who charge without a pause, and keep books."""

    def __init__(self, ledger: Ledger, name: str) -> None:
        self._ledger = ledger
        self._name = name
        self._ended = False
        self.acknowledged: set[str] = set()
        self.refused: set[str] = set()
        self._more = asyncio.Event()

    async def run(self, callers: int) -> None:
        await asyncio.gather(*(self._caller(number) for number in range(callers)))

    async def _caller(self, number: int) -> None:
        count = 0
        while not self._ended:
            request_id = f"{self._name}-{number}-{count}"
            count += 1
            try:
                await self._ledger.charge(charge(request_id))
            except Unavailable:
                self.refused.add(request_id)
            else:
                self.acknowledged.add(request_id)
            self._more.set()

    async def until(self, acknowledged: int) -> None:
        """Until so many more are acknowledged."""
        wanted = len(self.acknowledged) + acknowledged
        async with asyncio.timeout(60):
            while len(self.acknowledged) < wanted:
                self._more.clear()
                await self._more.wait()

    def end(self) -> None:
        self._ended = True


async def test_what_was_acknowledged_is_there_exactly_once_however_often_postgres_is_killed(
    mortal: PostgresProcess,
) -> None:
    async with ledger_at(mortal.url, retry_seconds=60) as ledger:
        stream = Stream(ledger, "one")
        running = asyncio.ensure_future(stream.run(40))
        for _ in range(4):
            await stream.until(500)
            await asyncio.to_thread(mortal.kill)
            await asyncio.to_thread(mortal.start)
        await stream.until(500)
        stream.end()
        await running
        assert stream.refused == set()
        assert await ledger.spent("ada", "USD", NOON) == len(stream.acknowledged) * charge("").amount
    there = Counter(row.request_id for row in rows(mortal.url))
    assert set(there.values()) == {1}
    assert set(there) == stream.acknowledged


async def test_what_cannot_be_written_in_time_is_refused_and_the_ledger_recovers_by_itself(
    mortal: PostgresProcess,
) -> None:
    async with ledger_at(mortal.url, retry_seconds=0.3) as ledger:
        stream = Stream(ledger, "one")
        running = asyncio.ensure_future(stream.run(20))
        await stream.until(200)
        await asyncio.to_thread(mortal.kill)
        with pytest.raises(Unavailable) as caught:
            await ledger.charge(charge("while it is away"))
        assert int(caught.value.headers["Retry-After"]) > 0
        with pytest.raises(Unavailable):
            await ledger.spent("ada", "USD", NOON)
        await asyncio.to_thread(mortal.start)
        await stream.until(200)
        stream.end()
        await running
    there = Counter(row.request_id for row in rows(mortal.url))
    assert set(there.values()) == {1}
    assert stream.acknowledged <= set(there) <= stream.acknowledged | stream.refused
    assert "while it is away" not in there


async def test_keys_are_served_once_however_often_postgres_is_killed(mortal: PostgresProcess) -> None:
    """Two gateways, and callers who come again with their key until they have an answer."""
    begun: asyncio.Queue[str] = asyncio.Queue()

    async def errand(key: str, ledgers: list[Ledger]) -> bytes:
        begun.put_nowait(key)
        for turn in range(10_000):
            ledger = ledgers[turn % 2]
            try:
                claim = await ledger.claim("ada", key, key)
                if isinstance(claim, Repeat):
                    return claim.answer
                try:
                    await ledger.charge(charge(f"{key}-{turn}"), claim, f"{key}-{turn}".encode())
                except ApiError:
                    await ledger.release(claim)
                    raise
                return f"{key}-{turn}".encode()
            except (Unavailable, Conflict):
                await asyncio.sleep(0.02)  # as a caller does who is told to come again
        raise AssertionError("never answered")

    async with (
        ledger_at(mortal.url, retry_seconds=0.2, claim_seconds=1) as one,
        ledger_at(mortal.url, retry_seconds=0.2, claim_seconds=1) as other,
    ):
        killing = asyncio.ensure_future(_kill_often(mortal, begun))
        answers: dict[str, bytes] = {}
        for group in range(30):
            keys = [f"key{group}x{number}" for number in range(20)]
            found = await asyncio.gather(*(errand(key, [one, other]) for key in keys))
            answers |= dict(zip(keys, found, strict=True))
        await killing
        for key, answer in answers.items():
            assert await one.claim("ada", key, key) == Repeat(answer)
    there = {row.idempotency_key: row.request_id for row in rows(mortal.url)}
    assert len(rows(mortal.url)) == len(there)
    assert there == {key: answer.decode() for key, answer in answers.items()}


async def _kill_often(server: PostgresProcess, begun: asyncio.Queue[str]) -> None:
    for _ in range(3):
        for _ in range(150):
            await begun.get()
        await asyncio.to_thread(server.kill)
        await asyncio.to_thread(server.start)


async def test_a_commit_whose_answer_was_lost_is_found_and_not_repeated(mortal: PostgresProcess) -> None:
    async with ledger_at(mortal.url) as ledger:
        claim = await ledger.claim("ada", "key", "print")
        assert isinstance(claim, Claim)
        dialect = ledger._engines[0].dialect  # type: ignore[attr-defined]
        commit = dialect.do_commit
        lost: list[object] = []

        def commit_and_lose(connection: object) -> None:
            commit(connection)
            if not lost:
                lost.append(connection)
                raise OperationalError("COMMIT", None, Exception("the connection is lost"))

        dialect.do_commit = commit_and_lose
        await ledger.charge(charge("one"), claim, b"answer")
        assert lost
        assert await ledger.claim("ada", "key", "print") == Repeat(b"answer")
    assert [row.request_id for row in rows(mortal.url)] == ["one"]


async def test_a_charge_whose_answer_was_lost_is_found_and_not_repeated(mortal: PostgresProcess) -> None:
    async with ledger_at(mortal.url) as ledger:
        writing = ledger._engines[0]  # type: ignore[attr-defined]
        lost = lose_one_answer(writing, psycopg.OperationalError("the connection is lost"))
        await ledger.charge(charge("one"))
        assert lost
        with pytest.raises(Conflict):
            await ledger.charge(charge("one"))
    assert [row.request_id for row in rows(mortal.url)] == ["one"]
