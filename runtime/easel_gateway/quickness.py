"""Whether what may block is done in the event loop all the same, because it is over before a thread would be awake."""

import math
import time
from typing import Final

_SLOW_SECONDS: Final = 60.0
"""After which what was slow is tried anew."""
_NEWEST: Final = 0.2
"""Weight of the newest time in the usual one."""


class Quickness:
    """Of one kind of work; `seconds` is the longest that it may usually take in the event loop."""

    def __init__(self, seconds: float) -> None:
        self._most = seconds
        self._usual = 0.0
        self._slow_until = -math.inf

    @property
    def holds(self) -> bool:
        """Whether it is to be done at once; else a thread is for it."""
        return time.monotonic() >= self._slow_until

    def took(self, seconds: float) -> None:
        """It was done, and took so long."""
        self._usual += _NEWEST * (seconds - self._usual)
        if self._usual > self._most:
            self._usual, self._slow_until = 0.0, time.monotonic() + _SLOW_SECONDS
