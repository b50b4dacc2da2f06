"""Callers who are too many, too slow, or gone: nobody else notices, and the books agree."""

import asyncio
import socket
import statistics
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from random import Random
from typing import Final

import httpx2

from support.bookkeeping import Errand, Outcome, differences
from support.form_drafts import Draft, file, text
from support.house import HELD, SECONDS, House
from support.pictures import encoded

MEGABYTE: Final = 1 << 20
TIMES: Final = 4
"""What is asked for in an overload, of what can be done."""
CALM_SECONDS: Final = 4.0
ROOM: Final = 64 * MEGABYTE
"""What the gateway may grow by in an overload, in which it holds few requests, most of each of them on disk."""
SLOW: Final = 50
"""Callers who are slow."""
_TICK: Final = 0.1
"""Seconds between two pieces of what they send or read: 10 bytes a second of a head, 1 kB a second else."""
COUNT: Final = 15
"""Errands that are timed."""
REFUSED: Final = frozenset({429, 503})


async def _for(seconds: float, callers: int, one: Callable[[], Awaitable[object]]) -> None:
    """`one`, over and over, by so many callers, until `seconds` are over."""
    end = time.monotonic() + seconds

    async def caller() -> None:
        while time.monotonic() < end:
            await one()

    await asyncio.gather(*(caller() for _ in range(callers)))


async def _at(rate: float, seconds: float, one: Callable[[], Coroutine[None, None, object]]) -> None:
    """`one`, `rate` times a second for `seconds`, whoever waits; return when all have ended."""
    began = time.monotonic()
    async with asyncio.TaskGroup() as group:
        for number in range(round(rate * seconds)):
            await asyncio.sleep(max(0, began + number / rate - time.monotonic()))  # the rate is what is asked for
            group.create_task(one())


# Too many -----------------------------------------------------------------------------------------------------------


async def _overload(house: House) -> tuple[float, float]:
    """Requests served a second, with few callers and with four times as many as can be served."""
    callers = house.callers

    def errand() -> Errand:
        return callers.errand(size=(256, 256))  # 200 kB, more than the gateway keeps of it in memory

    await callers.run(errand())
    before, began = callers.served, time.monotonic()
    await _for(CALM_SECONDS, HELD // 2, lambda: callers.run(errand()))
    calm = (callers.served - before) / (time.monotonic() - began)
    before, began = callers.served, time.monotonic()
    await _at(TIMES * calm, SECONDS, lambda: callers.run(errand(), persistent=False))
    wild = (callers.served - before) / (time.monotonic() - began)
    await callers.check_images()
    return calm, wild


def test_an_overload_is_refused_and_costs_nobody_else_anything(house: House) -> None:
    memory = house.gateway.peak_memory()
    calm, wild = asyncio.run(_overload(house))
    statuses = Counter(errand.status for errand in house.callers.errands)
    # In a short run, beside other tests, the machine's own pace changes by a fifth; alone, for minutes, it does not.
    assert wild >= (0.9 if SECONDS >= 60 else 0.5) * calm
    assert statuses.keys() <= {200, *REFUSED}
    assert sum(statuses[status] for status in REFUSED) > statuses[200]
    assert house.callers.blunt == []
    assert house.gateway.peak_memory() - memory < ROOM
    assert differences(house.callers.errands, house.rows()) == []


# Gone ---------------------------------------------------------------------------------------------------------------


async def _cutting(house: House, count: int) -> None:
    errands = [house.callers.errand(images=1 + number % 2) for number in range(count)]
    pending = iter(errands)

    async def caller() -> None:
        for errand in pending:
            await house.callers.run(errand, cuts=1 + errand.number % 3)

    await asyncio.gather(*(caller() for _ in range(6)))
    await house.callers.check_images()


def test_who_hangs_up_and_comes_back_is_served_once(house: House) -> None:
    files = len(house.gateway.open_files())
    asyncio.run(_cutting(house, round(8 * SECONDS)))
    assert {errand.outcome for errand in house.callers.errands} == {Outcome.SERVED}
    assert differences(house.callers.errands, house.rows()) == []
    house.runtimes[0].until_idle()
    house.gateway.until_open_files_are(files)
    assert house.gateway.temporary_files() == house.gateway.drafts() == []


# Wrong --------------------------------------------------------------------------------------------------------------


async def _refused(house: House) -> list[Errand]:
    """One errand for a model that there is not, and one with more images than are made."""
    lost, many = house.callers.errand(), house.callers.errand(images=99)
    await house.callers.run(lost, model="easel/nothing")
    await house.callers.run(many)
    await house.callers.run(house.callers.errand())
    return [lost, many]


def test_what_is_refused_is_not_charged(house: House) -> None:
    assert [errand.status for errand in asyncio.run(_refused(house))] == [404, 422]
    assert differences(house.callers.errands, house.rows()) == []
    assert len(house.rows()) == 1


# Slow ---------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Slowness:
    """How somebody is slow: the first `at_once` bytes are sent together, the others `bytes_at_a_time`."""

    sent: bytes
    at_once: int
    bytes_at_a_time: int


def _upload(number: int) -> bytes:
    """A request with a picture of 200 kB: the texts first, so that all is known before it comes, or last."""
    texts = [text("model_id", "easel/demo"), text("prompt", "a cat")]
    image = file("image", encoded(Errand(number).picture.resize((256, 256)), "BMP"))
    return b"".join(Draft([*texts, image] if number % 2 else [image, *texts]).pieces(Random(0)))  # noqa: S311


def _slownesses(path: str) -> list[_Slowness]:
    """Heads that come byte by byte, bodies at 1 kB a second, and readers of an answer who hardly read."""
    found = [_Slowness(_upload(number), 0, 1) for number in range(SLOW // 3)]
    found += [_Slowness(_upload(number), 5000, 100) for number in range(SLOW // 3)]
    get = b"GET " + path.encode() + b" HTTP/1.1\r\nHost: gateway\r\n\r\n"
    return found + [_Slowness(get, len(get), 1)] * (SLOW - len(found))


async def _hang(house: House, slowness: _Slowness, begun: asyncio.Event) -> None:
    """Be slow for ever, or until the gateway has had enough of it."""
    with socket.socket() as connection:
        connection.settimeout(0)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)  # before it connects, or it has no effect
        loop = asyncio.get_running_loop()
        with suppress(ConnectionError):
            await loop.sock_connect(connection, house.gateway.address)
            await loop.sock_sendall(connection, slowness.sent[: slowness.at_once])
            begun.set()
            for at in range(slowness.at_once, len(slowness.sent), slowness.bytes_at_a_time):
                await asyncio.sleep(_TICK)  # which is what they are about
                await loop.sock_sendall(connection, slowness.sent[at : at + slowness.bytes_at_a_time])
            while await loop.sock_recv(connection, 100):  # noqa: ASYNC110
                await asyncio.sleep(_TICK)
        begun.set()


async def _seconds_of(house: House, count: int) -> float:
    """The median of what some errands take, one after the other, each of which leaves the runtime idle."""
    found = []
    for _ in range(count):
        began = time.monotonic()
        await house.callers.run(house.callers.errand())
        found.append(time.monotonic() - began)
        await _until_idle(house)
    return statistics.median(found)


async def _until_idle(house: House) -> None:
    """Return when no request is at the runtime, which is soon: it has been asked by one caller who has his answer."""
    (runtime,) = house.runtimes
    async with httpx2.AsyncClient(base_url=runtime.url, trust_env=False) as client, asyncio.timeout(5):
        while (await client.get("/health")).json()["in_flight"]:  # noqa: ASYNC110 (it tells nobody)
            await asyncio.sleep(_TICK / 10)


async def _beside_slow_ones(house: House) -> tuple[float, float]:
    """Seconds of an errand without and with slow callers beside it."""
    large = house.callers.errand(size=(1024, 1024))
    await house.callers.run(large)
    calm = await _seconds_of(house, COUNT)
    begun = [asyncio.Event() for _ in range(SLOW)]
    hanging = [
        asyncio.create_task(_hang(house, slowness, event))
        for slowness, event in zip(_slownesses(large.paths[0]), begun, strict=True)
    ]
    await asyncio.gather(*(event.wait() for event in begun))
    beside = await _seconds_of(house, COUNT)
    for task in hanging:
        task.cancel()
    await asyncio.gather(*hanging, return_exceptions=True)
    await house.callers.check_images()
    return calm, beside


def test_slow_callers_keep_no_runtime_and_nobody_waiting(house: House) -> None:
    files = len(house.gateway.open_files())
    calm, beside = asyncio.run(_beside_slow_ones(house))
    assert beside <= 2 * calm + 0.1
    assert differences(house.callers.errands, house.rows()) == []
    house.gateway.until_open_files_are(files)
    assert house.gateway.temporary_files() == house.gateway.drafts() == []
