"""A collection of the API server, followed: listed once, then watched, and listed again where the watch has gaps.

What is known stays in force while the API server is away, and while it is listed again.
"""

import asyncio
import logging
import random
from typing import Final, Protocol

from easel_gateway.cluster.backoff import LONGEST_SECONDS, Backoff
from easel_kube.client import ApiError, Event, Json, Kube
from easel_kube.kinds import Kind

_log = logging.getLogger(__name__)
_PAGE: Final = 500
"""Objects per answer to a list, so that no answer keeps the event loop busy for long."""
_WATCH_SECONDS: Final = (240, 300)
"""How long the API server may keep one watch open."""
_SILENCE_SECONDS: Final = 75.0
"""Longest silence on a watch: the API server sends a bookmark about every minute, so the connection may be dead."""
_RELIST_SECONDS: Final = 1800.0
"""After so long all is listed again: an API server restored from a backup may be behind a watch, and then says nothing.
"""

Key = tuple[str, str]
"""Namespace and name."""


class Copy(Protocol):
    """What takes in the objects of a collection."""

    def put(self, document: Json) -> None:
        """This is what the object is now."""

    def drop(self, key: Key) -> None:
        """There is no such object (any more)."""

    def retain(self, keys: set[Key]) -> None:
        """The collection was listed: there are these objects and no others."""


class Mirror:
    """Keeps a copy of a collection current."""

    def __init__(
        self,
        kube: Kube,
        kind: Kind,
        copy: Copy,
        labels: str = "",
        *,
        silence_seconds: float = _SILENCE_SECONDS,
        relist_seconds: float = _RELIST_SECONDS,
    ) -> None:
        self._kube = kube
        self._kind = kind
        self._labels = labels
        self._copy = copy
        self._silence_seconds = silence_seconds
        self._relist_seconds = relist_seconds
        self._version = ""
        self._listed_at = float("-inf")
        self._away = False

    async def run(self) -> None:
        """Follow the collection until cancelled."""
        backoff = Backoff()
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            try:
                if not self._version or began - self._listed_at > self._relist_seconds:
                    self._version = await self._list()
                    self._listed_at = began
                await self._watch()
            except ApiError as error:
                if error.status:  # the connection is well, so it is this version that leads nowhere
                    self._version = ""
                self._note(error, loop.time() - began)
            await asyncio.sleep(backoff.pause(loop.time() - began))

    async def _list(self) -> str:
        """Take in every object; returns the version from which to watch."""
        keys: set[Key] = set()
        continued = ""
        while True:
            page = await self._kube.page(self._kind, self._labels, _PAGE, continued)
            for document in page.get("items") or ():
                keys.add(_key(document))
                self._copy.put(document)
            continued = page["metadata"].get("continue", "")
            if not continued:
                self._copy.retain(keys)
                return str(page["metadata"]["resourceVersion"])

    async def _watch(self) -> None:
        seconds = random.randint(*_WATCH_SECONDS)  # noqa: S311 (to spread the load)
        watch = self._kube.watch(self._kind, self._labels, self._version, seconds, self._silence_seconds)
        async with watch as events:
            self._note_well()
            async for event in events:
                self._take(event)
                self._version = event.version

    def _take(self, event: Event) -> None:
        if event.type == "DELETED":
            self._copy.drop(_key(event.object))
        elif event.type != "BOOKMARK":
            self._copy.put(event.object)

    def _note(self, error: ApiError, lived: float) -> None:
        """One line when the trouble begins; that a version is gone, or that a long watch is cut, is none."""
        trouble = error.status != 410 and lived <= LONGEST_SECONDS
        if trouble and not self._away:
            self._away = True
            _log.warning("%s cannot be followed, what is known stays in force: %s", self._kind, error)
        else:
            _log.debug("%s: %s", self._kind, error)

    def _note_well(self) -> None:
        if self._away:
            self._away = False
            _log.info("%s are followed again", self._kind)


def _key(document: Json) -> Key:
    metadata = document["metadata"]
    return metadata.get("namespace", ""), metadata["name"]
