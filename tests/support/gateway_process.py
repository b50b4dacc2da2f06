"""The gateway as a process of its own behind a real socket, which can be killed and started again where it was."""

import contextlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx2

from support.served_gateway import DIRECTORY, LISTEN_FD

SECONDS: Final = 60.0
"""Longest wait for one thing to happen."""
LEDGER: Final = "EASEL_GATEWAY_LEDGER"
"""The gateway's setting for the URL of its ledger."""
_LEDGER_FILE: Final = "ledger.db"
_HOST: Final = "127.0.0.1"
_PORTS: Final = range(20_000, 32_000)
"""Below those that Linux gives to outgoing connections: one of these could take the port while the gateway is away, or,
asking for that very port, be connected to itself."""


@dataclass(frozen=True)
class Served:
    """A model, and the runtimes that serve it at present."""

    name: str = "demo"
    endpoints: Mapping[str, str] = field(default_factory=dict)
    """Base URLs by name."""
    spec: Mapping[str, Any] = field(default_factory=dict)
    """As in `support.builders.manifest`."""


class GatewayProcess:
    """A gateway with a folder of its own; what it reads, keeps and says is in there."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self._folder = folder
        self._environment = environment
        self._process: subprocess.Popen[bytes] | None = None
        with _listening() as chosen:
            self.address: tuple[str, int] = chosen.getsockname()
        (folder / "tmp").mkdir()
        self.declare()

    @property
    def url(self) -> str:
        return f"http://{self.address[0]}:{self.address[1]}"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def results(self) -> Path:
        """The folder of its results."""
        return self._folder / "results"

    @property
    def database(self) -> str:
        """The URL of its ledger, unless its settings say another."""
        return f"sqlite:///{self._folder / _LEDGER_FILE}"

    def declare(self, *models: Served) -> None:
        """Say which models there are and where they run; it knows a moment later."""
        said = [{"name": each.name, "spec": dict(each.spec), "endpoints": dict(each.endpoints)} for each in models]
        draft = self._folder / ".directory.json"
        draft.write_text(json.dumps(said))
        draft.replace(self._folder / "directory.json")

    def start(self) -> None:
        """Start it, at its old address if it has been there before; return when it answers."""
        with _listening(self.address[1]) as listening, (self._folder / "output").open("ab") as log:
            listening.set_inheritable(True)
            self._process = subprocess.Popen(
                [sys.executable, "-W", "ignore", "-m", "support.served_gateway"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                pass_fds=[listening.fileno()],
                env={
                    **{name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"},
                    "PYTHONPATH": os.pathsep.join(sys.path),
                    "TMPDIR": str(self._folder / "tmp"),
                    "EASEL_GATEWAY_RESULTS": str(self.results),
                    LEDGER: self.database,
                    LISTEN_FD: str(listening.fileno()),
                    DIRECTORY: str(self._folder / "directory.json"),
                    **self._environment,
                },
            )
        with httpx2.Client(base_url=self.url, timeout=SECONDS, trust_env=False) as client:
            while True:
                with contextlib.suppress(httpx2.HTTPError):
                    if client.get("/health").status_code == 200:
                        return
                assert self.is_running, self.output

    def until_known(self, model_id: str) -> None:
        """Return when it has read that there is a model."""
        with httpx2.Client(base_url=self.url, timeout=SECONDS, trust_env=False) as client:
            while model_id not in {model["id"] for model in client.get("/v1/models").json()["data"]}:
                assert self.is_running, self.output

    @property
    def is_running(self) -> bool:
        """Whether the process is there."""
        return self._process is not None and self._process.poll() is None

    def kill(self) -> None:
        """As the kernel does it that has no memory left: at once, without a word to anybody."""
        self.end(signal.SIGKILL)

    def end(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Send it a signal and wait for its end."""
        assert self._process is not None
        self._process.send_signal(number)
        self._process.wait(SECONDS)

    @property
    def output(self) -> str:
        """What it has logged in all of its lives."""
        return (self._folder / "output").read_text(errors="replace")

    def peak_memory(self) -> int:
        """The most bytes that it has ever held in this life, as Linux has it."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) << 10

    def open_files(self) -> list[str]:
        """What its file descriptors are: sockets, files (those without a name as well), and so on.

        Less those of its ledger, of which it keeps as many as it likes.
        """
        found = []
        for entry in Path(f"/proc/{self.pid}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):  # closed meanwhile
                found.append(str(entry.readlink()))
        return sorted(name for name in found if _LEDGER_FILE not in name)

    def until_open_files_are(self, count: int) -> None:
        """Return when no more than `count` are left: it hears of connections that have ended, but not at once."""
        deadline = time.monotonic() + SECONDS
        while len(self.open_files()) > count:
            assert time.monotonic() < deadline, self.open_files()

    def temporary_files(self) -> list[Path]:
        """What it has left on disk beside its results."""
        return list((self._folder / "tmp").iterdir())

    def drafts(self) -> list[Path]:
        """Results that are not whole."""
        return [path for path in self.results.rglob("*") if path.is_file() and path.suffix != ".png"]


@contextmanager
def gateway_process(folder: Path, environment: Mapping[str, str]) -> Iterator[GatewayProcess]:
    """A gateway that has been started, with settings of its own; it has ended when the context ends."""
    folder.mkdir(parents=True, exist_ok=True)
    gateway = GatewayProcess(folder, environment)
    try:
        gateway.start()
        yield gateway
    finally:
        if gateway.is_running:
            gateway.kill()


def _listening(port: int = 0) -> socket.socket:
    """A socket that takes connections from now on."""
    if port:
        return socket.create_server((_HOST, port), backlog=2048)
    for candidate in random.sample(_PORTS, 100):
        with contextlib.suppress(OSError):  # somebody else has it
            return socket.create_server((_HOST, candidate))
    raise AssertionError("no port is free")
