"""HTTP as bytes: for requests that no client sends, and answers of which each byte counts."""

import asyncio
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

SECONDS: Final = 30.0
"""Longest wait for one answer: whoever takes longer hangs."""


@dataclass(frozen=True)
class Answer:
    """The first answer on a connection that is not provisional; status 0: there was none before it was closed."""

    status: int
    head: bytes
    body: bytes

    def header(self, name: str) -> str:
        """The value of a header; empty if it is not there."""
        found = re.search(rb"(?im)^%b: *(.*?)\r$" % re.escape(name).encode(), self.head)
        return found[1].decode("latin-1") if found else ""


NOTHING: Final = Answer(0, b"", b"")
"""The connection was closed before there was an answer."""


async def exchange(address: tuple[str, int], pieces: Iterable[bytes]) -> Answer:
    """The answer to a request that is sent in these pieces; the connection stays open until it has come.

    Raises:
        TimeoutError: there is none.
    """
    async with asyncio.timeout(SECONDS):
        reader, writer = await asyncio.open_connection(*address, limit=1 << 24)
        sending = asyncio.create_task(_send(writer, pieces))
        try:
            return await read_answer(reader)
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
            writer.transport.abort()


async def _send(writer: asyncio.StreamWriter, pieces: Iterable[bytes]) -> None:
    for piece in pieces:
        writer.write(piece)
        await writer.drain()
        await asyncio.sleep(0)  # the loop sends what it has been given, so that each piece is a packet


async def read_answer(reader: asyncio.StreamReader) -> Answer:
    """The first answer that is not provisional."""
    status, head, body = 100, b"", b""
    try:
        while status == 100:
            head = await reader.readuntil(b"\r\n\r\n")
            status = int(head.split(b" ", 2)[1])
        body = await _body(reader, Answer(status, head, b""))
    except (asyncio.IncompleteReadError, ConnectionError):
        return NOTHING
    return Answer(status, head, body)


async def _body(reader: asyncio.StreamReader, answer: Answer) -> bytes:
    if length := answer.header("content-length"):
        return await reader.readexactly(int(length))
    if answer.header("transfer-encoding") != "chunked":
        return await reader.read()
    body = b""
    while size := int(await reader.readuntil(b"\r\n"), 16):
        body += (await reader.readexactly(size + 2))[:-2]
    return body
