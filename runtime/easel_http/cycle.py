"""One request and its answer, as uvicorn has them, with an end that loses nothing and a reader that can be held."""

import asyncio
from typing import Any, Final

from uvicorn._types import ASGISendEvent
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

_TOGETHER: Final = 1 << 16
"""Bytes that are rather copied than sent by themselves."""


class Flow(FlowControl):
    """Does not read on while a request waits for its turn, whatever the application does that has its turn now."""

    held = False

    def resume_reading(self) -> None:
        """Read on, unless held."""
        if not self.held:
            super().resume_reading()


class Corked:
    """Sends the head of an answer together with the beginning of its body: one system call less, one packet less.

    ASGI leaves that to servers: nothing of an answer needs to leave before there is something of its body.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._held = b""
        self.corked = False
        """Whether what is written next is held."""

    def write(self, data: bytes) -> None:
        """Send `data`, unless it is to be held, after what was."""
        if self.corked:
            self._held, self.corked = data, False
        elif not self._held:
            self._transport.write(data)
        else:
            held, self._held = self._held, b""
            if len(data) <= _TOGETHER:
                self._transport.write(held + data)
            else:
                self._transport.write(held)
                self._transport.write(data)

    def is_closing(self) -> bool:
        """Whether the connection ends."""
        return self._transport.is_closing()

    def close(self) -> None:
        """End the connection when all is sent."""
        self.corked = False
        if self._held:
            self.write(b"")
        self._transport.close()


class Cycle(RequestResponseCycle):
    """Leaves the end of a connection whose request is not read to its end to the protocol, which knows how.

    Closed with bytes unread a connection is reset, and a caller who still sends gets that in the place of the answer.
    """

    lingers = False

    def __init__(self, *, transport: asyncio.Transport, **others: Any) -> None:
        self._corked = Corked(transport)
        super().__init__(transport=self._corked, **others)  # type: ignore[arg-type]

    async def send(self, message: ASGISendEvent) -> None:
        """Send a part of the answer."""
        if not self.response_started:
            self._corked.corked = self.scope["method"] != "HEAD"  # of whose answer nothing follows
        if not self.keep_alive and self.more_body and self.response_started and not message.get("more_body", False):
            self.lingers = self.keep_alive = True
        await super().send(message)
