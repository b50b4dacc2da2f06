"""What a server takes on its connections, and how it refuses before there is an application to ask."""

import json
from collections import Counter
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import cast

from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send
from uvicorn._types import ASGI3Application


@dataclass(frozen=True)
class ConnectionLimits:
    """How much of a connection is taken, and for how long it may do nothing."""

    connections: int = 4096
    """Connections at one time; who comes beyond gets 503, but for probes."""
    head_bytes: int = 64 << 10
    """Bytes of a request's line and headers; as many for its trailers."""
    headers: int = 100
    """Headers of a request."""
    body_bytes: int = 32 << 20
    """Bytes of a body that an application reads. Applications have bounds of their own, which count before this one."""
    head_seconds: float = 10
    """Time for a whole head, from its first byte, or from the opening of the connection if it is the first."""
    idle_seconds: float = 75
    """Time between an answer and the next request. Longer than the 60 s after which proxies let go of a connection, so
    that it is they who do."""
    rest_seconds: float = 10
    """Time for the rest of a body whose request has been answered."""
    send_seconds: float = 120
    """Time in which a caller must take some of what is sent to it."""


@dataclass
class Entrance:
    """One server's: its limits, whether it is about to end, and what it has refused."""

    limits: ConnectionLimits = field(default_factory=ConnectionLimits)
    leaving: bool = False
    """Whether answers tell callers to go on elsewhere (`Connection: close`)."""
    refused: Counter[int] = field(default_factory=Counter)
    """Refusals by status of requests that no application saw; 0: a connection that was closed as it came."""


class Refused(Exception):
    """The request is not given to the application."""

    def __init__(self, status: int, msg: str) -> None:
        super().__init__(msg)
        self.status = status
        self.msg = msg


def written(status: int, msg: str, headers: list[tuple[bytes, bytes]]) -> bytes:
    """The whole answer of a server that closes the connection after it."""
    body = json.dumps({"detail": {"msg": msg}}).encode()
    own = {"content-type": "application/json", "content-length": str(len(body)), "connection": "close"}
    lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}".encode()]
    lines += [name + b": " + value for name, value in headers]
    lines += [f"{name}: {value}".encode() for name, value in own.items()]
    return b"\r\n".join([*lines, b"", body])


def full(entrance: Entrance) -> ASGI3Application:
    """What answers on a connection beyond the number of those that are taken."""
    msg = f"{entrance.limits.connections} connections are open already"
    answer = JSONResponse({"detail": {"msg": msg}}, 503, {"Retry-After": "1", "Connection": "close"})

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        entrance.refused[503] += 1
        await answer(scope, receive, send)

    return cast("ASGI3Application", app)
