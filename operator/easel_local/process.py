"""One runtime as a child process: what a pod is on a cluster.

It inherits a listening socket that this side closes at once, so there is no port to lose, and a connection is
refused from the moment the child is gone. Its standard input stays open as long as this process lives: when that
ends, in whatever way, the child sees it and ends too.
"""

import asyncio
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Final

import aiohttp

from easel_crds.metadata import Env

_log = logging.getLogger(__name__)
_POLL_SECONDS: Final = 0.1
_PROBE_SECONDS: Final = 5.0
_PROBE_TIMEOUT: Final = aiohttp.ClientTimeout(total=5)
_PROBE_FAILURES: Final = 3
_START_SECONDS: Final = 3600.0
"""Longest start: an hour is the download of 20 GB at 6 MB/s."""
_LAST_SECONDS: Final = 5.0
"""For the answers that a runtime gives when its grace is over."""
_LINE_BYTES: Final = 1 << 16


def _merged(shell: Mapping[str, str], own: Mapping[str, str]) -> dict[str, str]:
    """The shell's variables and the runtime's `own`.

    Of those that would configure a runtime, the shell's count for nothing but the weights' folder.
    """
    foreign = set(Env) - {Env.MODEL_DIR}
    merged = {**{name: value for name, value in shell.items() if name not in foreign}, **own}
    if folder := merged.get(Env.MODEL_DIR):
        merged[Env.MODEL_DIR] = str(Path(folder).absolute())  # the runtime has a working directory of its own
    return merged


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time signal
        return f"signal {number}"


class State(StrEnum):
    """Life of a runtime; it only moves forward."""

    STARTING = "starting"
    READY = "ready"
    STOPPING = "stopping"
    ENDED = "ended"


class RuntimeProcess:
    """A runtime that was started; `on_change` is called after each change of `state`."""

    def __init__(self, name: str, environment: Mapping[str, str], folder: Path, on_change: Callable[[], None]) -> None:
        """`environment`: the runtime's own variables; `folder`: its working directory."""
        self.name = name
        self.environment = dict(environment)
        self.state = State.STARTING
        self.url = ""
        self.failure = ""
        """Why it ended, once it has ended by itself."""
        self.started_at = asyncio.get_running_loop().time()
        self.ready_at: float | None = None
        self._on_change = on_change
        self.folder = folder
        self._last_words = folder / f"{name}.last-words"
        self._last_line = ""
        self._process: asyncio.subprocess.Process | None = None
        self._life = asyncio.create_task(self._live(), name=f"runtime {name}")

    @property
    def was_ready(self) -> bool:
        """Whether it ever answered requests."""
        return self.ready_at is not None

    async def stop(self, grace_seconds: float) -> None:
        """End it: SIGTERM, and SIGKILL some time after `grace_seconds`, its own bound. Returns when it has ended."""
        if self.state is not State.ENDED:
            self._become(State.STOPPING)
        self._signal(signal.SIGTERM)
        done, _ = await asyncio.wait({self._life}, timeout=grace_seconds + _LAST_SECONDS)
        if not done:
            _log.warning("%s did not end within %g seconds and is killed", self.name, grace_seconds)
            self.kill()
        await self._life

    def kill(self) -> None:
        """End it at once."""
        self._signal(signal.SIGKILL)

    async def _live(self) -> None:
        try:
            self._process = await self._start()
            if self.state is State.STOPPING:  # told so before there was anything to tell
                self._signal(signal.SIGTERM)
            watching = asyncio.create_task(self._watch())
            await asyncio.gather(self._process.wait(), self._read_output(self._process))
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
            if self.state is not State.STOPPING:
                self.failure = self._why(self._process.returncode or 0)
        except (OSError, ValueError) as error:  # ValueError: a variable that no process can have
            self.failure = f"could not be started: {error}"
        finally:
            self._last_words.unlink(missing_ok=True)
            self._become(State.ENDED)

    async def _start(self) -> asyncio.subprocess.Process:
        with socket.create_server(("127.0.0.1", 0)) as listening:
            listening.set_inheritable(True)
            self.url = f"http://127.0.0.1:{listening.getsockname()[1]}"
            return await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "easel_runtime"),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                limit=_LINE_BYTES,
                env={
                    **_merged(os.environ, self.environment),
                    Env.LISTEN_FD: str(listening.fileno()),
                    Env.EXIT_WITH_STDIN: "1",
                    Env.TERMINATION_LOG: str(self._last_words),
                },
                pass_fds=[listening.fileno()],
                cwd=self.folder,
                start_new_session=True,  # Ctrl-C is for this process; it ends its children in order
            )

    async def _watch(self) -> None:
        """Find out when it is ready, and end it if it answers no more."""
        async with aiohttp.ClientSession(timeout=_PROBE_TIMEOUT) as session:
            try:
                async with asyncio.timeout(_START_SECONDS):
                    while not await self._answers(session, "readyz"):  # noqa: ASYNC110 (it is another process)
                        await asyncio.sleep(_POLL_SECONDS)
            except TimeoutError:
                self.failure = f"was not ready within {_START_SECONDS:g} seconds"
                self.kill()
                return
            if self.state is State.STARTING:
                self.ready_at = asyncio.get_running_loop().time()
                self._become(State.READY)
            failures = 0
            while failures < _PROBE_FAILURES:
                await asyncio.sleep(_PROBE_SECONDS)
                failures = 0 if await self._answers(session, "livez") else failures + 1
                if self.state is not State.READY:  # told to stop: it closes its door and finishes its work
                    return
            self.failure = f"gave no sign of life {failures} times"
            self.kill()

    async def _answers(self, session: aiohttp.ClientSession, probe: str) -> bool:
        try:
            async with session.get(f"{self.url}/{probe}") as response:
                return response.status == 200
        except (aiohttp.ClientError, ConnectionError, TimeoutError):
            return False

    async def _read_output(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None  # noqa: S101 (it was asked for above)
        while True:
            try:
                line = await process.stdout.readline()
            except ValueError:  # longer than _LINE_BYTES; the rest of it comes next
                continue
            if not line:
                return
            if text := line.decode("utf-8", "replace").rstrip():
                self._last_line = text
                _log.info("%s | %s", self.name, text)

    def _why(self, code: int) -> str:
        """The reason of an end nobody asked for, in the runtime's own words if it left any."""
        words = self._last_words.read_text(errors="replace").strip() if self._last_words.exists() else ""
        if self.failure or words:
            return self.failure or words
        if code < 0:
            return f"was ended by {_signal_name(-code)}"
        return f"ended with exit code {code}" + (f": {self._last_line}" if self._last_line else "")

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(number)

    def _become(self, state: State) -> None:
        self.state = state
        self._on_change()
