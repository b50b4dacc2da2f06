"""The waiting room: requests are held until an endpoint of their model has room, first come, first served.

An endpoint gets two requests at a time, one to work on and one so that it never idles between them; the rest wait
here, where they can go to whichever replica is free or new. Bounded by count, bytes and time.
"""

import asyncio
from collections import Counter, defaultdict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

from easel_crds.demand import Demand
from easel_gateway.directory import UNKNOWN_START_SECONDS, Directory, Endpoint, Entry, State
from easel_gateway.settings import Settings
from easel_http.errors import ApiError, Busy, NotFound, Unavailable

ROOM: Final = 2
"""Requests at one endpoint at a time: a runtime works on one, however many its model's `targetInFlight` allows."""
_AVOID_SECONDS: Final = 1.0
"""How long an endpoint that did not take a request gets no other; by then the directory knows more."""


@dataclass(eq=False)
class _Waiter:
    size: int
    granted: asyncio.Future[Endpoint] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class WaitingRoom:
    """Grants endpoints to requests and reports the demand for each model."""

    def __init__(self, directory: Directory, settings: Settings) -> None:
        self._directory = directory
        self._settings = settings
        self._waiters: defaultdict[str, deque[_Waiter]] = defaultdict(deque)
        self._in_flight: Counter[tuple[str, str]] = Counter()
        self._avoided: Counter[str] = Counter()
        self._closed = False
        directory.on_change(self._grant_all)

    @asynccontextmanager
    async def endpoint(self, model_id: str, size: int) -> AsyncIterator[Endpoint]:
        """An endpoint of `model_id` for one request of `size` bytes, as long as the context lasts.

        Raises:
            Busy: too many requests wait already.
            NotFound: the model does not exist (any more).
            Unavailable: it cannot start, or did not start in time.
        """
        endpoint = await self._acquire(model_id, size)
        try:
            yield endpoint
        finally:
            self._release(model_id, endpoint)

    def close(self) -> None:
        """Refuse whoever waits or comes from now on; who has an endpoint keeps it."""
        self._closed = True
        self._grant_all()

    def avoid(self, endpoint: Endpoint) -> None:
        """Give `endpoint` no requests for a moment, because it just did not take one."""
        self._avoided[endpoint.name] += 1
        asyncio.get_running_loop().call_later(_AVOID_SECONDS, self._forgive, endpoint)

    def _forgive(self, endpoint: Endpoint) -> None:
        self._avoided[endpoint.name] -= 1
        self._avoided += Counter()  # drops what is at zero
        self._grant_all()

    async def _acquire(self, model_id: str, size: int) -> Endpoint:
        waiter = _Waiter(size)
        self._waiters[model_id].append(waiter)
        try:
            self._grant(model_id)
            if not waiter.granted.done():
                self._check_room()
            async with asyncio.timeout(self._settings.held_seconds):
                return await waiter.granted
        except TimeoutError:
            if waiter.granted.done() and not waiter.granted.cancelled():
                return waiter.granted.result()  # it came at the last moment
            raise Unavailable(
                f"{model_id} had no room within {self._settings.held_seconds:g} seconds",
                retry_after=self._forecast(model_id),
            ) from None
        except BaseException:
            if waiter.granted.done() and not waiter.granted.cancelled() and waiter.granted.exception() is None:
                self._release(model_id, waiter.granted.result())
            raise
        finally:
            if waiter in self._waiters[model_id]:
                self._waiters[model_id].remove(waiter)
                self._report(model_id)

    def _check_room(self) -> None:
        held = [waiter for waiters in self._waiters.values() for waiter in waiters]
        if len(held) > self._settings.held_requests:
            raise Busy(f"{self._settings.held_requests} requests are waiting already", retry_after=self._forecast())
        if sum(waiter.size for waiter in held) > self._settings.held_bytes:
            raise Busy("the requests that are waiting fill the room there is", retry_after=self._forecast())

    def _forecast(self, model_id: str = "") -> int:
        entry = self._directory.entries().get(model_id)
        return round(entry.start_seconds if entry is not None else UNKNOWN_START_SECONDS)

    def _grant_all(self) -> None:
        for model_id in list(self._waiters):
            self._grant(model_id)

    def _grant(self, model_id: str) -> None:
        """Give free endpoints to the longest waiters; turn all away if waiting cannot help."""
        waiters = self._waiters[model_id]
        entry = self._directory.entries().get(model_id)
        refusal = Unavailable("Easel is stopping", retry_after=30) if self._closed else _refusal(model_id, entry)
        while waiters:
            endpoint = self._free(entry) if entry is not None and not self._closed else None
            if endpoint is None and refusal is None:
                break
            granted = waiters.popleft().granted
            if granted.done():
                continue
            if endpoint is not None:
                self._in_flight[model_id, endpoint.name] += 1
                granted.set_result(endpoint)
            elif refusal is not None:
                granted.set_exception(refusal)
        self._report(model_id)

    def _free(self, entry: Entry) -> Endpoint | None:
        """The endpoint with the fewest requests, if it has room for one more."""
        model_id = entry.model.spec.model_id
        loads = [
            (self._in_flight[model_id, endpoint.name], endpoint.name, endpoint)
            for endpoint in entry.endpoints
            if endpoint.name not in self._avoided
        ]
        if not loads or min(loads)[0] >= ROOM:
            return None
        return min(loads)[2]

    def _release(self, model_id: str, endpoint: Endpoint) -> None:
        self._in_flight[model_id, endpoint.name] -= 1
        if not self._in_flight[model_id, endpoint.name]:
            del self._in_flight[model_id, endpoint.name]
        self._report(model_id)  # before the next one takes the place, or nobody could tell that this one has ended
        self._grant(model_id)

    def _report(self, model_id: str) -> None:
        in_flight = sum(count for (of, _), count in self._in_flight.items() if of == model_id)
        waiting = sum(not waiter.granted.done() for waiter in self._waiters[model_id])
        self._directory.report(model_id, Demand(in_flight, waiting))


def _refusal(model_id: str, entry: Entry | None) -> ApiError | None:
    """Why waiting for the model is in vain, if it is."""
    if entry is None:
        return NotFound(f"the model {model_id} has been removed")
    if entry.state is State.FAILED:
        return Unavailable(f"{model_id} cannot start: {entry.failure}")
    if entry.state is State.PAUSED:
        return Unavailable(f"{model_id} is paused and not running")
    if entry.state is State.COLD and entry.model.spec.replicas == 0:
        return Unavailable(f"{model_id} is pinned to no replicas (spec.replicas: 0)")
    return None
