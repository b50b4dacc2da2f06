"""What writes: a thread, in one transaction for all that waits, told in one call to the event loop.

Where the database is SQLite the event loop writes most charges itself (`.inline`), while the thread has nothing to do.
"""

import asyncio
import contextlib
import logging
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from easel_gateway.ledger import Claim
from easel_gateway.ledger.batch import (
    Charging,
    Claiming,
    Item,
    Outcome,
    Releasing,
    SomeAreThere,
    Terms,
    is_plain,
    write,
)
from easel_gateway.ledger.inline import Inline
from easel_gateway.ledger.pacing import Pacing
from easel_gateway.ledger.statements import statements_for
from easel_gateway.ledger.turns import Turns
from easel_http.errors import Unavailable

_log = logging.getLogger(__name__)
_MOST_AT_ONCE: Final = 500
_PACE_SECONDS: Final = 0.01
"""Longest time between two transactions: of 2,000 charges a second, one serves a dozen."""
_AGAIN_SECONDS: Final = 0.1
"""Until a database that did not answer is asked again."""
_SWEEP_SECONDS: Final = 60.0
_RETRY_AFTER: Final = 5
_JOIN_SECONDS: Final = 30.0


@dataclass(frozen=True)
class WriterBounds:
    """How much may wait, and for how long."""

    queue: int
    retry_seconds: float
    terms: Terms


def unavailable() -> Unavailable:
    """The answer where the database is away."""
    return Unavailable("the ledger's database does not answer, and nothing is done unwritten", retry_after=_RETRY_AFTER)


class Writer:
    """Takes items from the event loop in which it was made; its thread begins at once."""

    def __init__(self, engine: Engine, bounds: WriterBounds, inline: Engine | None = None) -> None:
        """`inline`: the connection of the event loop, if it is to write."""
        self._engine = engine
        self._bounds = bounds
        self._sql = statements_for(engine.dialect.name)
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[Item] = deque()
        self._wake = threading.Condition()
        self._idle = False
        self._stopping = threading.Event()
        self._never = threading.Event()
        self._held: dict[str, Claim] = {}
        """By token, the claims of this process, which are to be renewed; only the thread knows them."""
        self._pacing = Pacing(_PACE_SECONDS)
        self._renewed = self._swept = time.monotonic()
        self._thread = threading.Thread(target=self._run, name="ledger", daemon=True)
        self._thread.start()
        self._turns = Turns(self._loop, self._thread)
        self._inline = None if inline is None else Inline(inline, self._sql, self._hand_over)

    @property
    def deadline(self) -> float:
        """Of an item that comes now."""
        return time.monotonic() + self._bounds.retry_seconds

    def put(self, item: Item) -> None:
        """Have `item` written; its future tells.

        Raises:
            Unavailable: too much waits, or the ledger is closed.
        """
        if self._stopping.is_set():
            raise Unavailable("the ledger is closed", retry_after=_RETRY_AFTER)
        waiting = len(self._waiting) + (0 if self._inline is None else self._inline.waiting)
        if waiting >= self._bounds.queue:
            raise Unavailable("too many requests wait for the ledger", retry_after=_RETRY_AFTER)
        inline = None if self._turns.waiting else self._inline
        if inline is not None and is_plain(item):
            inline.put(item)
        else:
            self._hand_over([item])

    def stop(self) -> None:
        """Take nothing more, and have the thread end when it has written what waits."""
        if self._inline is not None and (left := self._inline.taken()):
            self._hand_over(left)
        self._stopping.set()
        with self._wake:
            self._wake.notify()

    def join(self) -> None:
        """Wait for the end; blocks."""
        self._thread.join(_JOIN_SECONDS)

    def _hand_over(self, items: Sequence[Item]) -> None:
        with self._wake:
            self._waiting += items
            if self._idle:
                self._wake.notify()
        self._turns.began(len(items))

    def _run(self) -> None:
        while True:
            last = self._stopping.is_set()  # nothing comes after that
            batch = self._next()
            if last and not batch:
                return
            began, used = time.monotonic(), time.thread_time()
            self._commit(batch)
            self._look_after_claims()
            self._pacing.took(began, time.thread_time() - used)

    def _next(self) -> list[Item]:
        """What waits, after a pause since the last time; nothing after some seconds of nothing, or at the end."""
        with self._wake:
            if not self._waiting and not self._stopping.is_set():
                self._idle = True
                self._wake.wait(self._bounds.terms.claim_seconds / 6)
                self._idle = False
        pause = self._pacing.pause
        if self._waiting and pause > 0:
            self._stopping.wait(pause)
        return [self._waiting.popleft() for _ in range(min(len(self._waiting), _MOST_AT_ONCE))]

    def _commit(self, batch: list[Item]) -> None:
        careful = False
        while batch:
            try:
                outcomes = write(self._engine, batch, self._sql, self._bounds.terms, careful=careful)
            except SomeAreThere:
                careful = True
            except (OperationalError, InterfaceError, PoolTimeout) as error:
                batch = self._after_silence(batch, error)
            except Exception as error:  # whatever it is, the thread goes on
                self._apart(batch, error)
                return
            else:
                self._settle(outcomes)
                return

    def _after_silence(self, batch: list[Item], error: SQLAlchemyError) -> list[Item]:
        """Those of `batch` that are to be tried again, after a pause; the others are told."""
        now = time.monotonic()
        _log.warning("the ledger's database does not answer: %s", words(error))
        late = [item for item in batch if item.deadline <= now]
        for item in batch:
            item.tried = True
        self._tell([(item, unavailable()) for item in late])
        rest = [item for item in batch if item.deadline > now]
        if rest:
            self._never.wait(_AGAIN_SECONDS)
        return rest

    def _apart(self, batch: list[Item], error: Exception) -> None:
        """Find the item that the database cannot take: the others must not suffer from it."""
        if len(batch) > 1:
            for item in batch:
                self._commit([item])
            return
        _log.error("the ledger cannot write %r: %s", batch[0], words(error))
        self._tell([(batch[0], error)])

    def _settle(self, outcomes: dict[Item, Outcome]) -> None:
        for item, outcome in outcomes.items():
            if isinstance(item, Claiming) and isinstance(outcome, Claim):
                self._held[outcome.token] = outcome
        self._tell(list(outcomes.items()))

    def _tell(self, outcomes: Sequence[tuple[Item, Outcome | Exception]]) -> None:
        for item, _ in outcomes:
            if isinstance(item, (Charging, Releasing)) and item.claim is not None:
                self._held.pop(item.claim.token, None)
        with contextlib.suppress(RuntimeError):  # the loop has ended, and with it whoever waited
            self._loop.call_soon_threadsafe(self._resolve, outcomes)
        self._turns.done.set()

    def _resolve(self, outcomes: Sequence[tuple[Item, Outcome | Exception]]) -> None:
        """In the event loop."""
        self._turns.ended(len(outcomes))
        for item, outcome in outcomes:
            if item.future.done():  # nobody waits any more
                continue
            if isinstance(outcome, Exception):
                item.future.set_exception(outcome)
            else:
                item.future.set_result(outcome)

    def _look_after_claims(self) -> None:
        """Renew those of this process, and forget old ones, each when it is time."""
        now, terms = time.monotonic(), self._bounds.terms
        renew = bool(self._held) and now - self._renewed >= terms.claim_seconds / 3
        sweep = now - self._swept >= _SWEEP_SECONDS
        if not renew and not sweep:
            return
        self._renewed = now if renew or not self._held else self._renewed
        self._swept = now if sweep else self._swept
        try:
            with self._engine.begin() as connection:
                if renew:
                    mine = {"tokens": list(self._held), "seconds": terms.claim_seconds}
                    connection.execute(self._sql.renew, mine)
                if sweep:
                    connection.execute(self._sql.sweep)
        except SQLAlchemyError as error:
            self._renewed = now - terms.claim_seconds / 6
            _log.warning("the ledger's claims cannot be renewed: %s", words(error))


def words(error: BaseException) -> str:
    """What the database said, in one line."""
    said = error.orig if isinstance(error, DBAPIError) else error
    return " ".join(str(said).split())[:500]
