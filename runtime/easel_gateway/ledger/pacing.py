"""When the next transaction begins: not so soon that many of them take much time, nor so late that anybody notices."""

import time
from typing import Final

_SHARE: Final = 0.1
"""Of the time, what transactions take, as long as that delays nobody for longer than the most there is."""


class Pacing:
    """Of transactions one after the other; `most` is the longest time between the beginnings of two, in seconds."""

    def __init__(self, most: float) -> None:
        self._most = most
        self._next = 0.0

    @property
    def pause(self) -> float:
        """Seconds until the next one may begin; 0 or less: it may begin now, as one does that comes alone."""
        return self._next - time.monotonic()

    def took(self, began: float, seconds: float) -> None:
        """One began at `began`, by `time.monotonic`, and took so much time of a core."""
        self._next = began + min(self._most, seconds / _SHARE)
