"""Images a second, and what a server does for others meanwhile: C3, C4."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Final

from bench.load import Requests, closed, closed_for, pings
from bench.machine import ROOT, cores, everywhere, pin
from bench.measure import Timed, interleaved, median, percentile, ratios, spread
from bench.processes import Running, running, runtime, server
from bench.table import Finding, NotMeasured, at_least, at_most, milliseconds, per_second
from bench.tiny import MODEL, SIDE, STEPS, Stage, uploads
from bench.wire import request

_QUEUE: Final = 64
"""Room for every caller of a goal that is not about room."""
_IMAGES: Final = 12
"""Of one turn, about a second."""
_ROUNDS: Final = 30
_CALLERS: Final = {1: 0.96, 4: 0.98, 8: 0.98}
"""Goal by number of callers."""
_PINGS: Final = 100
_PING_PAUSE: Final = 0.01
_PING_ROUNDS: Final = 6
_HEALTH: Final = request("/health")


@contextmanager
def litserve(stage: Stage) -> Iterator[Running]:
    """LitServe with the pipeline of `MODEL`, ready for work."""
    python = ROOT / ".venv-bench" / "bin" / "python"
    script = ROOT / "tests" / "bench" / "litserve_server.py"
    # -P: or else the modules of this folder would be in the way of others by their names.
    command = [str(python), "-P", str(script), str(stage.snapshot(MODEL)), "{port}"]
    with server(command, {}, "/health") as started:
        yield started


def throughput(stage: Stage) -> list[Finding]:
    """Images a second of the server, over those of the bare loop.

    The bare loop calls the same pipeline in a process of its own, picture in and picture out, without files. The
    server and LitServe get PNG and answer PNG to 1, 4 and 8 callers, each of whom asks again when answered. The three
    take turns of 12 images, torch on one thread, and are stopped (SIGSTOP) while it is not their turn. Everybody has
    both cores: as where a model has a GPU, there is room beside it. 30 rounds after 1; medians of the ratios and rates.
    """
    with ExitStack() as held:
        ours = held.enter_context(runtime(MODEL, stage.cache, EASEL_QUEUE=_QUEUE))
        loop = held.enter_context(bare(MODEL, stage.cache, SIDE, num_inference_steps=STEPS))
        peer = held.enter_context(litserve(stage))
        try:
            pin(everywhere())
            for side in (ours, loop, peer):
                side.use(everywhere())
            return _throughput(stage, (ours, loop, peer))
        finally:
            pin(cores().measuring)


def _throughput(stage: Stage, sides: tuple[Running, Running, Running]) -> list[Finding]:
    ours, loop, peer = sides
    findings: list[Finding] = []
    for callers, goal in _CALLERS.items():
        turns: dict[str, Timed] = {
            "server": partial(turn, ours, sides, uploads(), callers, _IMAGES),
            "bare": partial(bare_turn, loop, sides, _IMAGES),
            "LitServe": partial(turn, peer, sides, uploads(path="/predict"), callers, _IMAGES),
        }
        found = interleaved(turns, stage.rounds(_ROUNDS), 1)
        rates = {name: per_second(_IMAGES / median(seconds)) for name, seconds in found.items()}
        who = "1 caller" if callers == 1 else f"{callers} callers"
        for name, wanted in (("server", at_least(goal)), ("LitServe", None)):
            what = f"images, {who}: {name} / bare loop"
            shares = ratios(found["bare"], found[name])
            findings.append(Finding("C4", what, rates[name], rates["bare"], median(shares), wanted, spread(shares)))
    return findings


def health(stage: Stage) -> list[Finding]:
    """p99 of GET /health while 8 callers have images made, over that of the idle server.

    The server has one core, the model included; the callers and the pings have the other. 600 pings on a connection
    that is kept, 10 ms apart, idle and busy in turns of 100. LitServe's /health besides.
    """
    findings = []
    for name, start, path in (
        ("server", partial(runtime, MODEL, stage.cache, EASEL_QUEUE=_QUEUE), "/image-to-image"),
        ("LitServe", partial(litserve, stage), "/predict"),
    ):
        with start() as side:
            found: dict[str, list[float]] = {"idle": [], "busy": []}
            for _ in range(stage.rounds(_PING_ROUNDS)):
                found["idle"] += asyncio.run(pings(side.port, _HEALTH, _PINGS, _PING_PAUSE))
                found["busy"] += asyncio.run(_busy_pings(side.port, path))
        idle, busy = (percentile(found[state], 0.99) for state in ("idle", "busy"))
        ours = name == "server"
        what = f"{name}: p99 of /health, 8 images in work / idle"
        findings.append(
            Finding(
                "C3", what, milliseconds(busy), f"idle {milliseconds(idle)}", busy / idle, at_most(3) if ours else None
            )
        )
        if ours:
            findings.append(
                Finding(
                    "C3",
                    "the same in ms",
                    milliseconds(busy),
                    f"median {milliseconds(median(found['busy']))}",
                    busy * 1000,
                    at_most(50),
                )
            )
    return findings


async def _busy_pings(port: int, path: str) -> list[float]:
    expected = _PINGS * _PING_PAUSE * 2
    callers = asyncio.create_task(closed_for(port, uploads(path=path), 8, expected))
    await asyncio.sleep(_PING_PAUSE * 10)  # until all eight are in work or wait
    found = await pings(port, _HEALTH, _PINGS, _PING_PAUSE)
    callers.cancel()
    await asyncio.gather(callers, return_exceptions=True)
    return found


@contextmanager
def bare(model_id: str, cache: Path, side: int, **keywords: object) -> Iterator[Running]:
    """The bare loop, ready: pictures of `side` pixels, and what else the pipeline is told."""
    command = [sys.executable, "-m", "bench.bare", model_id, str(cache), str(side), json.dumps(keywords)]
    with running(command, stdin=subprocess.PIPE) as started:
        say(started, 1)
        yield started


def say(loop: Running, calls: int, rows: int = 1) -> float:
    """Seconds that the bare loop takes for so many calls of so many images each."""
    process = loop.process
    if process.stdin is None or process.stdout is None:
        raise TypeError("the bare loop is spoken to by pipes")
    process.stdin.write(f"{calls} {rows}\n")
    process.stdin.flush()
    if not (line := process.stdout.readline()):
        raise NotMeasured(f"the bare loop ended: {loop.said()}")
    return float(line)


def turn(side: Running, sides: Sequence[Running], requests: Requests, callers: int, images: int) -> float:
    """Seconds of so many images, while the other sides are stopped."""
    with _alone(side, sides):
        load = asyncio.run(closed(side.port, requests, callers, images))
    if load.statuses[200] != images:
        raise NotMeasured(f"answers that are no images: {images} wanted, {dict(load.statuses)}")
    return load.seconds


def bare_turn(loop: Running, sides: Sequence[Running], images: int) -> float:
    """The same of the bare loop."""
    with _alone(loop, sides):
        return say(loop, images)


@contextmanager
def _alone(side: Running, sides: Sequence[Running]) -> Iterator[None]:
    with ExitStack() as held:
        for other in sides:
            if other is not side:
                held.enter_context(other.paused())
        yield
