"""An answer that comes before the end of the upload reaches its caller."""

import asyncio
from contextlib import suppress
from typing import Final

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_SECONDS: Final = 10.0
"""Longest time that is spent on a body of no use; its caller has had the answer since before."""


class Lingering:
    """Reads on for a while where a request is refused before its body is read, and its connection is to be closed.

    Closed with bytes unread a connection is reset, and a caller who still sends gets that in the place of the answer
    (Python's urllib does). On a connection that is kept uvicorn reads on by itself.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http" or not _is_closed_after(scope):
            await self._app(scope, receive, send)
            return
        unread = True

        async def noting() -> Message:
            nonlocal unread
            message = await receive()
            unread = message.get("more_body", False)
            return message

        async def lingering(message: Message) -> None:
            is_last = message["type"] == "http.response.body" and not message.get("more_body", False)
            if is_last and unread:
                await send({**message, "more_body": True})
                message = {"type": "http.response.body", "body": b""}
                with suppress(TimeoutError):
                    async with asyncio.timeout(_SECONDS):
                        while unread:
                            await noting()
            await send(message)

        await self._app(scope, noting, lingering)


def _is_closed_after(scope: Scope) -> bool:
    options = ",".join(Headers(scope=scope).getlist("connection")).lower().split(",")
    return scope["http_version"] == "1.0" or "close" in (option.strip() for option in options)
