"""`easel up`: manifests, supervisor, gateway and terminal, tied together for one run."""

import asyncio
import logging
import signal
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import uvicorn
from rich.console import Console
from watchfiles import awatch

from easel_gateway.app import create_app
from easel_gateway.results.folder import FolderStore
from easel_gateway.settings import Settings
from easel_local import manifests, view
from easel_local.manifests import Finding, Manifests
from easel_local.supervisor import Supervisor

_log = logging.getLogger(__name__)
_DRAIN_SECONDS: Final = 30
"""Time for requests in work to end after the first Ctrl-C; the second one does not wait."""


@dataclass(frozen=True)
class Options:
    """What the command line says."""

    files: tuple[Path, ...]
    host: str
    port: int
    results: Path
    settings: Settings


class NothingToServe(Exception):
    """The files hold no valid ImageModel, or the address cannot be had."""


class _Server(uvicorn.Server):
    """A server that leaves signals to `up`, which has more to end than this."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def up(options: Options, console: Console) -> None:
    """Serve the models in the files until SIGINT or SIGTERM.

    Raises:
        NothingToServe: there is nothing to serve, or no address to serve it on.
    """
    found = _load(Manifests(), options.files, console)
    if not found.models:
        raise NothingToServe("there is no valid ImageModel in the files")
    with _listen(options) as listening, tempfile.TemporaryDirectory(prefix="easel-") as folder:
        supervisor = Supervisor(Path(folder))
        gateway = create_app(
            options.settings, supervisor, FolderStore(options.results, options.settings.result_seconds)
        )
        server = _Server(
            uvicorn.Config(
                gateway,
                log_config=None,
                access_log=False,
                timeout_graceful_shutdown=_DRAIN_SECONDS,
                server_header=False,
            )
        )
        supervisor.declare(found)
        serving = asyncio.create_task(server.serve(sockets=[listening]), name="gateway")
        helpers = [
            asyncio.create_task(supervisor.run(), name="supervisor"),
            asyncio.create_task(_reread(found, options.files, supervisor, console), name="files"),
            asyncio.create_task(view.show(supervisor, console), name="view"),
        ]
        _say_how_to_call(found, options, console)
        try:
            await _until_told_to_stop(serving, helpers)
        finally:
            await _shut_down(server, serving, supervisor, helpers, console)


def _listen(options: Options) -> socket.socket:
    try:
        family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
        return socket.create_server((options.host, options.port), family=family, backlog=2048)
    except OSError as error:
        raise NothingToServe(
            f"cannot listen on {options.host}:{options.port}: {error.strerror}; choose another with --port"
        ) from error


async def _until_told_to_stop(serving: asyncio.Task[None], helpers: list[asyncio.Task[None]]) -> None:
    told = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, told.set)
    waiting = asyncio.create_task(told.wait())
    try:
        done, _ = await asyncio.wait({waiting, serving, *helpers}, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()  # a helper that ended has failed; say so
    finally:
        waiting.cancel()


async def _shut_down(
    server: uvicorn.Server,
    serving: asyncio.Task[None],
    supervisor: Supervisor,
    helpers: list[asyncio.Task[None]],
    console: Console,
) -> None:
    """First the callers, then the processes; a second signal ends both at once."""

    def hurry() -> None:
        server.force_exit = True
        supervisor.kill()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, hurry)
    for task in helpers:
        task.cancel()
    await asyncio.gather(*helpers, return_exceptions=True)
    console.print("stopping; once more to stop at once", highlight=False)
    server.should_exit = True
    with suppress(asyncio.CancelledError):
        await asyncio.gather(serving, return_exceptions=True)
    await supervisor.stop()


def _load(before: Manifests, paths: tuple[Path, ...], console: Console) -> Manifests:
    """What is in force now; what is refused is told."""
    result, findings = manifests.merged(before, manifests.read(paths))
    tell(findings, console)
    return result


def tell(findings: tuple[Finding, ...], console: Console) -> None:
    """Print each problem on a line of its own, in the form that editors can jump to."""
    for finding in findings:
        console.print(str(finding), style="red", highlight=False, markup=False, soft_wrap=True)


async def _reread(before: Manifests, paths: tuple[Path, ...], supervisor: Supervisor, console: Console) -> None:
    """Put every change of the files in force."""
    # Folders are watched, because editors replace files instead of writing to them.
    folders = {path if path.is_dir() else path.resolve().parent for path in paths}
    async for _ in awatch(*folders, recursive=False):
        after = _load(before, paths, console)
        if after != before:
            _log.info("the files have changed")
            supervisor.declare(after)
            before = after


def _say_how_to_call(found: Manifests, options: Options, console: Console) -> None:
    model = next(iter(found.models.values()))
    beside = (picture for file in manifests.files(options.files) for picture in sorted(file.parent.glob("*.png")))
    picture = next(beside, Path("picture.png"))
    host = f"[{options.host}]" if ":" in options.host else options.host
    url = f"http://{host}:{options.port}"
    console.print(f"\nEasel serves on {url} (API: {url}/docs). Try:\n", highlight=False)
    console.print(
        f"  curl {url}/image-to-image -F model_id={model.spec.model_id} -F image=@{picture}"
        ' -F prompt="make it night"\n',
        highlight=False,
        markup=False,
        soft_wrap=True,
    )
