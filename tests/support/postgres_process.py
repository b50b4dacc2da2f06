"""A real PostgreSQL in a folder of its own, which can be killed and started again where it was."""

import contextlib
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import psutil

_HOST: Final = "127.0.0.1"
_SECONDS: Final = 60.0
_INSTALLED: Final = Path("/usr/lib/postgresql")
"""Where Debian has it, by version, and not in PATH."""


class PostgresProcess:
    """A server with one database, for whoever comes over loopback."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._user = _user()
        with socket.create_server((_HOST, 0)) as chosen:
            self._port: int = chosen.getsockname()[1]
        if self._user is not None:
            shutil.chown(folder, self._user)
        self._run("initdb", "--auth=trust", "--username=easel", "--encoding=UTF8", "--no-sync", "--pgdata", self._data)

    @property
    def url(self) -> str:
        """Of its database, for SQLAlchemy."""
        return f"postgresql+psycopg://easel@{_HOST}:{self._port}/postgres"

    @property
    def _data(self) -> str:
        return str(self._folder / "data")

    def start(self) -> None:
        """Start it; return when it answers."""
        options = f"-c listen_addresses={_HOST} -c port={self._port} -c unix_socket_directories={self._folder}"
        self._run(
            "pg_ctl", "start", "--wait", "--pgdata", self._data, "--log", str(self._folder / "log"), "-o", options
        )

    def kill(self) -> None:
        """End all of its processes as a machine does that loses its power, whatever they were about to write."""
        first = psutil.Process(self._pid())
        family = [first, *first.children(recursive=True)]
        for process in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        # Until they are gone a new server would think that the old one is there.
        assert psutil.wait_procs(family, timeout=_SECONDS)[1] == []

    def end(self) -> None:
        """End it so that nothing of it is left, in the kernel's shared memory neither."""
        if not psutil.pid_exists(self._pid()):
            self.start()  # which takes over what the dead one has left
        self._run("pg_ctl", "stop", "--mode=immediate", "--wait", "--pgdata", self._data)

    def _pid(self) -> int:
        """Of the first of its processes, the last time that it was started."""
        return int((self._folder / "data/postmaster.pid").read_text().split()[0])

    def _run(self, program: str, *arguments: str) -> None:
        found = shutil.which(program) or str(max(_INSTALLED.glob(f"*/bin/{program}")))
        done = subprocess.run(
            [found, *arguments],
            user=self._user,
            cwd=self._folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,  # a pipe would be inherited by the server, and never end
            stderr=subprocess.DEVNULL,
            check=False,
        )
        log = self._folder / "log"
        assert done.returncode == 0, (program, log.read_text() if log.exists() else "")


@contextmanager
def postgres_process() -> Iterator[PostgresProcess]:
    """A server that has been started; it and its folder are gone when the context ends."""
    # Not below the folder of the tests, which nobody but their user may enter.
    with tempfile.TemporaryDirectory(prefix="easel-postgres-") as name:
        server = PostgresProcess(Path(name))
        server.start()
        try:
            yield server
        finally:
            server.end()


def _user() -> str | None:
    """Whose server it is: it refuses to run as root."""
    if os.geteuid():
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"
