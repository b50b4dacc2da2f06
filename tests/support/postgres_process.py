"""A real PostgreSQL in a folder of its own, which can be killed and started again where it was."""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

_HOST: Final = "127.0.0.1"
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
        """End it as a machine does that loses its power; its children notice and follow."""
        os.kill(int((self._folder / "data/postmaster.pid").read_text().split()[0]), signal.SIGKILL)

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
            server._run("pg_ctl", "stop", "--mode=immediate", "--wait", "--pgdata", server._data)


def _user() -> str | None:
    """Whose server it is: it refuses to run as root."""
    if os.geteuid():
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"
