"""One deadline for a connection, moved with each request at the price of reading the clock."""

import asyncio
import math
from collections.abc import Callable
from typing import Final

_EARLY_SECONDS: Final = 0.001
"""By so much an event loop may call too early; it counts in milliseconds."""


class Deadline:
    """Calls `on_end` once, when the time is over that was set last.

    The timer behind it is left alone as long as it fires early enough, and set anew when it does: a connection with a
    thousand requests a minute sets one timer a minute.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, on_end: Callable[[], None]) -> None:
        self._loop = loop
        self._on_end = on_end
        self._due = math.inf
        self._fires = math.inf
        self._timer: asyncio.TimerHandle | None = None

    def set(self, seconds: float) -> None:
        """It ends in so many seconds, whatever was said before."""
        self._due = self._loop.time() + seconds
        if self._due < self._fires:
            self._arm()

    def lift(self) -> None:
        """It does not end until it is set again."""
        self._due = math.inf

    def cancel(self) -> None:
        """For good: nothing refers to the owner any more."""
        self._due = -math.inf
        if self._timer is not None:
            self._timer.cancel()

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._fires = self._due
        self._timer = self._loop.call_at(self._due, self._fire)

    def _fire(self) -> None:
        self._timer, self._fires = None, math.inf
        if self._due == math.inf:
            return
        if self._loop.time() < self._due - _EARLY_SECONDS:
            self._arm()
        else:
            self._due = math.inf
            self._on_end()
