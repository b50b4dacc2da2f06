"""`easel up`: manifests, supervisor, gateway and terminal, tied together for one run."""

import asyncio
import logging
import os
import socket
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import uvicorn
from rich.console import Console
from watchfiles import awatch

from easel_gateway.app import create_app
from easel_gateway.keys import KeyRing
from easel_gateway.ledger import Ledger, LedgerError
from easel_gateway.ledger.sql import opened
from easel_gateway.results import ResultStore
from easel_gateway.results.opening import open_store
from easel_gateway.server import allow_many_connections, listen, new_server, on_signals, until_told_to_stop
from easel_gateway.settings import Settings
from easel_local import documents, manifests, view
from easel_local.documents import Finding
from easel_local.manifests import Manifests
from easel_local.supervisor import Supervisor

_log = logging.getLogger(__name__)
_DRAIN_SECONDS: Final = 30
"""Time for requests in work to end after the first Ctrl-C; the second one does not wait."""
_REREAD_MILLISECONDS: Final = 2000
"""Files are read again this often even if no change was seen: not every file system tells."""


@dataclass(frozen=True)
class Options:
    """What the command line says."""

    files: tuple[Path, ...]
    host: str
    port: int
    results: str
    """Folder, or s3://bucket/prefix."""
    data: Path
    """Folder for what is kept for good."""
    settings: Settings


class NothingToServe(Exception):
    """The files hold no valid ImageModel, or the address cannot be had."""


async def up(options: Options, console: Console) -> None:
    """Serve the models in the files until a signal (SIGINT, SIGTERM, SIGHUP).

    Raises:
        NothingToServe: there is nothing to serve, or no address to serve it on.
    """
    seen = documents.signature(options.files)
    found, findings = manifests.merged(Manifests(), documents.read(options.files))
    _tell(findings)
    if not found.models:
        raise NothingToServe("there is no valid ImageModel in the files")
    allow_many_connections()
    try:
        results = await open_store(options.results, options.settings)
    except OSError as error:
        why = error.strerror or str(error)
        raise NothingToServe(f"results cannot be kept in {options.results}: {why}; see --results") from error
    try:
        async with opened(options.settings, f"sqlite:///{options.data / 'ledger.db'}") as ledger:
            await _serve(options, console, (found, seen), results, ledger)
    except LedgerError as error:
        raise NothingToServe(str(error)) from error


async def _serve(
    options: Options,
    console: Console,
    read: tuple[Manifests, documents.Signature],
    results: ResultStore,
    ledger: Ledger,
) -> None:
    found, seen = read
    with _listen(options) as listening, tempfile.TemporaryDirectory(prefix="easel-") as folder:
        supervisor = Supervisor(Path(folder))
        supervisor.declare(found)
        keys = KeyRing(key for _, key in found.keys)
        gateway = create_app(options.settings, supervisor, results, ledger, keys)
        server = new_server(gateway, options.settings, _DRAIN_SECONDS)
        gateway.state.metrics.follow_server(lambda: server.connections, server.entrance.refused)
        serving = asyncio.create_task(server.serve(sockets=[listening]), name="gateway")
        reconciling = asyncio.create_task(supervisor.run(), name="supervisor")
        watching = asyncio.create_task(_reread(found, seen, options.files, supervisor, keys), name="files")
        showing = asyncio.create_task(view.show(supervisor, console), name="view")
        try:
            _say_how_to_call(found, options, listening.getsockname()[1], console)
            await until_told_to_stop({serving, reconciling, watching, showing})
        finally:
            _log.info("stopping; once more to stop at once")
            on_signals(lambda: _hurry(server, reconciling, supervisor))
            await _ended(watching, showing)
            # First the callers, then the processes that work for them.
            gateway.state.waiting.close()
            server.leave()
            server.should_exit = True
            await asyncio.wait({serving})
            await _ended(reconciling)
            await supervisor.stop()


def _listen(options: Options) -> socket.socket:
    try:
        return listen(options.host, options.port)
    except OSError as error:
        why = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror
        raise NothingToServe(
            f"cannot listen on {options.host}:{options.port}: {why}; choose another with --port or --host"
        ) from error


def _hurry(server: uvicorn.Server, reconciling: asyncio.Task[None], supervisor: Supervisor) -> None:
    server.force_exit = True
    reconciling.cancel()  # or it would replace what is killed
    supervisor.kill()


async def _ended(*tasks: asyncio.Task[None]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _tell(findings: Iterable[Finding]) -> None:
    """Each problem on a line of its own, in the form that editors can jump to."""
    for finding in findings:
        _log.error("%s", finding)


async def _reread(
    in_force: Manifests, seen: documents.Signature, paths: tuple[Path, ...], supervisor: Supervisor, keys: KeyRing
) -> None:
    """Put every change of the files since `seen` in force, and tell what is wrong with them after each."""
    # Folders are watched, because editors replace files instead of writing to them.
    folders = {path if path.is_dir() else path.resolve().parent for path in paths}
    async for changes in awatch(*folders, recursive=False, rust_timeout=_REREAD_MILLISECONDS, yield_on_timeout=True):
        now = documents.signature(paths)
        if not changes and now == seen:
            continue
        seen = now
        result, findings = manifests.merged(in_force, await asyncio.to_thread(documents.read, paths))
        _tell(findings)
        if result != in_force:
            _log.info("the files have changed")
            supervisor.declare(result)
            keys.replace(key for _, key in result.keys)
            in_force = result


def _say_how_to_call(found: Manifests, options: Options, port: int, console: Console) -> None:
    model = next(iter(found.models.values()))
    beside = (picture for file in documents.files(options.files) for picture in sorted(file.parent.glob("*.png")))
    picture = next(beside, Path("picture.png"))
    host = f"[{options.host}]" if ":" in options.host else options.host
    url = options.settings.public_url or f"http://{host}:{port}"
    console.print(f"\nEasel serves on {url} (API: {url}/docs). Try:\n", highlight=False, soft_wrap=True)
    console.print(
        f"  curl {url}/image-to-image -F model_id={model.spec.model_id} -F image=@{picture}"
        ' -F prompt="make it night"\n',
        highlight=False,
        markup=False,
        soft_wrap=True,
    )
