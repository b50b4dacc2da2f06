"""How far the download of the weights is, seen from outside: the growing files in the Hub's cache.

The Hub's client downloads into `models--<org>--<name>/blobs/<hash>.<random>.incomplete` and renames what is whole, by
HTTP and by Xet alike. Looking at the files is the same whoever downloads them: the client, diffusers by itself, or
another runtime on the same volume, for which this one waits at a lock.
"""

import asyncio
import logging
import os
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

_log = logging.getLogger(__name__)
_LOOK_SECONDS: Final = 1.0
_WINDOW: Final = 20
"""Looks over which the rate is measured."""
_LOG_SECONDS: Final = 10.0
_current: ContextVar["Download | None"] = ContextVar("download", default=None)


def expect(repo_id: str, size: int) -> None:
    """Say that `size` bytes of `repo_id` are about to be downloaded; nothing happens unless somebody watches."""
    if (download := _current.get()) is not None:
        download.expect(repo_id, size)


def hub_cache(folder: Path | None) -> Path:
    """The folder of the Hub's cache: `folder`, or where the Hub's client has it by its environment variables."""
    if folder is not None:
        return folder
    home = os.environ.get("XDG_CACHE_HOME", "~/.cache")
    huggingface = os.environ.get("HF_HOME", f"{home}/huggingface")
    cache = os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE") or f"{huggingface}/hub"
    return Path(os.path.expandvars(cache)).expanduser()


@dataclass(frozen=True)
class Downloaded:
    """A download at one moment."""

    bytes: int
    total: int | None
    """Bytes when it is done; None while nobody has said."""
    bytes_per_second: float
    """Over the last seconds."""

    @property
    def seconds_left(self) -> float | None:
        """At this rate; None if that says nothing."""
        if self.total is None or not self.bytes_per_second:
            return None
        return max(0, self.total - self.bytes) / self.bytes_per_second

    def as_json(self) -> dict[str, float | None]:
        """For `/health`."""
        left = self.seconds_left
        return {
            "bytes": self.bytes,
            "total": self.total,
            "bytes_per_second": round(self.bytes_per_second),
            "seconds_left": None if left is None else round(left, 1),
        }

    def __str__(self) -> str:
        whole = "" if self.total is None else f" of {self.total / 1e9:.2f}"
        left = "" if self.seconds_left is None else f", {self.seconds_left:.0f} s left"
        return f"{self.bytes / 1e9:.2f}{whole} GB at {self.bytes_per_second / 1e6:.1f} MB/s{left}"


@dataclass
class Download:
    """What has come into the cache since this was made."""

    cache: Path
    clock: Callable[[], float] = time.monotonic
    _expected: dict[str, int] = field(default_factory=dict)
    _looks: deque[tuple[float, int]] = field(default_factory=lambda: deque(maxlen=_WINDOW))
    _before: dict[Path, int] | None = None
    _logged: float = 0.0

    def expect(self, repo_id: str, size: int) -> None:
        """`size` more bytes of `repo_id` are to come. From any thread."""
        self._expected[repo_id] = self._expected.get(repo_id, 0) + size

    def look(self) -> None:
        """Measure the files; asks the file system, so not for the event loop."""
        sizes = dict(self._sizes())
        if self._before is None:
            self._before = sizes
        # What was there before counts only as far as it grew: a process that died leaves its incomplete files.
        grown = sum(max(0, size - self._before.get(path, 0)) for path, size in sizes.items())
        self._looks.append((self.clock(), grown))

    @property
    def state(self) -> Downloaded | None:
        """None if nothing is downloaded, as all is there."""
        if not self._looks or not (self._looks[-1][1] or self._expected):
            return None
        (first, before), (last, now) = self._looks[0], self._looks[-1]
        rate = max(0, now - before) / (last - first) if last > first else 0.0
        return Downloaded(now, sum(self._expected.values()) if self._expected else None, rate)

    @property
    def active(self) -> bool:
        """Whether bytes came in the last seconds, or are still to come."""
        state = self.state
        return state is not None and bool(state.bytes_per_second or (state.total and state.bytes < state.total))

    @contextmanager
    def announced(self) -> Iterator[None]:
        """Within it, `expect` means this download, on this thread and in what it starts."""
        token = _current.set(self)
        try:
            yield
        finally:
            _current.reset(token)

    async def watch(self) -> None:
        """Look once a second and log now and then; until cancelled."""
        while True:
            await asyncio.to_thread(self.look)
            if self.active and self.clock() - self._logged >= _LOG_SECONDS:
                self._logged = self.clock()
                _log.info("downloaded %s", self.state)
            await asyncio.sleep(_LOOK_SECONDS)  # files tell nobody that they grow

    def _sizes(self) -> Iterator[tuple[Path, int]]:
        """Of every file of the repositories that were announced, or of all while none was."""
        names = [f"models--{repo_id.replace('/', '--')}" for repo_id in tuple(self._expected)] or ["models--*"]
        for name in names:
            for path in self.cache.glob(f"{name}/blobs/*"):
                try:
                    yield path, path.stat().st_size
                except OSError:  # renamed just now: the next look finds it
                    continue
