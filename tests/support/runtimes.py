"""Servers on real loopback sockets, inside the test's own event loop: well-behaved ones, and ones that are not."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from fastapi import FastAPI

from easel_crds.safety import NO_CHECKER, Safety
from easel_gateway.directory import Endpoint
from easel_http.entrance import Entrance
from easel_http.protocol import protocol_class
from easel_runtime.app import create_app
from easel_runtime.engine import Engine
from easel_runtime.settings import Settings
from easel_runtime.worker import Worker

HOST = "127.0.0.1"
UNCHECKED = Safety(checker=NO_CHECKER)
"""The policy of runtimes that have nothing to look at images with."""
BOUNDARY = "easel-test-answer"


async def until(holds: Callable[[], bool]) -> None:
    """Return once `holds` does; for what happens on another thread or socket and tells nobody."""
    async with asyncio.timeout(10):
        while not holds():  # noqa: ASYNC110 (there is no event to wait for)
            await asyncio.sleep(0.002)


class _Server(uvicorn.Server):
    """Uvicorn without signal handlers, and with events where it looks at the clock ten times a second."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.is_up = asyncio.Event()
        self.may_end = asyncio.Event()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.is_up.set()

    async def main_loop(self) -> None:
        await self.may_end.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:  # noqa: ARG002 (uvicorn's)
        for server in self.servers:
            server.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        await until(lambda: not self.server_state.connections and not self.server_state.tasks)
        await self.lifespan.shutdown()


@asynccontextmanager
async def serving(
    app: Callable[..., Any], name: str = "demo-1", entrance: Entrance | None = None
) -> AsyncIterator[Endpoint]:
    """`app` behind uvicorn on a port of its own; it has ended, lifespan and all, when the context ends."""
    with socket.create_server((HOST, 0)) as listening:
        url = f"http://{HOST}:{listening.getsockname()[1]}"
        config = uvicorn.Config(
            app,
            http=protocol_class(entrance or Entrance()),
            log_config=None,
            access_log=False,
            lifespan="on" if isinstance(app, FastAPI) else "off",
            ws="none",  # uvicorn's websockets module warns that it is deprecated
        )
        server = _Server(config)
        task = asyncio.create_task(server.serve(sockets=[listening]), name=f"server {name}")
        try:
            async with asyncio.timeout(10):
                await server.is_up.wait()
            yield Endpoint(name, url)
        finally:
            server.may_end.set()
            await task


def toy_settings(**settings: Any) -> Settings:
    """Settings for a toy engine, which then sees no requests but the test's own."""
    return Settings(**{"model_id": "easel/toy", "warm_up_side": 0, "safety": UNCHECKED, **settings})


@dataclass(frozen=True)
class Runtime:
    """A real runtime around a toy engine."""

    endpoint: Endpoint
    worker: Worker


@asynccontextmanager
async def runtime(engine: Engine, name: str = "demo-1", **settings: Any) -> AsyncIterator[Runtime]:
    """The runtime's own application around `engine`, once the model is loaded."""
    app = create_app(toy_settings(**{"model_id": "easel/demo", **settings}), engine)
    worker: Worker = app.state.worker
    async with serving(app, name) as endpoint:
        await until(lambda: worker.loaded is not None or bool(worker.error))
        yield Runtime(endpoint, worker)


@dataclass(frozen=True)
class Part:
    """One image of an answer."""

    data: bytes
    seed: int = 7
    nsfw: bool = False


def mixed(*parts: Part) -> bytes:
    """The body of a runtime's answer, written by hand; its boundary is `BOUNDARY`."""
    body = b"".join(
        f"--{BOUNDARY}\r\nContent-Type: image/png\r\nContent-Length: {len(part.data)}\r\n"
        f"X-Easel-Seed: {part.seed}\r\nX-Easel-Nsfw: {str(part.nsfw).lower()}\r\n\r\n".encode()
        + part.data
        + b"\r\n"
        for part in parts
    )
    return body + f"--{BOUNDARY}--\r\n".encode()


MIXED = f"multipart/mixed; boundary={BOUNDARY}"


@dataclass
class ScriptedApp:
    """An ASGI application that gives one answer to everything and keeps what it was sent."""

    status: int = 200
    body: bytes = b""
    content_type: str = MIXED
    headers: Mapping[str, str] = field(default_factory=dict)
    keeps: bool = True
    """Whether bodies are kept, or only counted."""
    requests: list[dict[str, str]] = field(default_factory=list)
    """Headers of each request, with its method and path under those names."""
    bodies: list[bytes] = field(default_factory=list)
    received: int = 0

    async def __call__(self, scope: dict[str, Any], receive: Callable[[], Any], send: Callable[[Any], Any]) -> None:
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        self.requests.append({**headers, "method": scope["method"], "path": scope["path"]})
        body, more = bytearray(), True
        while more:
            message = await receive()
            if self.keeps:
                body += message.get("body", b"")
            self.received += len(message.get("body", b""))
            more = message.get("more_body", False)
        self.bodies.append(bytes(body))
        answer = {"content-type": self.content_type, "content-length": str(len(self.body)), **self.headers}
        pairs = [(name.lower().encode(), value.encode()) for name, value in answer.items()]
        await send({"type": "http.response.start", "status": self.status, "headers": pairs})
        await send({"type": "http.response.body", "body": self.body})


@asynccontextmanager
async def cut_server(
    answer: bytes = b"", *, early: bool = False, reset: bool = False, silent: bool = False, name: str = "demo-1"
) -> AsyncIterator[Endpoint]:
    """A bare TCP server that reads a request, sends `answer`, the start of a response, and goes away.

    It closes the connection in order, or with `reset` as a killed process does; with `silent` it stays, mute. With
    `early` it does all that without reading the request's body.
    """
    ended = asyncio.Event()
    connections: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await _read_request(reader, writer, early=early)
            writer.write(answer)
            await writer.drain()
            if silent:
                await ended.wait()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the other side went first
        finally:
            _leave(writer, reset=reset)

    def on_connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(serve(reader, writer))
        connections.add(task)

    server = await asyncio.start_server(on_connection, HOST, 0)
    try:
        yield Endpoint(name, f"http://{HOST}:{server.sockets[0].getsockname()[1]}")
    finally:
        ended.set()
        server.close()
        await asyncio.gather(*connections)
        await server.wait_closed()


async def _read_request(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, early: bool) -> None:
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    if early:
        return
    if b"expect: 100-continue" in head:
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    _, _, rest = head.partition(b"content-length:")
    await reader.readexactly(int(rest.split(b"\r\n")[0] or 0))


def _leave(writer: asyncio.StreamWriter, *, reset: bool) -> None:
    if not reset:
        writer.close()
        return
    connection: socket.socket = writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


@contextmanager
def nobody(name: str = "demo-1") -> Iterator[Endpoint]:
    """An address that refuses connections: the port is taken, and nothing listens on it."""
    with socket.socket() as bound:
        bound.bind((HOST, 0))
        yield Endpoint(name, f"http://{HOST}:{bound.getsockname()[1]}")
