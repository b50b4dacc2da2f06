"""Callers that cost little themselves: protocols on uvloop, because streams would take as long as what is measured."""

import asyncio
import re
import time
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar, cast

import uvloop

from bench.table import NotMeasured
from bench.wire import HOST

_LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_SECONDS: Final = 120.0
"""Longest wait for any answer."""
LOST: Final = 0
"""In the place of a status: the connection ended before its answer did."""
T = TypeVar("T")


def run(work: Coroutine[Any, Any, T]) -> T:
    """The result of `work` on a loop of its own.

    Raises:
        NotMeasured: it is not done in time, or nobody listens.
    """
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(asyncio.wait_for(work, _SECONDS))
    except (OSError, TimeoutError) as error:
        raise NotMeasured(f"callers: {error!r}") from error


class Caller(asyncio.Protocol):
    """One connection, one request at a time; answers must say their Content-Length."""

    def __init__(self) -> None:
        self.on_answer: Callable[[Caller, int], None] = lambda _caller, _status: None
        self.first_byte = 0.0
        """When the answer began, by `time.perf_counter`."""
        self._received = bytearray()
        self._length = -1
        self._asking = False
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass

    def ask(self, sent: bytes) -> None:
        """Send a request; `on_answer` is called with the status of its answer, or `LOST`."""
        self._asking, self._length = True, -1
        if self._transport is None or self._transport.is_closing():
            asyncio.get_running_loop().call_soon(self._answered, LOST)
            return
        self._transport.write(sent)

    def data_received(self, data: bytes) -> None:
        if not self._received:
            self.first_byte = time.perf_counter()
        self._received += data
        if self._length < 0:
            try:
                self._length = whole_length(self._received)
            except NotMeasured:
                self.hang_up()
                return
        if 0 <= self._length <= len(self._received):
            status = int(self._received[9:12])
            self._received.clear()
            self._answered(status)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 (the interface's)
        self._answered(LOST)

    def hang_up(self) -> None:
        """Leave at once."""
        if self._transport is not None:
            self._transport.abort()

    @property
    def unsent(self) -> int:
        """Bytes that the other side has not taken yet."""
        return 0 if self._transport is None else self._transport.get_write_buffer_size()

    def _answered(self, status: int) -> None:
        if self._asking:
            self._asking = False
            self.on_answer(self, status)


def whole_length(received: bytes | bytearray) -> int:
    """Bytes of an answer that begins so, its head included; -1: not to be known yet.

    Raises:
        NotMeasured: it never says.
    """
    end = received.find(b"\r\n\r\n")
    if end < 0:
        return -1
    if not (found := _LENGTH.search(received, 0, end + 2)):
        raise NotMeasured(f"an answer without Content-Length: {bytes(received[:200])!r}")
    return end + 4 + int(found[1])


async def connect(port: int) -> Caller:
    """A caller with a connection."""
    _, caller = await asyncio.get_running_loop().create_connection(Caller, HOST, port)
    return caller


async def seconds_of(caller: Caller, sent: bytes) -> float:
    """Seconds of one request that must be answered with 200."""
    began = time.perf_counter()
    if (status := await _status_of(caller, sent)) != 200:
        raise NotMeasured(f"answered {status}")
    return time.perf_counter() - began


async def _status_of(caller: Caller, sent: bytes) -> int:
    done: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    caller.on_answer = lambda _, status: done.set_result(status)
    caller.ask(sent)
    return await done


async def rate(port: int, sent: bytes, callers: int, seconds: float) -> float:
    """Answers a second to `callers` who each ask again when answered, within the first `seconds`."""
    connections = [await connect(port) for _ in range(callers)]
    over = asyncio.Event()
    wrong: list[int] = []
    answers = 0
    deadline = time.perf_counter() + seconds
    left = callers

    def on_answer(caller: Caller, status: int) -> None:
        nonlocal answers, left
        if status != 200:
            wrong.append(status)
        elif time.perf_counter() < deadline:
            answers += 1
            caller.ask(sent)
            return
        left -= 1
        if not left:
            over.set()

    for caller in connections:
        caller.on_answer = on_answer
        caller.ask(sent)
    try:
        await over.wait()
    finally:
        for caller in connections:
            caller.hang_up()
    if wrong:
        raise NotMeasured(f"answers: {wrong[:5]}")
    return answers / seconds


@dataclass
class Arrivals:
    """What became of requests that came by the clock."""

    latencies: list[float] = field(default_factory=list)
    """Seconds from when each should have been sent to the end of its answer, of those answered with 200."""
    errors: list[int] = field(default_factory=list)
    """The statuses of all others."""


async def scheduled(port: int, sent: bytes, per_second: float, seconds: float, most: int) -> Arrivals:
    """Requests by the clock, evenly spaced, whoever waits; on at most `most` kept connections.

    Whoever finds none idle waits for one, and that counts. Each has been used once before the clock runs, because a
    server ends what was opened and never used.
    """
    clock = _Clock(sent, int(per_second * seconds), [await connect(port) for _ in range(most)])
    opened = list(clock.idle)
    for caller in opened:
        await _status_of(caller, sent)
        caller.on_answer = clock.on_answer
    began = time.perf_counter()
    for number in range(clock.total):
        due = began + number / per_second
        if (ahead := due - time.perf_counter()) > 0:
            await asyncio.sleep(ahead)  # the rate is what is asked for
        clock.ask(due)
    await clock.over.wait()
    for caller in opened:
        caller.hang_up()
    return clock.found


@dataclass
class _Clock:
    sent: bytes
    total: int
    idle: list[Caller]
    found: Arrivals = field(default_factory=Arrivals)
    over: asyncio.Event = field(default_factory=asyncio.Event)
    _late: deque[float] = field(default_factory=deque)
    _due: dict[Caller, float] = field(default_factory=dict)

    def ask(self, due: float) -> None:
        """Send the request that should have been sent at `due`, or do so once a connection is idle."""
        if not self.idle:
            self._late.append(due)
            return
        caller = self.idle.pop()
        self._due[caller] = due
        caller.ask(self.sent)

    def on_answer(self, caller: Caller, status: int) -> None:
        """Count an answer, and ask the next one who waits."""
        if status == 200:
            self.found.latencies.append(time.perf_counter() - self._due[caller])
        else:
            self.found.errors.append(status)
        self.idle.append(caller)
        if self._late:
            self.ask(self._late.popleft())
        if len(self.found.latencies) + len(self.found.errors) == self.total:
            self.over.set()
