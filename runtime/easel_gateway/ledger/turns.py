"""Lets the writer's thread have the interpreter while the event loop is busy.

CPython hands the interpreter to a thread that has waited for it for five milliseconds, but every system call of the
thread that has it begins the wait anew. An event loop under full load makes one each millisecond and has it back
before the other is awake: measured, a transaction of 10 ms took seconds. So a loop whose items have waited for long
stands aside itself, a few milliseconds, and only as long as the writer uses them: one that waits for its database does
not need them.
"""

import asyncio
import threading
import time
from typing import Final

_PATIENCE_SECONDS: Final = 0.01
"""After which items have waited for long."""
_ASIDE_SECONDS: Final = 0.005
"""Longest time that the loop stands aside at once."""
_LOOK_SECONDS: Final = 0.0005
"""How often it looks whether that is of use."""
_USED: Final = 0.1
"""Share of that time in which the writer must have been at work."""


class Turns:
    """Belongs to the event loop; `done` is set by the thread when it has told what it did."""

    def __init__(self, loop: asyncio.AbstractEventLoop, thread: threading.Thread) -> None:
        """`thread` has been started."""
        self.done = threading.Event()
        self._loop = loop
        self._open = 0
        self._watching = False
        clock_of = getattr(time, "pthread_getcpuclockid", None)  # not on every system
        self._clock: int | None = None if clock_of is None else clock_of(thread.ident)

    @property
    def waiting(self) -> int:
        """Items that the thread has not told of yet."""
        return self._open

    def began(self, count: int) -> None:
        """So many more items wait."""
        self._open += count
        if not self._watching:
            self._watch()

    def ended(self, count: int) -> None:
        """So many wait no longer."""
        self._open -= count

    def _watch(self) -> None:
        self._watching = True
        self.done.clear()
        self._loop.call_later(_PATIENCE_SECONDS, self._look)

    def _look(self) -> None:
        if not self.done.is_set():
            self._stand_aside()
        self._watching = False
        if self._open:
            self._watch()

    def _stand_aside(self) -> None:
        until = time.monotonic() + _ASIDE_SECONDS
        before = self._worked()
        while time.monotonic() < until and not self.done.wait(_LOOK_SECONDS):
            now = self._worked()
            if now - before < _LOOK_SECONDS * _USED:
                return
            before = now

    def _worked(self) -> float:
        """Seconds that the thread has been on a core."""
        try:
            return 0.0 if self._clock is None else time.clock_gettime(self._clock)
        except OSError:  # the thread has ended
            return 0.0
