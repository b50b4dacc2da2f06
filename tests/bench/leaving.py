"""Callers who leave: C12."""

import asyncio
import json
import re
import time
from typing import Final

from bench.load import abandoned, closed
from bench.measure import median
from bench.processes import Running, runtime
from bench.serving import litserve
from bench.table import Finding, NotMeasured, at_most, milliseconds, number
from bench.tiny import MODEL, Stage, uploads
from bench.wire import Connection, ask, request

_ROUNDS: Final = 30
_SIDE: Final = 192
_STEPS: Final = 200
_STAYS: Final = 5
"""Steps that a caller sees before leaving."""
_STEP: Final = re.compile(rb'"step":\s*(\d+)')
_STEP_SECONDS: Final = re.compile(rb"^easel_runtime_step_seconds_(sum|count) (\S+)$", re.MULTILINE)
_BURST: Final = 40
_PATIENCE: Final = 0.5
_BURSTS: Final = 10


def stopping(stage: Stage) -> list[Finding]:
    """Steps that begin after the caller has left, and the time until a new caller is served after a burst of such.

    A caller follows an image of 200 steps by its events and leaves after the fifth. Steps are counted by the runtime's
    `easel_runtime_step_seconds_count`; 30 times; the worst counts. Besides, from leaving to `in_flight` 0, in steps.
    Burst: 40 callers at once, all of whom leave after half a second, and then a new one, whose time is compared with
    that of a single image; 10 bursts, the worst counts; for LitServe, 2.
    """
    with runtime(MODEL, stage.cache, EASEL_QUEUE=2 * _BURST) as ours:
        left = [asyncio.run(_leave(ours.port)) for _ in range(stage.rounds(_ROUNDS))]
        single, worst = _after_bursts(ours, "/image-to-image", stage.rounds(_BURSTS))
    with litserve(stage) as other:
        peer_single, peer_worst = _after_bursts(other, "/predict", stage.rounds(2))
    begun = max(steps for steps, _, _ in left)
    step = median([seconds for _, _, seconds in left])
    freed = max(seconds for _, seconds, _ in left)
    return [
        Finding(
            "C12",
            f"steps begun after the caller left, most of {len(left)}",
            number(begun),
            f"of {_STEPS}",
            begun,
            at_most(1),
        ),
        Finding(
            "C12", "until the place is free, longest, in steps", milliseconds(freed), milliseconds(step), freed / step
        ),
        Finding(
            "C12",
            f"server: next caller after {_BURST} who left / single image",
            milliseconds(worst),
            milliseconds(single),
            worst / single,
            at_most(2),
        ),
        Finding(
            "C12",
            f"LitServe: next caller after {_BURST} who left / single image",
            milliseconds(peer_worst),
            milliseconds(peer_single),
            peer_worst / peer_single,
        ),
    ]


async def _leave(port: int) -> tuple[int, float, float]:
    """Steps that began after the caller left, seconds until its place was free, and seconds of a step."""
    before = await _steps(port)
    connection = await Connection.open(port)
    connection.send(uploads(_SIDE, accept="text/event-stream", num_inference_steps=_STEPS)(0))
    await connection.read_head()
    seen = 0
    while seen < _STAYS:
        for found in _STEP.findall(await connection.read_chunk()):
            seen = int(found)
    connection.hang_up()
    began = time.perf_counter()
    while json.loads((await ask(port, request("/health"))).body)["in_flight"]:  # noqa: ASYNC110
        await asyncio.sleep(0.001)  # nothing tells when a place is free again
    freed = time.perf_counter() - began
    after = await _steps(port)
    noted = after["count"] - before["count"]
    # The first step of an image is not among those that are noted.
    return int(noted) + 1 - seen, freed, (after["sum"] - before["sum"]) / noted


async def _steps(port: int) -> dict[str, float]:
    text = (await ask(port, request("/metrics"))).body
    return {kind.decode(): float(value) for kind, value in _STEP_SECONDS.findall(text)}


def _after_bursts(side: Running, path: str, bursts: int) -> tuple[float, float]:
    """Seconds of a single image, and of the next caller after a burst, the longest."""
    requests = uploads(path=path)
    asyncio.run(closed(side.port, requests, 1, 3))
    single = median(asyncio.run(closed(side.port, requests, 1, 30)).latencies(200))
    return single, max(asyncio.run(_next_caller(side.port, path)) for _ in range(bursts))


async def _next_caller(port: int, path: str) -> float:
    requests = uploads(path=path)
    await abandoned(port, requests, _BURST, _PATIENCE)
    began = time.perf_counter()
    answer = await ask(port, requests(_BURST))
    if answer.status != 200:
        raise NotMeasured(f"the next caller got {answer.status}")
    return time.perf_counter() - began
