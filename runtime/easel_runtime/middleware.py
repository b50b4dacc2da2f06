"""What holds for every request: its id, its line in the log, an answer in JSON whatever happens, strict statuses."""

import asyncio
import logging
import re
import secrets
import time
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from easel_http.errors import ApiError, Failed, Unavailable
from easel_http.tracing import note_error
from easel_runtime.logs import FACTS, REQUEST_ID
from easel_runtime.metrics import Metrics

REQUEST_HEADER: Final = "X-Request-Id"
STATUS_HEADER: Final = "X-Easel-Status"
WORK_PATH: Final = "/image-to-image"
_ID_LENGTH: Final = 64
_NOT_OF_AN_ID: Final = re.compile(r"[^A-Za-z0-9._:=+/@-]")
_SAFE: Final = frozenset({200, 400, 401, 422, 500})
_log = logging.getLogger(__name__)


class Requests:
    """Gives each request the id that it came with, or a new one, and logs and counts the answers to those for work."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = _id(Headers(scope=scope).get(REQUEST_HEADER, ""))
        tokens = REQUEST_ID.set(request_id), FACTS.set({})
        began = time.monotonic()
        status = 0

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)[REQUEST_HEADER] = request_id
            await send(message)

        try:
            await self._app(scope, receive, answer)
        except Exception as error:
            _log.exception("unexpected error")
            note_error(error)
            if not status:  # else half an answer is out, and all that is left is to close the connection
                await _answer(answer, Failed("internal error; the server's log has more"))
        except asyncio.CancelledError:  # by the server, when the grace period is over
            if not status:
                await _answer(answer, Unavailable("the runtime is stopping", retry_after=1))
            raise
        finally:
            self._note(scope, status, time.monotonic() - began)
            REQUEST_ID.reset(tokens[0])
            FACTS.reset(tokens[1])

    def _note(self, scope: Scope, status: int, seconds: float) -> None:
        if scope["method"] != "POST" or scope["path"].rstrip("/") != WORK_PATH:
            return
        self._metrics.requests.labels(status).inc()
        self._metrics.seconds.observe(seconds)
        _log.info("answered", extra={"status": status, "seconds": round(seconds, 3), **(FACTS.get() or {})})


class StrictStatuses:
    """Answers with the statuses that go-livepeer survives.

    At any other its client has neither a result nor an error, and the orchestrator that called it dies of a nil
    pointer. A caller's mistakes become 400, all else 500; `X-Easel-Status` has what it was.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http" or scope["path"].rstrip("/") != WORK_PATH:
            await self._app(scope, receive, send)
            return

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] not in _SAFE:
                MutableHeaders(scope=message)[STATUS_HEADER] = str(message["status"])
                message["status"] = strict(message["status"])
            await send(message)

        await self._app(scope, receive, answer)


def strict(status: int) -> int:
    """What go-livepeer gets in the place of `status`; 429 says "not now", which is not the caller's mistake."""
    if status in _SAFE:
        return status
    return 400 if 400 <= status < 500 and status != 429 else 500


def _id(sent: str) -> str:
    """`sent` as far as it can stand in a header and a log line, else a new id."""
    return _NOT_OF_AN_ID.sub("", sent)[:_ID_LENGTH] or secrets.token_hex(8)


async def _answer(send: Send, error: ApiError) -> None:
    answer = JSONResponse(error.body(), error.status, error.headers)
    await send({"type": "http.response.start", "status": answer.status_code, "headers": answer.raw_headers})
    await send({"type": "http.response.body", "body": answer.body})
