"""`Accept: text/event-stream`: the same request, told as it goes.

    event: accepted  data: {"model_id", "state", "pixels", "images", "amount", "currency", "charge"}
    event: starting  data: {"seconds": 12.5, "reason": ""}    its model is not ready; null: no forecast
    event: queued    data: {"ahead": 2}                       requests before this one, here or at the runtime
    event: step      data: {"image": 1, "images": 1, "step": 3, "steps": 20}
    event: result    data: the JSON of the plain answer, and in `easel` what that has in headers
    event: error     data: {"status": 503, "detail": {"msg": "..."}, "retry_after": 30}

Exactly one `result` or `error` comes last. What is refused before the request is accepted at a price is answered as
ever. The work goes on whether or not the caller takes the events: who is slow gets fewer, never old ones.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from easel_crds.money import plain
from easel_gateway.access import ENDED
from easel_gateway.order import Order
from easel_http.accept import preferred
from easel_http.errors import CLIENT_CLOSED_REQUEST, ApiError, Failed, Unavailable
from easel_http.event_stream import EVENT_HEADERS, EVENTS, KEEP_ALIVE, KEEP_ALIVE_SECONDS, event, failure
from easel_http.logs import note
from easel_http.tracing import note_error

_log = logging.getLogger(__name__)
_PREFIX: Final = "x-easel-"

Json = dict[str, Any]
Work = Callable[["Untold"], Awaitable[tuple[Json, Mapping[str, str]]]]
"""Does what is asked for, tells of it, and returns what the plain answer would have: its JSON and its headers."""


def wants_events(request: Request) -> bool:
    """Whether the caller likes events better than the plain answer."""
    accept = ",".join(request.headers.getlist("accept"))
    return preferred(accept, ["application/json", EVENTS]) == EVENTS


def _acceptance(order: Order) -> Json:
    quote = order.quote
    return {
        "model_id": order.job.model_id,
        "state": order.state,
        "pixels": quote.pixels,
        "images": order.job.fields.num_images_per_prompt,
        "amount": plain(quote.amount),
        "currency": quote.currency,
        "charge": order.charge_id,
    }


class Untold:
    """A `Watch` that keeps what is to be told: the acceptance, and of all that follows the last thing alone."""

    def __init__(self) -> None:
        self.headers: Mapping[str, str] | None = None
        """What the acceptance says of the price; None: there was none yet."""
        self._acceptance: bytes = b""
        self._latest: tuple[str, Mapping[str, Any]] | None = None
        self._changed = asyncio.Event()

    def accepted(self, order: Order) -> None:
        """See `Watch`."""
        self.headers = order.quote.headers()
        self._acceptance = event("accepted", _acceptance(order))
        self._changed.set()

    def tell(self, name: str, data: Mapping[str, Any]) -> None:
        """See `Watch`."""
        self._latest = (name, data)
        self._changed.set()

    async def wait(self) -> None:
        """Return when there is something that was not taken yet."""
        await self._changed.wait()

    def take(self) -> bytes:
        """What was not taken yet, as events."""
        self._changed.clear()
        acceptance, self._acceptance = self._acceptance, b""
        latest, self._latest = self._latest, None
        return acceptance + (b"" if latest is None else event(*latest))


class EventStream(Response):
    """Has `work` done while it is told of; a refusal before the acceptance is answered plainly."""

    media_type = EVENTS

    def __init__(self, work: Work, stopping: str) -> None:
        """`stopping`: what callers hear whose work is ended with the server."""
        super().__init__(headers=EVENT_HEADERS)
        del self.headers["content-length"]
        self._work = work
        self._stopping = stopping

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer; the work ends with the answer, or when the caller leaves, which `work` sees for itself."""
        untold = Untold()
        working = asyncio.ensure_future(self._work(untold))
        try:
            await _news(working, untold, timeout=None)
            if untold.headers is not None:
                self.headers.update(untold.headers)
            elif (refused := self._refused(working)) is not None:
                await refused(scope, receive, send)
                return
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            await self._follow(working, untold, send)
            await send({"type": "http.response.body", "body": _last(working)})
        except ClientDisconnect:
            note(**{ENDED: CLIENT_CLOSED_REQUEST})
        finally:
            working.cancel()
            await asyncio.gather(working, return_exceptions=True)

    def _refused(self, working: asyncio.Future[tuple[Json, Mapping[str, str]]]) -> Response | None:
        """The answer to what was refused; None: it was answered before."""
        try:
            _, headers = working.result()
        except ApiError as error:
            return JSONResponse(error.body(), error.status, error.headers)
        self.headers.update(headers)
        return None

    async def _follow(self, working: asyncio.Future[Any], untold: Untold, send: Send) -> None:
        """Tell what happens until the work has ended, or the server does."""
        try:
            while not working.done():
                silent = not await _news(working, untold, KEEP_ALIVE_SECONDS)
                piece = KEEP_ALIVE if silent else untold.take()
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body", "body": untold.take(), "more_body": True})
        except asyncio.CancelledError:
            await send({"type": "http.response.body", "body": _told(Unavailable(self._stopping, retry_after=1))})
            raise


async def _news(working: asyncio.Future[Any], untold: Untold, timeout: float | None) -> bool:  # noqa: ASYNC109 (not its error)
    """Whether something happened before `timeout`."""
    news = asyncio.create_task(untold.wait())
    done, _ = await asyncio.wait((working, news), timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
    news.cancel()
    return bool(done)


def _last(working: asyncio.Future[tuple[Json, Mapping[str, str]]]) -> bytes:
    """The last event."""
    try:
        document, headers = working.result()
    except ApiError as error:
        return _told(error)
    except ClientDisconnect:
        raise
    except Exception as error:
        _log.exception("unexpected error")
        return _told(Failed("internal error; the server's log has more"), error)
    return event("result", {**document, "easel": facts(headers)})


def facts(headers: Mapping[str, str]) -> dict[str, str]:
    """What the headers of a plain answer say of it: `X-Easel-Model-State` is `model_state`."""
    return {name.lower().removeprefix(_PREFIX).replace("-", "_"): value for name, value in headers.items()}


def _told(error: ApiError, cause: Exception | None = None) -> bytes:
    note(**{ENDED: error.status})
    if error.status >= 500:  # the span has the answer's status, which was 200
        note_error(cause or error)
    return event("error", failure(error))
