"""From the start of the process to the open port: C10."""

import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from bench.measure import interleaved, median, ratio
from bench.processes import Running, free_port, running, runtime_environment
from bench.table import Finding, at_most, milliseconds
from bench.tiny import MODEL, Stage
from bench.wire import HOST
from easel_crds.metadata import Env

_ROUNDS: Final = 15
_BARE: Final = ("-m", "bench.bare_fastapi")
_OURS: Final = ("-m", "easel_runtime")


def listening(stage: Stage) -> list[Finding]:
    """Time from the start of the process until its port accepts, over that of a bare FastAPI application with uvicorn.

    The runtime has a model to load, which it does after that. 15 rounds after 1, each process on the measured core, the
    port tried every half a millisecond from the other. Besides, until GET /health is answered.
    """
    findings = []
    for what, until, goal in (
        ("port accepts", Running.accepts, at_most(1.5)),
        ("GET /health answers", partial(Running.answers, path="/health"), None),
    ):
        sides = {name: partial(_start, stage, command, until) for name, command in (("ours", _OURS), ("bare", _BARE))}
        found = interleaved(sides, stage.rounds(_ROUNDS), 1)
        ours, bare = (milliseconds(median(found[name])) for name in ("ours", "bare"))
        findings.append(
            Finding("C10", f"{what}: runtime / bare FastAPI", ours, bare, ratio(found["ours"], found["bare"]), goal)
        )
    return findings


def _start(stage: Stage, command: Sequence[str], until: Callable[[Running], None]) -> float:
    port = free_port()
    environment = {**runtime_environment(MODEL, stage.cache), Env.PORT: str(port), Env.HOST: HOST}
    began = time.perf_counter()
    with running([sys.executable, *command], environment, port) as started:
        until(started)
        return time.perf_counter() - began
