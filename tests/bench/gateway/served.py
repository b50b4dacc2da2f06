"""`python -m bench.gateway.served URL RESULTS LEDGER`: the gateway whose directory is told by lines on standard input.

`up N`: the model has N new endpoints, all at URL. `down`: it has none and starts. `waiting N`: answer once N requests
wait. Each is answered with the time (`time.perf_counter`, one clock for all processes) when it held. The port is in
PORT; the end of the input is the end of it.
"""

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from easel_crds.demand import Demand
from easel_gateway.app import create_app
from easel_gateway.directory import Endpoint, Entry
from easel_gateway.ledger.sql import opened
from easel_gateway.results.folder import FolderStore
from easel_gateway.server import Server, allow_many_connections, listen, new_server, run
from easel_gateway.settings import Settings
from support.builders import image_model


class ToldDirectory:
    """A directory of one model, `easel/demo`."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._model = image_model()
        self._entry = Entry(self._model, starting=True)
        self._generation = 0
        self._listeners: list[Callable[[], None]] = []
        self._waiting = 0
        self._reported = asyncio.Event()

    def entries(self) -> Mapping[str, Entry]:
        return {self._model.spec.model_id: self._entry}

    def report(self, model_id: str, demand: Demand) -> None:  # noqa: ARG002 (there is one model)
        self._waiting = demand.waiting
        self._reported.set()

    def on_change(self, listener: Callable[[], None]) -> None:
        self._listeners.append(listener)

    async def obey(self, line: str) -> float:
        """Do what `line` says; the time when it held."""
        verb, *number = line.split()
        if verb == "waiting":
            while self._waiting != int(number[0]):
                self._reported.clear()
                await self._reported.wait()
            return time.perf_counter()
        self._generation += 1
        count = int(number[0]) if verb == "up" else 0
        endpoints = tuple(Endpoint(f"stub-{self._generation}-{each}", self._url) for each in range(count))
        self._entry = Entry(self._model, endpoints, starting=not endpoints)
        held = time.perf_counter()
        for listener in self._listeners:
            listener()
        return held


@asynccontextmanager
async def built(directory: ToldDirectory, folder: Path, ledger_file: Path) -> AsyncIterator[Server]:
    """The server of the gateway; what else the gateway needs to be what users run belongs here."""
    settings = Settings()
    results = FolderStore(folder, settings.result_seconds)
    results.prepare()
    async with opened(settings, f"sqlite:///{ledger_file}") as ledger:
        yield new_server(create_app(settings, directory, results, ledger), settings, drain_seconds=1)


async def main(url: str, folder: Path, ledger_file: Path) -> None:
    """Serve until standard input ends."""
    directory = ToldDirectory(url)
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    async with built(directory, folder, ledger_file) as server:
        with listen(os.environ["HOST"], int(os.environ["PORT"])) as listening:
            serving = asyncio.create_task(server.serve(sockets=[listening]))
            while line := await lines.readline():
                held = await directory.obey(line.decode())
                sys.stdout.write(f"{held}\n")
                sys.stdout.flush()
            server.should_exit = True
            await serving


if __name__ == "__main__":
    allow_many_connections()
    run(main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])))
