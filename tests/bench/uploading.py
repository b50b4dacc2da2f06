"""What reading a form costs: C1."""

import asyncio
import io
import sys
from functools import partial
from typing import Final

from bench.measure import Timed, interleaved, median, timed
from bench.processes import runtime_environment, server
from bench.table import Finding, NotMeasured, at_most, milliseconds
from bench.tiny import PROMPT, Stage, noisy
from bench.wire import Connection, request
from easel_runtime.images import decode
from support.pictures import encoded, form

_ROUNDS: Final = 60
_SIDES: Final = {"1 MB": 592, "8 MB": 1672}
"""Of pictures that are so large as BMP, which is decoded fast."""
_PIXELS: Final = 1 << 24


def upload(stage: Stage) -> list[Finding]:
    """Time of a request to a runtime whose model takes none, less that of decoding its picture, over raw reading.

    The runtime's model gives back 8 x 8 pixels at once. The raw side is an ASGI application behind the same uvicorn
    that reads a body of the same bytes and answers with a few. BMP in a form, 60 rounds after 5, kept connections.
    """
    here = [sys.executable, "-m"]
    environment = runtime_environment("easel/stub", stage.cache, EASEL_WARM_UP_SIDE=0)
    findings = []
    with (
        server([*here, "bench.stub_runtime"], environment, "/readyz") as ours,
        server([*here, "bench.raw_server"], {}, "/") as raw,
        asyncio.Runner() as runner,
    ):
        for name, side in _SIDES.items():
            file = encoded(noisy(side), "BMP")
            kind, body = form({"prompt": PROMPT}, file)
            sent = request("/image-to-image", body, {"Content-Type": kind, "Accept": "image/png"})
            connections = [runner.run(Connection.open(port)) for port in (ours.port, raw.port)]
            sides: dict[str, Timed] = {
                name: timed(partial(_ask, runner, connection, sent))
                for name, connection in zip(("ours", "raw"), connections, strict=True)
            }
            sides["decoding"] = timed(partial(_decode, file))
            found = interleaved(sides, stage.rounds(_ROUNDS), 5)
            for connection in connections:
                connection.hang_up()
            net = [one - other for one, other in zip(found["ours"], found["decoding"], strict=True)]
            findings.append(
                Finding(
                    "C1",
                    f"{name} as a form, less decoding: runtime / raw server",
                    milliseconds(median(net)),
                    milliseconds(median(found["raw"])),
                    median(net) / median(found["raw"]),
                    at_most(3),
                )
            )
    return findings


def _decode(file: bytes) -> None:
    decode(io.BytesIO(file), _PIXELS)


def _ask(runner: asyncio.Runner, connection: Connection, sent: bytes) -> None:
    answer = runner.run(connection.ask(sent))
    if answer.status != 200:
        raise NotMeasured(f"{answer.status}: {answer.body[:200]!r}")
