"""The least HTTP client that will do: what it costs itself is not to be seen in what it measures."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

HOST: Final = "127.0.0.1"
_SECONDS: Final = 120.0
"""Longest wait for one answer."""


@dataclass(frozen=True)
class Answer:
    """One answer, read whole."""

    status: int
    headers: Mapping[str, str]
    """By lower-case name."""
    body: bytes


def request(path: str, body: bytes = b"", headers: Mapping[str, str] | None = None) -> bytes:
    """The bytes of a request: POST if there is a body, else GET."""
    lines = [f"{'POST' if body else 'GET'} {path} HTTP/1.1", f"Host: {HOST}"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


class Connection:
    """A connection to a server on this machine, for one request after another."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, port: int) -> "Connection":
        """A new one."""
        return cls(*await asyncio.open_connection(HOST, port, limit=1 << 24))

    async def ask(self, sent: bytes) -> Answer:
        """The answer to `sent`.

        Raises:
            OSError, asyncio.IncompleteReadError: the server went away.
            TimeoutError: it does not answer.
        """
        async with asyncio.timeout(_SECONDS):
            self.send(sent)
            status, headers = await self.read_head()
            return Answer(status, headers, await self._body(headers))

    def send(self, sent: bytes) -> None:
        """Send a request whose answer is read piece by piece."""
        self._writer.write(sent)

    async def read_head(self) -> tuple[int, dict[str, str]]:
        """Status and headers of the answer."""
        first, *lines = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        pairs = (line.partition(":") for line in lines if line)
        return int(first.split()[1]), {name.lower(): value.strip() for name, _, value in pairs}

    async def read_chunk(self) -> bytes:
        """The next piece of a body that comes in chunks; empty at its end."""
        size = int(await self._reader.readuntil(b"\r\n"), 16)
        return (await self._reader.readexactly(size + 2))[:-2]

    def hang_up(self) -> None:
        """Leave at once."""
        self._writer.transport.abort()

    async def _body(self, headers: Mapping[str, str]) -> bytes:
        if "chunked" not in headers.get("transfer-encoding", ""):
            return await self._reader.readexactly(int(headers.get("content-length", 0)))
        pieces = []
        while piece := await self.read_chunk():
            pieces.append(piece)
        return b"".join(pieces)


async def ask(port: int, sent: bytes) -> Answer:
    """The answer to one request on a connection of its own."""
    connection = await Connection.open(port)
    try:
        return await connection.ask(sent)
    finally:
        connection.hang_up()
