"""Charges written by the event loop itself: SQLite is done with them before a thread would have had the interpreter.

CPython hands the interpreter to another thread each time that SQLite is asked for something, and back: with a busy
event loop that took ten times as long as the transaction (0.2 ms for ten charges), and callers waited for it.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Final

from sqlalchemy import Engine
from sqlalchemy.exc import IntegrityError

from easel_gateway.ledger.batch import Charging, write_new
from easel_gateway.ledger.pacing import Pacing
from easel_gateway.ledger.statements import Statements
from easel_gateway.quickness import Quickness

_QUICK_SECONDS: Final = 0.005
_PACE_SECONDS: Final = 0.005
"""Longest time between two transactions: of 3,000 charges a second, one serves several."""
_MOST_AT_ONCE: Final = 200
"""Charges in one transaction: some milliseconds."""
_FRAMES: Final = 4000
"""Pages in SQLite's write-ahead log after which the thread is to write, who has time to wait for the disk."""
_FRAMES_EACH_TIME: Final = 5
"""Of every transaction, beside one for each charge."""


class Inline:
    """Takes charges without claims; those that it cannot write at once go to the thread, by `hand_over`."""

    def __init__(self, engine: Engine, sql: Statements, hand_over: Callable[[Sequence[Charging]], None]) -> None:
        """`engine` neither begins transactions nor waits, nor moves pages from the log to the file."""
        self._engine = engine
        self._sql = sql
        self._hand_over = hand_over
        self._loop = asyncio.get_running_loop()
        self._quickness = Quickness(_QUICK_SECONDS)
        self._waiting: list[Charging] = []
        self._pacing = Pacing(_PACE_SECONDS)
        self._frames = 0

    @property
    def waiting(self) -> int:
        """Charges that are to be written soon."""
        return len(self._waiting)

    def put(self, item: Charging) -> None:
        """Have `item` written, with others that come within milliseconds."""
        self._waiting.append(item)
        if len(self._waiting) == 1:
            self._call_later()

    def taken(self) -> list[Charging]:
        """What waits, which is no longer for this to write."""
        taken, self._waiting = self._waiting, []
        return taken

    def _call_later(self) -> None:
        self._loop.call_later(max(0.0, self._pacing.pause), self._flush)

    def _flush(self) -> None:
        batch, self._waiting = self._waiting[:_MOST_AT_ONCE], self._waiting[_MOST_AT_ONCE:]
        if batch and not self._wrote(batch):
            self._hand_over(batch)
        if self._waiting:
            self._call_later()

    def _wrote(self, batch: list[Charging]) -> bool:
        """Whether all of `batch` is written, and told of; else it is for the thread."""
        if self._frames >= _FRAMES or not self._quickness.holds:
            self._frames = 0
            return False
        began = time.monotonic()
        try:
            with self._engine.begin() as connection:
                write_new(connection, batch, self._sql)
        except IntegrityError:  # one of them is there already, and none was written
            return False
        except Exception:  # locked, or worse: the thread will meet it again, and has the time to deal with it
            for item in batch:
                item.tried = True
            return False
        took = time.monotonic() - began
        self._quickness.took(took)
        self._pacing.took(began, took)
        self._frames += len(batch) + _FRAMES_EACH_TIME
        for item in batch:
            if not item.future.done():
                item.future.set_result(None)
        return True
