"""The sides as processes, and what is sent to them.

The side that is measured has the first core; the stub runtime and the callers share the other one.
"""

import random
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from PIL import Image

from bench.machine import cores
from bench.processes import Running, free_port, running, server
from bench.table import NotMeasured
from bench.tiny import PROMPT
from bench.wire import HOST, request
from easel_crds.metadata import Env
from support.directory import MODEL_ID
from support.pictures import encoded, form

_HERE: Final = (sys.executable, "-m")
ENDPOINTS: Final = 16
"""Names under which the gateway knows the one stub, so that it is not the places at a runtime that are measured."""
_MEMORY: Final = Path("/dev/shm")  # noqa: S108 (a fresh folder in it)
SMALL: Final = 26
ONE_MB: Final = 592
TEN_MB: Final = 1826
"""Sides in pixels of pictures that are so large as BMP: 2 kB, 1 MB, 10 MB."""


@dataclass(frozen=True)
class Stage:
    """How much to do."""

    quick: bool = False
    """A tenth of it: to see that everything runs."""

    def rounds(self, number: int) -> int:
        """How many rounds, or seconds, where `number` are meant."""
        return max(1, number // 10) if self.quick else number


@dataclass(frozen=True)
class Gateway:
    """A gateway, and the line to its directory."""

    running: Running

    @property
    def port(self) -> int:
        """Where it listens."""
        return self.running.port

    def say(self, line: str) -> float:
        """Tell its directory something (see `bench.gateway.served`); the time when it held."""
        process = self.running.process
        if process.stdin is None or process.stdout is None:
            raise TypeError("the gateway is spoken to by pipes")
        process.stdin.write(f"{line}\n")
        process.stdin.flush()
        if not (answer := process.stdout.readline()):
            raise NotMeasured(f"the gateway ended: {self.running.said()}")
        return float(answer)


@contextmanager
def stub() -> Iterator[Running]:
    """The runtime, on the callers' core."""
    with server([*_HERE, "bench.gateway.stub"], {}, "/readyz") as started:
        started.use(cores().measuring)
        yield started


@contextmanager
def echo() -> Iterator[Running]:
    """What reads a body and answers with a few bytes."""
    with server([*_HERE, "bench.raw_server"], {}, "/") as started:
        yield started


@contextmanager
def proxy(to: Running) -> Iterator[Running]:
    """The plain proxy."""
    with server([*_HERE, "bench.gateway.proxy", _url(to)], {}, "/readyz") as started:
        yield started


@contextmanager
def gateway(to: Running) -> Iterator[Gateway]:
    """The gateway, which knows `ENDPOINTS` endpoints of its model; results in memory, the ledger on disk.

    ext4 spares the inodes of files that were deleted within minutes, and looks through all of them for each new file:
    after some rounds of small results that took a third of the gateway's time, and more with every round.
    """
    port = free_port()
    in_memory = str(_MEMORY) if _MEMORY.is_dir() else None
    with (
        tempfile.TemporaryDirectory(prefix="easel-bench-", dir=in_memory) as results,
        tempfile.TemporaryDirectory(prefix="easel-bench-") as ledger,
    ):
        command = [*_HERE, "bench.gateway.served", _url(to), str(Path(results) / "results"), f"{ledger}/ledger.db"]
        environment: dict[str, str] = {Env.PORT: str(port), Env.HOST: HOST}
        with running(command, environment, port, subprocess.PIPE) as started:
            started.answers("/readyz")
            told = Gateway(started)
            told.say(f"up {ENDPOINTS}")
            yield told


def upload(side: int) -> bytes:
    """A request as curl sends it, with a picture of `side` x `side` pixels of noise as BMP."""
    noise = random.Random(side).randbytes(3 * side * side)  # noqa: S311 (always the same)
    picture = encoded(Image.frombytes("RGB", (side, side), noise), "BMP")
    kind, body = form({"model_id": MODEL_ID, "prompt": PROMPT}, picture)
    return request("/image-to-image", body, {"Content-Type": kind, "Accept": "*/*"})


def _url(side: Running) -> str:
    return f"http://{HOST}:{side.port}"
