"""The same request, told as it goes: server-sent events, or for the gateway the parts of one body.

    event: queued   data: {"ahead": 2}                                 requests before this one
    event: step     data: {"image": 1, "images": 1, "step": 3, "steps": 20}
    event: result   data: the contract's JSON
    event: error    data: {"status": 500, "detail": {"msg": "..."}}    as an answer of that status would have it

Exactly one `result` or `error` comes last. A caller who takes events slowly gets fewer steps, never old ones. In parts,
the images themselves are the result, and an event is a part whose header names it.
"""

import asyncio
import json
import logging
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from types import MappingProxyType
from typing import Any, Final, Protocol

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from easel_http.errors import ApiError, Failed
from easel_http.event_stream import (
    EVENT,
    EVENT_HEADERS,
    EVENTS,
    KEEP_ALIVE,
    KEEP_ALIVE_SECONDS,
    PROGRESS,
    event,
    failure,
)
from easel_http.image_headers import WORKED
from easel_http.logs import noted
from easel_runtime.answers import (
    JSON,
    contract_json,
    last_boundary,
    part_head,
    parts,
    send_piece,
    until_refused,
)
from easel_runtime.engine import Generation
from easel_runtime.finishing import Output
from easel_runtime.job import Step
from easel_runtime.worker import Worker

_log = logging.getLogger(__name__)


class Telling(Protocol):
    """How events are written."""

    media_type: str
    still_here: bytes
    """For times in which nothing happens."""

    def event(self, name: str, data: Mapping[str, Any]) -> bytes:
        """One that is not the last."""

    def error(self, data: Mapping[str, Any]) -> bytes:
        """The last one, if the request fails."""

    def result(self, outputs: Sequence[Output]) -> Iterator[bytes]:
        """The last one, if it does not."""


class ServerSent:
    """As pages and scripts read them."""

    media_type = EVENTS
    still_here = KEEP_ALIVE

    def event(self, name: str, data: Mapping[str, Any]) -> bytes:
        """See `Telling`."""
        return event(name, data)

    def error(self, data: Mapping[str, Any]) -> bytes:
        """See `Telling`."""
        return event("error", data)

    def result(self, outputs: Sequence[Output]) -> Iterator[bytes]:
        """See `Telling`."""
        yield b"event: result\ndata: "
        yield from contract_json(outputs)
        yield b"\n\n"


class InParts:
    """As the gateway reads them, which gets the images' bytes as they are."""

    still_here = b""

    def __init__(self) -> None:
        self._boundary = secrets.token_hex(16)
        self.media_type = f"{PROGRESS}; boundary={self._boundary}"

    def event(self, name: str, data: Mapping[str, Any]) -> bytes:
        """See `Telling`."""
        body = json.dumps(data).encode()
        return b"".join((part_head(self._boundary, JSON, len(body), {EVENT: name}), body, b"\r\n"))

    def error(self, data: Mapping[str, Any]) -> bytes:
        """See `Telling`."""
        return self.event("error", data) + last_boundary(self._boundary)

    def result(self, outputs: Sequence[Output]) -> Iterator[bytes]:
        """See `Telling`; what else is said in a header of the answer was not known when that began."""
        return parts(outputs, self._boundary, {WORKED: str(noted("worked"))})


FORMS: Final[Mapping[str, Callable[[], Telling]]] = MappingProxyType({EVENTS: ServerSent, PROGRESS: InParts})


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

    def __init__(
        self, worker: Worker, generation: Generation, telling: Telling, headers: Mapping[str, str], held: ExitStack
    ) -> None:
        super().__init__(media_type=telling.media_type, headers={**headers, **EVENT_HEADERS})
        del self.headers["content-length"]
        self._worker = worker
        self._generation = generation
        self._telling = telling
        self._held = held

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 (ASGI's)
        """Stream the events; the work stops when the caller leaves, or takes nothing any more."""
        telling = self._telling
        with self._held, until_refused():
            latest = _Latest()
            ahead = self._worker.ahead
            working = asyncio.create_task(self._worker.generate(self._generation, watch=latest.put))
            leaving = asyncio.create_task(_disconnected(receive))
            try:
                await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
                await send_piece(send, telling.event("queued", {"ahead": ahead}))
                if await self._follow(working, leaving, latest, send):
                    await self._send_end(working, send)
                    await send({"type": "http.response.body", "body": b""})
            finally:
                working.cancel()
                leaving.cancel()
                await asyncio.gather(working, leaving, return_exceptions=True)

    async def _follow(
        self, working: asyncio.Task[list[Output]], leaving: asyncio.Task[None], latest: _Latest, send: Send
    ) -> bool:
        """Tell each step until the work has ended (True) or the caller has left (False)."""
        while not working.done() and not leaving.done():
            stepping = asyncio.create_task(latest.wait())
            done, _ = await asyncio.wait(
                (working, leaving, stepping), timeout=KEEP_ALIVE_SECONDS, return_when=asyncio.FIRST_COMPLETED
            )
            stepping.cancel()
            if (step := latest.take()) is not None:
                await send_piece(send, self._telling.event("step", asdict(step)))
            elif not done:
                await send_piece(send, self._telling.still_here)
        return not leaving.done()

    async def _send_end(self, working: asyncio.Task[list[Output]], send: Send) -> None:
        try:
            outputs = working.result()
        except ApiError as error:
            await send_piece(send, self._telling.error(failure(error)))
            return
        except Exception:
            _log.exception("unexpected error")
            failed = Failed("internal error; the server's log has more")
            await send_piece(send, self._telling.error(failure(failed)))
            return
        pieces = self._telling.result(outputs)
        while (piece := await asyncio.to_thread(next, pieces, None)) is not None:
            await send_piece(send, piece)


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
