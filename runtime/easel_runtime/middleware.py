"""What is told of the requests for work in the end, and statuses for go-livepeer."""

import logging
from typing import Final

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from easel_http.requests import Answered
from easel_runtime.metrics import Metrics

STATUS_HEADER: Final = "X-Easel-Status"
WORK_PATH: Final = "/image-to-image"
_SAFE: Final = frozenset({200, 400, 401, 422, 500})
_log = logging.getLogger(__name__)


class Told:
    """Logs and counts the answers to requests for work."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def __call__(self, answered: Answered) -> None:
        """One request."""
        if answered.method != "POST" or answered.path.rstrip("/") != WORK_PATH:
            return
        self._metrics.requests.labels(answered.status).inc()
        self._metrics.seconds.observe(answered.seconds)
        line = {"status": answered.status, "seconds": round(answered.seconds, 3), **answered.facts}
        _log.info("answered", extra=line)


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
