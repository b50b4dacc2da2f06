"""A real server of S3 on loopback, which keeps its buckets in a folder, and can be killed and started again."""

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from testbed.binaries import programs

_ACCESS: Final = "easel"
_SECRET: Final = "easel-secret"  # noqa: S105 (of a server that lives for a test)
_SECONDS: Final = 30.0


class S3Server:
    """One server; its bucket is `results`."""

    def __init__(self, program: Path, folder: Path) -> None:
        self._program = program
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        with socket.create_server(("127.0.0.1", 0)) as chosen:
            self._port: int = chosen.getsockname()[1]
        (folder / "results").mkdir()

    @property
    def environment(self) -> dict[str, str]:
        """What clients read."""
        return {
            "AWS_ACCESS_KEY_ID": _ACCESS,
            "AWS_SECRET_ACCESS_KEY": _SECRET,
            "AWS_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self._port}",
            "AWS_ALLOW_HTTP": "true",
        }

    def start(self) -> None:
        """Start it, and return when it takes connections."""
        command = [
            *(str(self._program), "--access", _ACCESS, "--secret", _SECRET, "--port", f"127.0.0.1:{self._port}"),
            *("--quiet", "posix", str(self._folder)),
        ]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + _SECONDS
        while True:
            with socket.socket() as connection:
                if connection.connect_ex(("127.0.0.1", self._port)) == 0:
                    return
            assert self._process.poll() is None, "the server of S3 ended"
            assert time.monotonic() < deadline, "the server of S3 did not start"

    def kill(self) -> None:
        """End it at once."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


@contextmanager
def s3_server(folder: Path) -> Iterator[S3Server]:
    """A server that runs; skips the test where it was not built, but in CI, where that is a failure."""
    program = programs().get("versitygw")
    if program is None:
        why = "the server of S3 is not built: `make test` does it"
        if os.environ.get("CI") == "true":
            pytest.fail(why)
        pytest.skip(why)
    server = S3Server(program, folder)
    server.start()
    try:
        yield server
    finally:
        server.kill()
