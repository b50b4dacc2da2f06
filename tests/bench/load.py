"""Callers: a number of them that each wait for their answer, or as many as a rate says, whoever waits."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count

from bench.wire import Answer, Connection

Requests = Callable[[int], bytes]
"""The bytes of request number n; each with a seed of its own, so that no answer can be had from a cache."""


@dataclass
class Load:
    """What became of many requests."""

    seconds: float = 0
    """From the first request to the last answer."""
    answers: list[tuple[float, float, Answer]] = field(default_factory=list)
    """When each was sent and answered, in seconds since the beginning, and the answer."""
    lost: int = 0
    """Requests whose connection broke, or for which there was none left."""

    @property
    def statuses(self) -> Counter[int]:
        """How many answers had each status."""
        return Counter(answer.status for _, _, answer in self.answers)

    def latencies(self, status: int) -> list[float]:
        """Seconds of each answer with this status."""
        return [end - start for start, end, answer in self.answers if answer.status == status]

    def finished_within(self, seconds: float, status: int = 200) -> int:
        """Answers with this status that came within the first `seconds`."""
        return sum(answer.status == status and end <= seconds for _, end, answer in self.answers)


async def closed(port: int, requests: Requests, callers: int, total: int) -> Load:
    """`total` requests by `callers`, each of whom sends the next one when the last one is answered."""
    numbers = iter(range(total))
    return await _callers(port, requests, callers, numbers, lambda _: True)


async def closed_for(port: int, requests: Requests, callers: int, seconds: float) -> Load:
    """As `closed`, until `seconds` are over; what was sent by then is waited for."""
    return await _callers(port, requests, callers, count(), lambda elapsed: elapsed < seconds)


async def _callers(
    port: int, requests: Requests, callers: int, numbers: Iterator[int], goes_on: Callable[[float], bool]
) -> Load:
    load = Load()
    connections = [await Connection.open(port) for _ in range(callers)]
    began = time.perf_counter()

    async def caller(connection: Connection) -> None:
        for number in numbers:
            start = time.perf_counter() - began
            if not goes_on(start):
                return
            answer = await connection.ask(requests(number))
            load.answers.append((start, time.perf_counter() - began, answer))

    try:
        await asyncio.gather(*(caller(connection) for connection in connections))
    finally:
        for connection in connections:
            connection.hang_up()
    load.seconds = time.perf_counter() - began
    return load


async def flood(port: int, requests: Requests, rate: float, seconds: float, most: int) -> Load:
    """`rate` requests a second, evenly, for `seconds`, whether or not they are answered; then all answers.

    Callers keep their connections; of these there are at most `most`.
    """
    load = Load()
    idle: list[Connection] = []
    opened: list[Connection] = []
    began = time.perf_counter()

    async def caller(number: int) -> None:
        try:
            if idle:
                connection = idle.pop()
            elif len(opened) < most:
                opened.append(connection := await Connection.open(port))
            else:
                load.lost += 1
                return
            start = time.perf_counter() - began
            answer = await connection.ask(requests(number))
            load.answers.append((start, time.perf_counter() - began, answer))
            idle.append(connection)
        except (OSError, asyncio.IncompleteReadError):
            load.lost += 1

    tasks = []
    for number in range(int(rate * seconds)):
        await asyncio.sleep(max(0, began + number / rate - time.perf_counter()))  # the rate is what is asked for
        tasks.append(asyncio.create_task(caller(number)))
    await asyncio.gather(*tasks)
    load.seconds = time.perf_counter() - began
    for connection in opened:
        connection.hang_up()
    return load


async def pings(port: int, sent: bytes, total: int, pause: float) -> list[float]:
    """Seconds of each of `total` requests on one connection, `pause` seconds apart."""
    connection = await Connection.open(port)
    found = []
    try:
        for _ in range(total):
            await asyncio.sleep(pause)  # so that it is the server's state that is seen, not that of the pings
            began = time.perf_counter()
            await connection.ask(sent)
            found.append(time.perf_counter() - began)
    finally:
        connection.hang_up()
    return found


async def abandoned(port: int, requests: Requests, callers: int, seconds: float) -> None:
    """`callers` requests at once, all of whom leave after `seconds` without an answer."""
    connections: Sequence[Connection] = [await Connection.open(port) for _ in range(callers)]
    for number, connection in enumerate(connections):
        connection.send(requests(number))
    with suppress(asyncio.CancelledError):
        await asyncio.sleep(seconds)  # how long they have patience
    for connection in connections:
        connection.hang_up()
