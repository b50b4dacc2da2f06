"""Where a request stands that waits: behind others, or for its model to start; told when there is something new."""

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from easel_gateway.directory import Directory, State
from easel_gateway.forwarding import Tell
from easel_gateway.waiting import WaitingRoom
from easel_http.errors import Unavailable

_LOOK_SECONDS: Final = 1.0
_NOTICEABLE_SECONDS: Final = 2.0
"""A forecast that has moved by less, beside the time that has passed, is the same."""

News = tuple[str, Mapping[str, Any]]


class Standing:
    """What can be told of those who wait."""

    def __init__(self, directory: Directory, waiting: WaitingRoom, clock: Callable[[], float] = time.monotonic) -> None:
        self._directory = directory
        self._waiting = waiting
        self._clock = clock
        self._since: dict[str, float] = {}
        """When models began to start, as far as that was seen here."""
        directory.on_change(self._look_again)

    @contextmanager
    def told(self, tell: Tell | None, model_id: str, turn: object) -> Iterator[None]:
        """Tell where the one stands that waits with `turn`, at once and then when that has changed.

        What is told as the context lasts is `queued` or `starting`, at most once a second.
        """
        if tell is None:
            yield
            return
        following = asyncio.create_task(self._follow(tell, model_id, turn))
        try:
            yield
        finally:
            following.cancel()

    def news(self, model_id: str, turn: object) -> News:
        """Where it stands now."""
        entry = self._directory.entries().get(model_id)
        if entry is None or entry.endpoints:
            return "queued", {"ahead": self._waiting.ahead(model_id, turn)}
        left = entry.seconds_to_start
        if left is not None and entry.state is State.STARTING:
            now = self._clock()
            left -= now - self._since.setdefault(model_id, now)
        seconds = round(left, 1) if left is not None and left > 0 else None
        return "starting", {"seconds": seconds, "reason": entry.pending}

    async def _follow(self, tell: Tell, model_id: str, turn: object) -> None:
        told: News | None = None
        when = 0.0
        while True:
            news, now = self.news(model_id, turn), self._clock()
            if told is None or is_new(told, news, now - when):
                tell(*news)
                told, when = news, now
            await asyncio.sleep(_LOOK_SECONDS)

    def _look_again(self) -> None:
        try:
            entries = self._directory.entries()
        except Unavailable:  # not known yet, and nobody waits
            return
        starting = {model_id for model_id, entry in entries.items() if entry.state is State.STARTING}
        now = self._clock()
        self._since = {model_id: self._since.get(model_id, now) for model_id in starting}


def is_new(told: News, news: News, seconds: float) -> bool:
    """Whether `news` say more than what was `told` so many `seconds` ago."""
    (before, old), (name, new) = told, news
    if name != before or name != "starting":
        return told != news
    if old["reason"] != new["reason"] or (old["seconds"] is None) != (new["seconds"] is None):
        return True
    if new["seconds"] is None:
        return False
    return bool(abs(old["seconds"] - seconds - new["seconds"]) > _NOTICEABLE_SECONDS)
