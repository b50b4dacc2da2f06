"""Requests that are held for a model that starts: their memory, G4, and the moment when it is there, G5."""

import asyncio
import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from bench.gateway.callers import Caller, connect, run, seconds_of
from bench.gateway.sides import ENDPOINTS, SMALL, TEN_MB, Gateway, Stage, gateway, stub, upload
from bench.measure import median, percentile
from bench.table import Finding, NotMeasured, at_least, at_most, milliseconds, number

_HELD: Final = 64
_SETTLE_SECONDS: Final = 10.0
_WAKE_UPS: Final = 100
_STATUS: Final = re.compile(r"^(VmRSS|VmHWM):\s+(\d+) kB$", re.MULTILINE)
_MB: Final = 1e6


def memory(stage: Stage) -> list[Finding]:
    """Peak of the gateway's resident memory while 64 uploads of 10 MB come and wait for a model that starts.

    Less what was resident before they came, when 16 such uploads had been served. Files are not memory; the system's
    copies of them are nobody's. Then the model is there, and all 64 must be answered with 200.
    """
    with stub() as runtime, gateway(runtime) as ours:
        before, after, peak, answered = run(_hold(ours, upload(TEN_MB), 16, _HELD))
    what = f"{_HELD} held uploads of 10 MB"
    grown = (peak - before) / _MB
    return [
        Finding(
            "G4",
            f"{what}: MB added at most",
            f"{number(grown)} MB",
            f"then {number((after - before) / _MB)} MB",
            grown,
            at_most(100),
        ),
        Finding("G4", f"{what}: answered", f"{answered}", f"of {_HELD}", answered, at_least(_HELD)),
    ]


async def _hold(ours: Gateway, sent: bytes, before_that: int, held: int) -> tuple[int, int, int, int]:
    """Bytes resident before, after and at most, and how many were answered."""
    caller = await connect(ours.port)
    for _ in range(before_that):
        await seconds_of(caller, sent)
    caller.hang_up()
    ours.say("down")
    process = Path("/proc") / str(ours.running.process.pid)
    before = resident(process / "status")["VmRSS"]
    (process / "clear_refs").write_text("5")  # the peak counts from here (proc(5))
    callers = [await connect(ours.port) for _ in range(held)]
    waiting = [asyncio.create_task(_status(caller, sent)) for caller in callers]
    await asyncio.to_thread(ours.say, f"waiting {held}")
    await _taken(callers)
    found = resident(process / "status")
    await asyncio.to_thread(ours.say, f"up {ENDPOINTS}")
    statuses = await asyncio.gather(*waiting)
    for caller in callers:
        caller.hang_up()
    return before, found["VmRSS"], found["VmHWM"], statuses.count(200)


async def _status(caller: Caller, sent: bytes) -> int:
    done: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    caller.on_answer = lambda _, status: done.set_result(status)
    caller.ask(sent)
    return await done


async def _taken(callers: Sequence[Caller]) -> None:
    """Return once all bytes are sent, or are not taken for now."""
    deadline = time.perf_counter() + _SETTLE_SECONDS
    while sum(caller.unsent for caller in callers) and time.perf_counter() < deadline:  # noqa: ASYNC110 (nobody tells)
        await asyncio.sleep(0.05)


def resident(status: Path) -> dict[str, int]:
    """VmRSS and VmHWM (its peak) of a /proc/PID/status, in bytes."""
    return {name: int(kilobytes) * 1024 for name, kilobytes in _STATUS.findall(status.read_text())}


def waking(stage: Stage) -> list[Finding]:
    """From the moment when the directory has an endpoint to the first byte of the answer at the caller who was held.

    Less what the stub runtime itself takes for such a request (the median of 100). An upload of 2 kB is held by a
    gateway whose model starts; then the model is there. 100 times, each with an endpoint of a new name.
    """
    with stub() as runtime, gateway(runtime) as ours:
        straight = run(_straight(runtime.port, upload(SMALL)))
        found = [each - straight for each in run(_wake(ours, upload(SMALL), stage.rounds(_WAKE_UPS)))]
    worst = percentile(found, 0.95)
    what = "wake-up, p95 in ms"
    theirs = f"median {milliseconds(median(found))}"
    return [Finding("G5", what, milliseconds(worst), theirs, worst * 1000, at_most(100))]


async def _straight(port: int, sent: bytes) -> float:
    caller = await connect(port)
    found = [await seconds_of(caller, sent) for _ in range(100)]
    caller.hang_up()
    return median(found)


async def _wake(ours: Gateway, sent: bytes, times: int) -> list[float]:
    caller = await connect(ours.port)
    await seconds_of(caller, sent)
    found = []
    for _ in range(times):
        ours.say("down")
        waiting = asyncio.create_task(_status(caller, sent))
        await asyncio.to_thread(ours.say, "waiting 1")
        there = await asyncio.to_thread(ours.say, "up 1")
        if (status := await waiting) != 200:
            raise NotMeasured(f"the held request was answered {status}")
        found.append(caller.first_byte - there)
    caller.hang_up()
    return found
