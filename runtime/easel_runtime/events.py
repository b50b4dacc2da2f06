"""`Accept: text/event-stream`: the same request, told as it goes (server-sent events, as the HTML standard has them).

    event: queued   data: {"ahead": 2}                                 requests before this one
    event: step     data: {"image": 1, "images": 1, "step": 3, "steps": 20}
    event: result   data: the contract's JSON
    event: error    data: {"status": 500, "detail": {"msg": "..."}}    as an answer of that status would have it

Exactly one `result` or `error` comes last. A caller who takes events slowly gets fewer steps, never old ones.
"""

import asyncio
import json
import logging
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import asdict
from typing import Any, Final

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from easel_http.errors import ApiError, Failed
from easel_runtime.answers import EVENTS, contract_json, send_piece, until_refused
from easel_runtime.engine import Generation
from easel_runtime.finishing import Output
from easel_runtime.job import Step
from easel_runtime.worker import Worker

_log = logging.getLogger(__name__)
_KEEP_ALIVE_SECONDS: Final = 10.0
"""Proxies close connections on which nothing comes for a minute or less."""

EVENT_SCHEMA: Final[dict[str, Any]] = {
    "description": "Each of the events.",
    "type": "object",
    "properties": {
        "event": {"type": "string", "enum": ["queued", "step", "result", "error"]},
        "data": {"type": "string", "contentMediaType": "application/json"},
    },
    "required": ["event", "data"],
}
"""Of one event, for OpenAPI."""


class _Latest:
    """The last step that was made: one value from the model's thread to the event loop."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._changed = asyncio.Event()
        self._step: Step | None = None

    def put(self, step: Step) -> None:
        """From the model's thread."""
        self._step = step
        self._loop.call_soon_threadsafe(self._changed.set)

    async def wait(self) -> None:
        """Return when there is a step that was not taken yet."""
        await self._changed.wait()

    def take(self) -> Step | None:
        """The last step, if it was not taken yet."""
        self._changed.clear()
        step, self._step = self._step, None
        return step


class EventStream(Response):
    """Works on a request while it is being answered; keeps the caller's place (`held`) until the end of it."""

    media_type = EVENTS

    def __init__(self, worker: Worker, generation: Generation, headers: Mapping[str, str], held: ExitStack) -> None:
        # X-Accel-Buffering: nginx would else collect the events.
        super().__init__(headers={**headers, "Vary": "Accept", "Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._worker = worker
        self._generation = generation
        self._held = held

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 (ASGI's)
        """Stream the events; the work stops when the caller leaves, or takes nothing any more."""
        with self._held, until_refused():
            latest = _Latest()
            ahead = self._worker.ahead
            working = asyncio.create_task(self._worker.generate(self._generation, watch=latest.put))
            leaving = asyncio.create_task(_disconnected(receive))
            try:
                await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
                await send_piece(send, _event("queued", {"ahead": ahead}))
                if await _follow(working, leaving, latest, send):
                    await _send_end(working, send)
                    await send({"type": "http.response.body", "body": b""})
            finally:
                working.cancel()
                leaving.cancel()
                await asyncio.gather(working, leaving, return_exceptions=True)


async def _follow(
    working: asyncio.Task[list[Output]], leaving: asyncio.Task[None], latest: _Latest, send: Send
) -> bool:
    """Tell each step until the work has ended (True) or the caller has left (False)."""
    while not working.done() and not leaving.done():
        stepping = asyncio.create_task(latest.wait())
        done, _ = await asyncio.wait(
            (working, leaving, stepping), timeout=_KEEP_ALIVE_SECONDS, return_when=asyncio.FIRST_COMPLETED
        )
        stepping.cancel()
        if (step := latest.take()) is not None:
            await send_piece(send, _event("step", asdict(step)))
        elif not done:
            await send_piece(send, b": still here\n\n")
    return not leaving.done()


async def _send_end(working: asyncio.Task[list[Output]], send: Send) -> None:
    try:
        outputs = working.result()
    except ApiError as error:
        await send_piece(send, _event("error", {"status": error.status, **error.body()}))
        return
    except Exception:
        _log.exception("unexpected error")
        failed = Failed("internal error; the server's log has more")
        await send_piece(send, _event("error", {"status": failed.status, **failed.body()}))
        return
    await send_piece(send, b"event: result\ndata: ")
    pieces = contract_json(outputs)
    while (piece := await asyncio.to_thread(next, pieces, None)) is not None:
        await send_piece(send, piece)
    await send_piece(send, b"\n\n")


def _event(name: str, data: Mapping[str, Any]) -> bytes:
    return f"event: {name}\ndata: {json.dumps(data)}\n\n".encode()


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
