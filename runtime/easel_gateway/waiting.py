"""The waiting room: requests are held until an endpoint of their model has room, first come, first served.

An endpoint gets two requests at a time, one to work on and one so that it never idles between them; the rest wait
here, where they can go to whichever replica is free or new. Bounded by count, bytes and time, and shared fairly.
"""

import asyncio
import math
from collections.abc import Collection
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Final

from easel_crds.demand import Demand
from easel_gateway.balancing import NO_LORAS, Balancer
from easel_gateway.directory import UNKNOWN_START_SECONDS, Directory, Endpoint, refusal_of
from easel_gateway.settings import Settings
from easel_http.errors import Busy, Unavailable

_SHARE: Final = 3
"""A model may hold so many times what is left for all others ("dynamic threshold", Choudhury and Hahne 1998, alpha).

One model alone gets three quarters of the room, the next one three quarters of the rest: it is never used up."""
_NEWEST: Final = 0.2
"""Weight of the newest time in the mean that forecasts are made of."""


@dataclass(eq=False)
class _Waiter:
    size: int
    loras: Collection[str]
    turn: object
    granted: asyncio.Future[Endpoint] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


@dataclass(eq=False)
class _Line:
    """Who waits for one model, and who is served."""

    waiters: dict[_Waiter, None] = field(default_factory=dict)
    """In the order of their coming."""
    size: int = 0
    """Bytes of those who wait."""
    balancer: Balancer = field(default_factory=Balancer)
    seconds: float = 0.0
    """That a request takes, about; 0: not known yet."""


class WaitingRoom:
    """Grants endpoints to requests and reports the demand for each model."""

    def __init__(self, directory: Directory, settings: Settings) -> None:
        self.held = 0
        """Requests that wait."""
        self.held_bytes = 0
        """Bytes of their bodies."""
        self._directory = directory
        self._settings = settings
        self._lines: dict[str, _Line] = {}
        self._closed = False
        directory.on_change(self._look_again)

    def at_once(self, model_id: str, loras: Collection[str] = NO_LORAS) -> Endpoint | None:
        """An endpoint that has room now, if nobody waits for one; whoever gets it has to `release` it."""
        entry = self._directory.entries().get(model_id)
        if self._closed or entry is None or not entry.endpoints:
            return None
        line = self._line(model_id)
        if line.waiters:
            return None
        endpoint = line.balancer.choose(entry.endpoints, loras)
        if endpoint is not None:
            line.balancer.take(endpoint, loras)
            self._report(model_id, line)
        return endpoint

    def release(self, model_id: str, endpoint: Endpoint) -> None:
        """The request at `endpoint` has ended."""
        line = self._line(model_id)
        line.balancer.give_back(endpoint)
        self._report(model_id, line)  # before the next one takes the place, or nobody could tell that this one ended
        if line.waiters:
            self._grant(model_id, line)

    def close(self) -> None:
        """Refuse whoever waits or comes from now on; who has an endpoint keeps it."""
        self._closed = True
        self._grant_all()

    def avoid(self, model_id: str, endpoint: Endpoint, *, failed: bool = False) -> None:
        """Give `endpoint` no requests for a moment, because it just did not take one; longer each time it `failed`."""
        seconds = self._line(model_id).balancer.avoid(endpoint, failed=failed)
        asyncio.get_running_loop().call_later(seconds, self._forgive, model_id, endpoint)

    def worked(self, model_id: str, endpoint: Endpoint, seconds: float) -> None:
        """`endpoint` answered a request of `model_id` as it should, after so many seconds."""
        line = self._line(model_id)
        line.balancer.worked(endpoint)
        line.seconds = line.seconds + _NEWEST * (seconds - line.seconds) if line.seconds else seconds

    def forecast(self, model_id: str) -> int:
        """Seconds after which a request would probably be served: the start, or the work before it."""
        entry = self._directory.entries().get(model_id)
        if entry is None:
            return round(UNKNOWN_START_SECONDS)
        if not entry.endpoints:
            return max(1, round(entry.start_seconds))
        line = self._line(model_id)
        ahead = len(line.waiters) + line.balancer.in_flight
        return max(1, math.ceil((ahead + 1) * line.seconds / len(entry.endpoints)))

    def load(self, model_id: str) -> tuple[Demand, int]:
        """What there is to do for `model_id`, and the bytes of what waits."""
        line = self._line(model_id)
        return Demand(line.balancer.in_flight, len(line.waiters)), line.size

    def ahead(self, model_id: str, turn: object) -> int:
        """Requests of `model_id` in work, and before the one that waits for this `turn`."""
        line = self._line(model_id)
        before = takewhile(lambda waiter: waiter.turn is not turn, line.waiters)
        return line.balancer.in_flight + sum(1 for _ in before)

    def _forgive(self, model_id: str, endpoint: Endpoint) -> None:
        line = self._line(model_id)
        line.balancer.forgive(endpoint)
        self._grant(model_id, line)

    async def wait(self, model_id: str, size: int, loras: Collection[str] = NO_LORAS, turn: object = None) -> Endpoint:
        """An endpoint for a request of `size` bytes, once it is its `turn`; whoever gets it has to `release` it.

        Raises:
            Busy: too many requests wait already.
            NotFound: the model does not exist (any more).
            Unavailable: it cannot start, or did not start in time.
        """
        line = self._line(model_id)
        waiter = _Waiter(size, loras, turn)
        self._enter(line, waiter)
        try:
            self._grant(model_id, line)
            if not waiter.granted.done():
                self._check_room(model_id, line)
            async with asyncio.timeout(self._settings.held_seconds):
                return await waiter.granted
        except TimeoutError:
            if waiter.granted.done() and not waiter.granted.cancelled():
                return waiter.granted.result()  # it came at the last moment
            raise Unavailable(
                f"{model_id} had no room within {self._settings.held_seconds:g} seconds",
                retry_after=self.forecast(model_id),
            ) from None
        except BaseException:
            if waiter.granted.done() and not waiter.granted.cancelled() and waiter.granted.exception() is None:
                self.release(model_id, waiter.granted.result())
            raise
        finally:
            if waiter in line.waiters:
                self._leave(line, waiter)
                self._report(model_id, line)

    def _enter(self, line: _Line, waiter: _Waiter) -> None:
        line.waiters[waiter] = None
        line.size += waiter.size
        self.held += 1
        self.held_bytes += waiter.size

    def _leave(self, line: _Line, waiter: _Waiter) -> None:
        del line.waiters[waiter]
        line.size -= waiter.size
        self.held -= 1
        self.held_bytes -= waiter.size

    def _check_room(self, model_id: str, line: _Line) -> None:
        bounds = self._settings
        if self.held > bounds.held_requests:
            raise Busy(f"{bounds.held_requests} requests are waiting already", retry_after=self.forecast(model_id))
        if self.held_bytes > bounds.held_bytes:
            raise Busy("the requests that are waiting fill the room there is", retry_after=self.forecast(model_id))
        if len(line.waiters) > 1 and (
            len(line.waiters) > _SHARE * (bounds.held_requests - self.held)
            or line.size > _SHARE * (bounds.held_bytes - self.held_bytes)
        ):
            raise Busy(
                f"{len(line.waiters) - 1} requests are waiting for {model_id} already; what room there is left is for"
                " other models",
                retry_after=self.forecast(model_id),
            )

    def _look_again(self) -> None:
        """The directory has changed."""
        if not self._lines:
            return
        entries = self._directory.entries()
        for model_id, line in list(self._lines.items()):
            entry = entries.get(model_id)
            line.balancer.retain(entry.endpoints if entry is not None else ())
            if entry is None and not line.waiters and not line.balancer.in_flight:
                del self._lines[model_id]
        self._grant_all()

    def _grant_all(self) -> None:
        for model_id, line in list(self._lines.items()):
            if line.waiters:
                self._grant(model_id, line)

    def _grant(self, model_id: str, line: _Line) -> None:
        """Give free endpoints to the longest waiters; turn all away if waiting cannot help."""
        entry = self._directory.entries().get(model_id)
        refusal = Unavailable("Easel is stopping", retry_after=30) if self._closed else refusal_of(model_id, entry)
        while line.waiters:
            waiter = next(iter(line.waiters))
            free = entry is not None and not self._closed
            endpoint = line.balancer.choose(entry.endpoints, waiter.loras) if free and entry is not None else None
            if endpoint is None and refusal is None:
                break
            self._leave(line, waiter)
            if waiter.granted.done():
                continue
            if endpoint is not None:
                line.balancer.take(endpoint, waiter.loras)
                waiter.granted.set_result(endpoint)
            elif refusal is not None:
                waiter.granted.set_exception(refusal)
        self._report(model_id, line)

    def _line(self, model_id: str) -> _Line:
        line = self._lines.get(model_id)
        if line is None:
            line = self._lines[model_id] = _Line()
        return line

    def _report(self, model_id: str, line: _Line) -> None:
        self._directory.report(model_id, Demand(line.balancer.in_flight, len(line.waiters)))
