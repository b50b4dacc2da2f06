"""What the gateway adds to one request: G1, and to many that come by the clock: G3."""

import asyncio
from collections import Counter
from functools import partial
from typing import Final

import uvloop

from bench.gateway.callers import LOST, Caller, connect, run, scheduled, seconds_of
from bench.gateway.sides import ONE_MB, SMALL, TEN_MB, Stage, echo, gateway, stub, upload
from bench.measure import Timed, interleaved, median, percentile
from bench.table import Finding, at_most, milliseconds

_SIZES: Final = {"1 MB": ONE_MB, "10 MB": TEN_MB}
_ROUNDS: Final = 60
_RATE: Final = 1000
_SECONDS: Final = 20
_CONNECTIONS: Final = 256


def added(stage: Stage) -> list[Finding]:
    """Time of an upload through the gateway, less that of the same upload straight to the runtime, over a raw echo.

    One caller on kept connections, 60 rounds after 5, medians. The echo is an ASGI application behind the same uvicorn
    that reads a body of the same bytes and answers with a few. The upload is a form as curl sends it, with a BMP of
    noise. The whole: time through the gateway over that of the echo, nothing subtracted.
    """
    findings = []
    with (
        stub() as runtime,
        gateway(runtime) as ours,
        echo() as raw,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        ports = {"through": ours.port, "straight": runtime.port, "echo": raw.port}
        for name, side in _SIZES.items():
            sent = upload(side)
            callers = {of: runner.run(connect(port)) for of, port in ports.items()}
            sides: dict[str, Timed] = {of: partial(_once, runner, caller, sent) for of, caller in callers.items()}
            found = {of: median(each) for of, each in interleaved(sides, stage.rounds(_ROUNDS), 5).items()}
            for caller in callers.values():
                caller.hang_up()
            net, whole, least = found["through"] - found["straight"], found["through"], found["echo"]
            for what, ours_, wanted in (("added / echo", net, at_most(3)), ("whole / echo", whole, None)):
                row = (f"{name}: {what}", milliseconds(ours_), milliseconds(least), ours_ / least)
                findings.append(Finding("G1", *row, wanted))
    return findings


def _once(runner: asyncio.Runner, caller: Caller, sent: bytes) -> float:
    return runner.run(asyncio.wait_for(seconds_of(caller, sent), 60))


def statuses(errors: list[int]) -> str:
    """The `errors` of `Arrivals`, the commonest first: 90 x 429, 2 x lost."""
    counted = Counter(errors).most_common()
    return ", ".join(f"{count} x {'lost' if status == LOST else status}" for status, count in counted)


def steady(stage: Stage) -> list[Finding]:
    """1,000 uploads of 2 kB a second for 20 seconds, evenly spaced, whether or not others are answered.

    Latency is from when a request should have been sent to the end of its answer; at most 256 kept connections, and
    who waits for one has it counted. The runtime has 16 endpoints.
    """
    sent = upload(SMALL)
    with stub() as runtime, gateway(runtime) as ours:
        run(scheduled(ours.port, sent, 200, 1, 32))
        found = run(scheduled(ours.port, sent, _RATE, max(2, stage.rounds(_SECONDS)), _CONNECTIONS))
    worst = percentile(found.latencies, 0.99) if found.latencies else float("nan")
    middle = median(found.latencies) if found.latencies else float("nan")
    total = len(found.latencies) + len(found.errors)
    return [
        Finding(
            "G3",
            "p99 in ms at 1,000 a second",
            milliseconds(worst),
            f"median {milliseconds(middle)}",
            worst * 1000,
            at_most(100),
        ),
        Finding("G3", "errors", f"of {total}", statuses(found.errors), len(found.errors), at_most(0)),
    ]
