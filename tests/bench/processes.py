"""The sides that are processes: started on the measured core with one thread, paused while it is another's turn."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

import psutil

from bench.machine import ROOT, cores, pin
from bench.table import NotMeasured
from bench.wire import HOST
from easel_crds.metadata import Env

_ONE_THREAD: Final = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE", "HF_HUB_OFFLINE": "1"}
_READY_SECONDS: Final = 180.0
_END_SECONDS: Final = 20.0
_POLL: Final = 0.0005


@dataclass
class Running:
    """A process of its own group, and the port that it was told to serve on."""

    process: subprocess.Popen[str]
    port: int
    output: IO[str]

    @contextmanager
    def paused(self) -> Iterator[None]:
        """It and its children are stopped: they cannot take the core from another side."""
        os.killpg(self.process.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.killpg(self.process.pid, signal.SIGCONT)

    def use(self, chosen: frozenset[int]) -> None:
        """From now on it and its children use these cores: every thread of theirs."""
        first = psutil.Process(self.process.pid)
        for process in (first, *first.children(recursive=True)):
            for thread in process.threads():
                os.sched_setaffinity(thread.id, chosen)

    def accepts(self) -> None:
        """Return as soon as the port accepts connections."""
        self._until(self._connects)

    def answers(self, path: str) -> None:
        """Return as soon as GET `path` is answered with 200."""
        self._until(lambda: self._connects(path), 0.01)

    def said(self) -> str:
        """The end of its output."""
        self.output.seek(0)
        return self.output.read()[-4000:]

    def _connects(self, path: str = "") -> bool:
        with socket.socket() as connection:
            if connection.connect_ex((HOST, self.port)):
                return False
            if not path:
                return True
            connection.settimeout(_READY_SECONDS)
            connection.sendall(f"GET {path} HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n".encode())
            return b" 200 " in connection.recv(64)

    def _until(self, holds: Callable[[], bool], pause: float = _POLL) -> None:
        deadline = time.monotonic() + _READY_SECONDS
        while not holds():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise NotMeasured(f"{self.process.args!r} did not start:\n{self.said()}")
            self._pause(pause)

    def _pause(self, seconds: float) -> None:
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return


@contextmanager
def running(
    command: Sequence[str], environment: Mapping[str, str] | None = None, port: int = 0, stdin: int | None = None
) -> Iterator[Running]:
    """`command` on the measured core until the context ends; nothing of it stays behind."""
    with tempfile.TemporaryFile("w+") as output:
        pin(cores().measured)
        try:
            process = subprocess.Popen(
                command,
                env={**_clean(os.environ), **_ONE_THREAD, **(environment or {})},
                stdin=subprocess.DEVNULL if stdin is None else stdin,
                stdout=output if stdin is None else subprocess.PIPE,
                stderr=output,
                text=True,
                cwd=tempfile.gettempdir(),
                start_new_session=True,
            )
        finally:
            pin(cores().measuring)
        try:
            yield Running(process, port, output)
        finally:
            _end(process)


def free_port() -> int:
    """One that nobody listens on."""
    with socket.create_server((HOST, 0)) as found:
        port: int = found.getsockname()[1]
        return port


@contextmanager
def server(
    command: Sequence[str], environment: Mapping[str, str], ready: str, port: int | None = None
) -> Iterator[Running]:
    """A server that is ready when GET `ready` says so; `{port}` in its command is its port."""
    port = free_port() if port is None else port
    filled = [part.replace("{port}", str(port)) for part in command]
    with running(filled, {**environment, Env.PORT: str(port), Env.HOST: HOST}, port) as started:
        started.answers(ready)
        yield started


@contextmanager
def runtime(model_id: str, cache: Path, **variables: object) -> Iterator[Running]:
    """Easel's runtime, ready for work."""
    environment = runtime_environment(model_id, cache, **variables)
    with server([sys.executable, "-m", "easel_runtime"], environment, "/readyz") as started:
        yield started


def runtime_environment(model_id: str, cache: Path, **variables: object) -> dict[str, str]:
    """The environment of a runtime for a model in `cache`, with these variables besides."""
    more = {name: str(value) for name, value in variables.items()}
    return {
        Env.MODEL_ID: model_id,
        Env.MODEL_DIR: str(cache),
        Env.LOG_LEVEL: "warning",
        Env.SAFETY: '{"checker": "none"}',  # nobody on the other sides looks at pictures
        **more,
    }


def _clean(shell: Mapping[str, str]) -> dict[str, str]:
    ours = {*Env, "PYTHONDONTWRITEBYTECODE"}  # without compiled modules all would start three times as slowly
    kept = {name: value for name, value in shell.items() if name not in ours and not name.startswith(("EASEL_", "HF_"))}
    return {**kept, "PYTHONPATH": str(ROOT / "tests"), "PYTHONUNBUFFERED": "1"}


def _end(process: subprocess.Popen[str]) -> None:
    for number in (signal.SIGCONT, signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
            if number is not signal.SIGCONT:
                process.wait(_END_SECONDS if number is signal.SIGTERM else None)
        except subprocess.TimeoutExpired:
            continue
        except ProcessLookupError:
            break
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()
