"""`python -m bench.gateway.proxy URL`: a plain reverse proxy to URL with the gateway's libraries. Its port is in PORT.

Bodies stream both ways and connections to the runtime are kept; nothing is looked at, checked, held or stored.
"""

import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import aiohttp
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

_PASSED_ON: Final = ("content-type", "content-length", "accept")


async def _pieces(answer: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    try:
        async for piece in answer.content.iter_any():
            yield piece
    finally:
        answer.release()


async def forward(request: Request) -> Response:
    """Ask the runtime the same."""
    session: aiohttp.ClientSession = request.app.state.session
    headers = {name: request.headers[name] for name in _PASSED_ON if name in request.headers}
    answer = await session.post(f"{sys.argv[1]}{request.url.path}", data=request.stream(), headers=headers)
    kept = {name: answer.headers[name] for name in _PASSED_ON if name in answer.headers}
    return StreamingResponse(_pieces(answer), answer.status, kept)


async def ready(_: Request) -> Response:
    """It is."""
    return PlainTextResponse("ready")


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[None]:
    """The client of the runtime."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), auto_decompress=False) as session:
        app.state.session = session
        yield


if __name__ == "__main__":
    uvicorn.run(
        Starlette(
            routes=[Route("/readyz", ready), Route("/image-to-image", forward, methods=["POST"])], lifespan=lifespan
        ),
        host=os.environ["HOST"],
        port=int(os.environ["PORT"]),
        http="httptools",
        loop="uvloop",
        log_config=None,
        access_log=False,
        ws="none",
    )
