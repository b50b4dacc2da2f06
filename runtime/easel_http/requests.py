"""What holds for every request to either server: its id, an answer in JSON whatever happens, and what is told of it."""

import asyncio
import logging
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from easel_http.errors import AnswerTo, ApiError, Failed, Unavailable, plain_answer
from easel_http.ids import new_id
from easel_http.logs import FACTS, REQUEST_ID
from easel_http.tracing import note_error

REQUEST_HEADER: Final = "X-Request-Id"
_HEADER: Final = REQUEST_HEADER.lower().encode()
_ID_LENGTH: Final = 64
_NEW_LENGTH: Final = 16
_NOT_OF_AN_ID: Final = re.compile(r"[^A-Za-z0-9._:=+/@-]")
_PATH_LENGTH: Final = 200
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Answered:
    """A request that has come to its end."""

    method: str
    path: str
    """As its route has it, so that no secret is in it; of what has no route, the beginning of what was sent."""
    status: int
    """0: it had no answer."""
    seconds: float
    received: int
    """Bytes of the body that were read."""
    sent: int
    """Bytes of the body that was answered."""
    facts: Mapping[str, object]
    """What was noted (`easel_http.logs.note`)."""


class Requests:
    """Gives each request the id that it came with, or a new one, and tells what became of it in the end.

    `tell` is called before the request's context is left: what it logs has the id.
    """

    def __init__(
        self, app: ASGIApp, tell: Callable[[Answered], None], stopping: str, refusal: AnswerTo = plain_answer
    ) -> None:
        """`stopping`: what callers hear whose work is ended with the server; `refusal`: how."""
        self._app = app
        self._tell = tell
        self._stopping = stopping
        self._refusal = refusal

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] == "http":
            await self._request(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _request(self, scope: Scope, receive: Receive, send: Send) -> None:
        request_id = _id(next((value for name, value in scope["headers"] if name == _HEADER), b""))
        facts: dict[str, object] = {}
        tokens = REQUEST_ID.set(request_id), FACTS.set(facts)
        began = time.monotonic()
        status = received = sent = 0

        async def counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            return message

        async def answer(message: Message) -> None:
            nonlocal status, sent
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), (_HEADER, request_id.encode())]
            sent += len(message.get("body", b""))
            await send(message)

        try:
            await self._app(scope, counted, answer)
        except Exception as error:
            _log.exception("unexpected error")
            note_error(error)
            if not status:  # else half an answer is out, and all that is left is to close the connection
                await self._answer(scope, answer, Failed("internal error; the server's log has more"))
        except asyncio.CancelledError:  # by the server, when the grace period is over
            if not status:
                await self._answer(scope, answer, Unavailable(self._stopping, retry_after=1))
            raise
        finally:
            seconds = time.monotonic() - began
            self._tell(Answered(scope["method"], _path(scope), status, seconds, received, sent, facts))
            REQUEST_ID.reset(tokens[0])
            FACTS.reset(tokens[1])

    async def _answer(self, scope: Scope, send: Send, error: ApiError) -> None:
        answer = self._refusal(scope["path"], error)
        await send({"type": "http.response.start", "status": answer.status_code, "headers": answer.raw_headers})
        await send({"type": "http.response.body", "body": answer.body})


def _path(scope: Scope) -> str:
    if (route := getattr(scope.get("route"), "path", None)) is not None:
        return str(route)
    sent: bytes = scope.get("raw_path") or b""  # still encoded: no line's end is in it
    return sent[:_PATH_LENGTH].decode("ascii", "replace")


def _id(sent: bytes) -> str:
    """`sent` as far as it can stand in a header and a log line, else a new id."""
    if not sent:
        return new_id()[:_NEW_LENGTH]
    return _NOT_OF_AN_ID.sub("", sent.decode("latin-1"))[:_ID_LENGTH] or new_id()[:_NEW_LENGTH]
