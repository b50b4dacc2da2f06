"""The ledger in a database of SQLite or PostgreSQL: `open_ledger`."""

import asyncio
import logging
import re
import secrets
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Final, TypeVar

from sqlalchemy import URL, Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from easel_gateway.ledger import (
    ANSWER_BYTES,
    KEY_LENGTH,
    Charge,
    Claim,
    Ledger,
    LedgerError,
    Query,
    Repeat,
    UsageRow,
    reports,
)
from easel_gateway.ledger.batch import Charging, Claiming, Releasing, Terms, wrong_key
from easel_gateway.ledger.database import inline_engine, name_of, parse, reading_engine, writing_engine
from easel_gateway.ledger.migrating import migrate
from easel_gateway.ledger.writer import Writer, WriterBounds, unavailable, words
from easel_gateway.settings import Settings
from easel_http.errors import ApiError, Unavailable

_log = logging.getLogger(__name__)
_READERS: Final = 2
"""Threads that read: one for reports, so that there is always one for budgets."""
_REPORTS: Final = 16
"""Most reports that wait for the one in work."""
_KEY: Final = re.compile(rf"[\x21-\x7e]([\x20-\x7e]{{0,{KEY_LENGTH - 2}}}[\x21-\x7e])?")
_Found = TypeVar("_Found")


@dataclass(frozen=True)
class Bounds:
    """What the ledger takes, and for how long."""

    queue: int = 10_000
    """Most charges, claims and releases that wait to be written."""
    retry_seconds: float = 10
    """How long one of them is tried again when the database does not answer."""
    claim_seconds: float = 30
    """After which the claims of a process that has died are free."""
    repeat_seconds: float = 86_400
    """How long the answer to an `Idempotency-Key` is repeated."""


async def open_ledger(url: str, bounds: Bounds | None = None) -> Ledger:
    """The ledger in the database of this URL, whose tables are made or brought up to date first.

    Raises:
        LedgerError: the URL is none, or the database cannot be used.
    """
    bounds = bounds or Bounds()
    where = parse(url)
    try:
        writing, reading, inline = await asyncio.to_thread(_prepare, where)
    except (SQLAlchemyError, OSError) as error:
        raise LedgerError(f"the ledger in {name_of(where)} cannot be opened: {_without(where, words(error))}") from None
    terms = Terms(bounds.claim_seconds, bounds.repeat_seconds)
    writer = Writer(writing, WriterBounds(bounds.queue, bounds.retry_seconds, terms), inline)
    return SqlLedger(writer, reading, [each for each in (writing, reading, inline) if each is not None])


@asynccontextmanager
async def opened(settings: Settings, default: str) -> AsyncIterator[Ledger]:
    """The ledger that the settings name, or else the one at the URL `default`, until the context ends.

    Raises:
        LedgerError: as `open_ledger`.
    """
    bounds = Bounds(
        queue=settings.ledger_queue,
        retry_seconds=settings.ledger_retry_seconds,
        repeat_seconds=settings.repeat_seconds,
    )
    ledger = await open_ledger(settings.ledger.get_secret_value() or default, bounds)
    try:
        yield ledger
    finally:
        await ledger.close()


def _prepare(url: URL) -> tuple[Engine, Engine, Engine | None]:
    writing = writing_engine(url)
    try:
        migrate(writing)
    except BaseException:
        writing.dispose()
        raise
    return writing, reading_engine(url, _READERS), inline_engine(url)


def _without(url: URL, text: str) -> str:
    return text.replace(str(url.password), "***") if url.password else text


class SqlLedger:
    """A `Ledger`; two threads read."""

    def __init__(self, writer: Writer, reading: Engine, engines: Sequence[Engine]) -> None:
        """`engines`: all that are to be closed in the end."""
        self._writer = writer
        self._engines = engines
        self._reading = reading
        self._readers = ThreadPoolExecutor(_READERS, thread_name_prefix="ledger-reader")
        self._report = asyncio.Semaphore(1)
        self._reports = 0
        self._closed = False

    def charge(self, charge: Charge, claim: Claim | None = None, answer: bytes = b"") -> asyncio.Future[None]:
        if len(answer) > ANSWER_BYTES:
            raise ValueError(f"an answer of {len(answer)} bytes is too long to be kept")
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        try:
            self._writer.put(Charging(future, self._writer.deadline, charge, claim, answer))
        except Unavailable as error:
            future.set_exception(error)
        return future

    async def claim(self, caller: str, key: str, fingerprint: str) -> Claim | Repeat:
        if not _KEY.fullmatch(key):
            raise wrong_key(f"must have 1 to {KEY_LENGTH} printable ASCII characters, without spaces around them")
        future: asyncio.Future[Claim | Repeat | ApiError] = asyncio.get_running_loop().create_future()
        claim = Claim(caller, key, secrets.token_urlsafe(18))
        self._writer.put(Claiming(future, self._writer.deadline, claim, fingerprint))
        try:
            outcome = await asyncio.shield(future)
        except asyncio.CancelledError:
            future.add_done_callback(self._give_back)
            raise
        return outcome  # type: ignore[return-value]

    def _give_back(self, claimed: "asyncio.Future[Any]") -> None:
        """Who wanted the key has left before it was there."""
        if claimed.cancelled() or claimed.exception() is not None or not isinstance(claimed.result(), Claim):
            return
        try:
            self._release(claimed.result())
        except Unavailable:
            _log.debug("a key is not given back and will expire")

    async def release(self, claim: Claim) -> None:
        try:
            await self._release(claim)
        except ApiError as error:
            _log.warning("an idempotency key is not given back and will expire: %s", error)

    def _release(self, claim: Claim) -> "asyncio.Future[None]":
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        future.add_done_callback(_look_at_the_error)
        self._writer.put(Releasing(future, self._writer.deadline, claim))
        return future

    async def spent(self, caller: str, currency: str, since: datetime) -> Decimal:
        return await self._read(lambda connection: reports.spent(connection, caller, currency, since))

    async def usage(self, query: Query) -> list[UsageRow]:
        if self._reports >= _REPORTS:
            raise Unavailable("too many reports are being made", retry_after=5)
        self._reports += 1
        try:
            async with self._report:
                return await self._read(lambda connection: reports.usage(connection, query))
        finally:
            self._reports -= 1

    async def _read(self, report: Callable[[Connection], _Found]) -> _Found:
        if self._closed:
            raise Unavailable("the ledger is closed", retry_after=5)
        try:
            return await asyncio.get_running_loop().run_in_executor(self._readers, self._in_transaction, report)
        except SQLAlchemyError as error:
            _log.warning("the ledger cannot be read: %s", words(error))
            raise unavailable() from error

    def _in_transaction(self, report: Callable[[Connection], _Found]) -> _Found:
        with self._reading.begin() as connection:
            return report(connection)

    async def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._writer.stop()
            await asyncio.to_thread(self._close)

    def _close(self) -> None:
        self._writer.join()
        self._readers.shutdown()
        for engine in self._engines:
            engine.dispose()


def _look_at_the_error(future: "asyncio.Future[None]") -> None:
    if not future.cancelled():
        future.exception()  # or asyncio would say that nobody has
