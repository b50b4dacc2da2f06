"""Connections as a server gets them, byte by byte, and an application that shows what came through."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from easel_http.entrance import ConnectionLimits, Entrance
from support.runtimes import HOST, serving

HEAD = b"POST /read HTTP/1.1\r\nHost: x\r\n"
GET = b"GET /answer HTTP/1.1\r\nHost: x\r\n\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"


@dataclass
class App:
    """/answer: at once; /read: with the length of the body; /wait: when it may; /flood: without an end."""

    may_answer: asyncio.Event = field(default_factory=asyncio.Event)
    seen: list[str] = field(default_factory=list)
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        self.seen.append(request.url.path)
        self.headers = list(scope["headers"])
        try:
            await (await self._answer(request))(scope, receive, send)
        except ClientDisconnect:
            self.left.append(request.url.path)
        finally:
            self.ended.append(request.url.path)

    async def _answer(self, request: Request) -> Response:
        match request.url.path:
            case "/read":
                return PlainTextResponse(str(len(await request.body())))
            case "/wait":
                await self.may_answer.wait()
            case "/flood":
                return StreamingResponse(_flood())
        return PlainTextResponse("ok")


async def _flood() -> AsyncIterator[bytes]:
    while True:
        yield b"x" * 65536
        await asyncio.sleep(0)  # so that the server gets to notice that nobody is there


@dataclass
class Caller:
    """One connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def ask(self, data: bytes) -> tuple[int, dict[str, str], bytes]:
        """Send `data`; the answer."""
        self.writer.write(data)
        return await self.answer()

    async def answer(self) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body of the next answer."""
        async with asyncio.timeout(10):
            first, *lines = (await self.reader.readuntil(b"\r\n\r\n")).decode().rstrip().split("\r\n")
            headers = dict(line.lower().split(": ", 1) for line in lines)
            body = await self.reader.readexactly(int(headers.get("content-length", 0)))
        return int(first.split()[1]), headers, body

    async def refused(self, data: bytes = b"") -> tuple[int, str]:
        """Send `data`; the status and reason of the answer, after which the connection must end."""
        status, headers, body = await self.ask(data)
        assert headers["connection"] == "close"
        assert headers["content-type"] == "application/json"
        await self.ended()
        return status, json.loads(body)["detail"]["msg"]

    async def ended(self) -> None:
        """Return when the server has ended the connection; nothing more must come."""
        async with asyncio.timeout(10):
            assert await self.reader.read() == b""

    async def trickle(self, data: bytes) -> None:
        """Send `data` again and again until the server has had enough."""
        async with asyncio.timeout(10):
            while not (self.reader.at_eof() or self.reader.exception()):
                self.writer.write(data)
                await asyncio.sleep(0)

    async def gone(self) -> None:
        """The same where the connection may be reset."""
        async with asyncio.timeout(10):
            try:
                while await self.reader.read(65536):
                    pass
            except ConnectionError:
                pass


@dataclass
class House:
    """A server and those who call it."""

    app: App
    entrance: Entrance
    port: int
    callers: list[Caller] = field(default_factory=list)

    async def call(self) -> Caller:
        caller = Caller(*await asyncio.open_connection(HOST, self.port))
        self.callers.append(caller)
        return caller


@asynccontextmanager
async def house(**limits: Any) -> AsyncIterator[House]:
    app, entrance = App(), Entrance(ConnectionLimits(**limits))
    async with serving(app, entrance=entrance) as endpoint:
        opened = House(app, entrance, int(endpoint.url.rpartition(":")[2]))
        try:
            yield opened
        finally:
            app.may_answer.set()
            for caller in opened.callers:
                caller.writer.transport.abort()
