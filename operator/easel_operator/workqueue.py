"""A queue of keys to reconcile: each key at most once, never in two hands, later if asked, slower if it fails.

The semantics are those of client-go's workqueue: whoever is added while it is in work comes again afterwards.
"""

import asyncio
import random
from collections import Counter, deque
from typing import Final, Generic, TypeVar

_FIRST_PAUSE: Final = 0.25
_LONGEST_PAUSE: Final = 60.0

K = TypeVar("K")


class WorkQueue(Generic[K]):
    """Keys with something to do. All methods belong on one event loop."""

    def __init__(self) -> None:
        self._waiting: deque[K] = deque()
        self._dirty: set[K] = set()
        self._working: set[K] = set()
        self._later: dict[K, asyncio.TimerHandle] = {}
        self._failures: Counter[K] = Counter()
        self._filled = asyncio.Event()

    def add(self, key: K) -> None:
        """`key` is to be looked at as soon as somebody is free."""
        self._cancel(key)
        if key in self._dirty:
            return
        self._dirty.add(key)
        if key not in self._working:
            self._push(key)

    def add_after(self, key: K, seconds: float) -> None:
        """`key` is to be looked at in `seconds`, or earlier if asked before."""
        due = asyncio.get_running_loop().time() + seconds
        planned = self._later.get(key)
        if key in self._dirty or (planned is not None and planned.when() <= due):
            return
        self._cancel(key)
        self._later[key] = asyncio.get_running_loop().call_at(due, self.add, key)

    async def take(self) -> K:
        """The next key; its taker must call `done`."""
        while not self._waiting:
            self._filled.clear()
            await self._filled.wait()
        key = self._waiting.popleft()
        self._dirty.discard(key)
        self._working.add(key)
        return key

    def done(self, key: K, *, failed: bool = False) -> None:
        """The work on `key` has ended; after a failure it comes again, each time later, at most a minute."""
        self._working.discard(key)
        if key in self._dirty:
            self._push(key)
        if not failed:
            del self._failures[key]
            return
        pause = min(_FIRST_PAUSE * 2 ** min(self._failures[key], 16), _LONGEST_PAUSE)
        self._failures[key] += 1
        self.add_after(key, pause * random.uniform(0.5, 1))  # noqa: S311 (only so that not all come at once)

    def _push(self, key: K) -> None:
        self._waiting.append(key)
        self._filled.set()

    def _cancel(self, key: K) -> None:
        if (planned := self._later.pop(key, None)) is not None:
            planned.cancel()
