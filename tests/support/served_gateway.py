"""`python -m support.served_gateway`: the gateway as a process, the models and endpoints in a file of JSON.

Settings as those of `python -m easel_gateway` (`EASEL_GATEWAY_...`); `EASEL_TEST_LISTEN_FD` is an inherited listening
socket and `EASEL_TEST_DIRECTORY` the file, which is read again whenever another one takes its place.
"""

import asyncio
import json
import logging
import os
import socket
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from easel_crds.demand import Demand
from easel_gateway.app import create_app
from easel_gateway.directory import Endpoint, Entry
from easel_gateway.ledger.sql import opened
from easel_gateway.results.folder import FolderStore
from easel_gateway.server import allow_many_connections, new_server, run, until_told_to_stop
from easel_gateway.settings import ServerSettings
from support.builders import image_model

LISTEN_FD: Final = "EASEL_TEST_LISTEN_FD"
DIRECTORY: Final = "EASEL_TEST_DIRECTORY"
_LOOK_SECONDS: Final = 0.02


class FileDirectory:
    """An `easel_gateway.directory.Directory` that says what a file says, and forgets what it is told."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._listeners: list[Callable[[], None]] = []
        self._entries: Mapping[str, Entry] = {}
        self._seen: tuple[int, int] | None = None
        self.look()

    def entries(self) -> Mapping[str, Entry]:
        return self._entries

    def report(self, model_id: str, demand: Demand) -> None:
        """Nobody here starts runtimes."""

    def on_change(self, listener: Callable[[], None]) -> None:
        self._listeners.append(listener)

    async def follow(self) -> None:
        """Look at the file for ever: a file tells nobody that it has changed."""
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            self.look()

    def look(self) -> None:
        """Read the file if it is another one than before."""
        state = self._file.stat()
        if self._seen == (state.st_ino, state.st_mtime_ns):
            return
        self._seen = (state.st_ino, state.st_mtime_ns)
        entries = map(_entry, json.loads(self._file.read_text()))
        self._entries = {entry.model.spec.model_id: entry for entry in entries}
        for listener in self._listeners:
            listener()


def _entry(said: Mapping[str, object]) -> Entry:
    """The entry of `GatewayProcess.declare`'s JSON."""
    assert isinstance(said["spec"], dict)
    assert isinstance(said["endpoints"], dict)
    endpoints = tuple(Endpoint(name, url) for name, url in said["endpoints"].items())
    return Entry(image_model(str(said["name"]), **said["spec"]), endpoints, starting=not endpoints)


async def _serve(settings: ServerSettings, directory: FileDirectory, listening: socket.socket) -> None:
    results = FolderStore(Path(settings.results), settings.result_seconds)
    results.prepare()
    async with opened(settings, f"sqlite:///{Path(settings.results).parent / 'ledger.db'}") as ledger:
        gateway = create_app(settings, directory, results, ledger)
        server = new_server(gateway, settings, settings.drain_seconds)
        serving = asyncio.create_task(server.serve(sockets=[listening]))
        following = asyncio.create_task(directory.follow())
        try:
            await until_told_to_stop({serving, following})
        finally:
            gateway.state.waiting.close()
            server.should_exit = True
            await asyncio.wait({serving})
            following.cancel()


def main() -> None:
    """Serve until SIGTERM."""
    settings = ServerSettings()
    logging.basicConfig(
        level=settings.log_level.upper(), format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr
    )
    allow_many_connections()
    with socket.socket(fileno=int(os.environ[LISTEN_FD])) as listening:
        run(_serve(settings, FileDirectory(Path(os.environ[DIRECTORY])), listening))


if __name__ == "__main__":
    main()
