"""The answer to `POST /image-to-image`, in the form that the caller accepts.

The contract's JSON carries each image as a base64 data URL. The gateway accepts `multipart/mixed` and gets the bytes
themselves: one part per image, its seed and flag in headers. Who wants one image and accepts `image/png`, `image/webp`
or `image/jpeg` gets that file. What tells of the work while it lasts is in `events`.
"""

import asyncio
import base64
import json
import logging
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from types import MappingProxyType
from typing import Final

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from easel_http.accept import preferred
from easel_http.event_stream import EVENTS, PROGRESS
from easel_http.image_headers import NSFW, SEED
from easel_runtime.encoding import ENCODERS
from easel_runtime.finishing import Output

_log = logging.getLogger(__name__)
JSON: Final = "application/json"
MULTIPART: Final = "multipart/mixed"

_SIDES: Final[Mapping[str, int]] = MappingProxyType({"image/webp": 16383, "image/jpeg": 65500})
"""Longest side in pixels that a format can have."""
_BEGINNING: Final = '{"images":['
_SLICE: Final = 256 << 10
_SEND_SECONDS: Final = 60.0
"""Longest time in which a caller takes not even one slice of the answer; its place is needed."""


def form_of(accept: str, count: int, size: tuple[int, int]) -> str:
    """Media type of the answer with `count` images of `size` to a caller who sent `accept`."""
    files = [kind for kind in ENCODERS if max(size) <= _SIDES.get(kind, max(size))] if count == 1 else []
    return preferred(accept, [JSON, MULTIPART, EVENTS, PROGRESS, *files])


def contract_json(outputs: Sequence[Output]) -> Iterator[bytes]:
    """The contract's JSON, a piece per image, of which there is at least one."""
    for number, output in enumerate(outputs, start=1):
        head = f'{"," if number > 1 else _BEGINNING}{{"url":"data:{output.file.media_type};base64,'
        rest = json.dumps({"seed": output.seed, "nsfw": output.nsfw}, separators=(",", ":"))[1:]
        end = "]}" if number == len(outputs) else ""
        yield b"".join((head.encode(), base64.b64encode(output.file.data), b'",', rest.encode(), end.encode()))


def answer(outputs: Sequence[Output], form: str, headers: Mapping[str, str], held: ExitStack) -> Response:
    """`outputs` in the `form` that `form_of` found; `held` is let go when the caller has it, or has left."""
    if form == MULTIPART:
        boundary = secrets.token_hex(16)
        pieces = parts(outputs, boundary, {})
        return Answer(pieces, f"{MULTIPART}; boundary={boundary}", headers, held, ready=True)
    if form in ENCODERS:
        (output,) = outputs
        facts = {**headers, **_facts(output), "Content-Length": str(len(output.file.data))}
        return Answer(iter([output.file.data]), form, facts, held, ready=True)
    return Answer(contract_json(outputs), JSON, headers, held, ready=False)


class Answer(Response):
    """An answer that is sent piece by piece and keeps its caller's place until it is sent.

    `ready`: the pieces are there already; else each is made off the event loop.
    """

    def __init__(
        self, pieces: Iterator[bytes], media_type: str, headers: Mapping[str, str], held: ExitStack, *, ready: bool
    ) -> None:
        super().__init__(media_type=media_type)
        del self.headers["content-length"]  # of no body at all
        self.headers.update({**headers, "Vary": "Accept"})
        self._pieces = pieces
        self._held = held
        self._ready = ready

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 (ASGI's)
        """Send it, unless the caller stops taking it."""
        with self._held, until_refused():
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            while (piece := await self._next()) is not None:
                await send_piece(send, piece)
            await send({"type": "http.response.body", "body": b""})

    async def _next(self) -> bytes | None:
        # A thread costs a small image's answer more than all else that is done for it.
        return next(self._pieces, None) if self._ready else await asyncio.to_thread(next, self._pieces, None)


async def send_piece(send: Send, piece: bytes) -> None:
    """Send a piece of a body, with more to come.

    Raises:
        TimeoutError: the caller takes nothing.
    """
    for start in range(0, len(piece), _SLICE):
        async with asyncio.timeout(_SEND_SECONDS):
            await send({"type": "http.response.body", "body": piece[start : start + _SLICE], "more_body": True})


@contextmanager
def until_refused() -> Iterator[None]:
    """Ends when the caller takes nothing any more; the server then closes the connection, as the body is not whole."""
    try:
        yield
    except TimeoutError:
        _log.warning("the caller stopped taking the answer")


def _facts(output: Output) -> dict[str, str]:
    return {SEED: str(output.seed), NSFW: str(output.nsfw).lower()}


def parts(outputs: Sequence[Output], boundary: str, more: Mapping[str, str]) -> Iterator[bytes]:
    """A part per image, with `more` headers, and the end of the body."""
    for output in outputs:
        yield part_head(boundary, output.file.media_type, len(output.file.data), {**_facts(output), **more})
        yield output.file.data
        yield b"\r\n"
    yield last_boundary(boundary)


def part_head(boundary: str, media_type: str, length: int, more: Mapping[str, str]) -> bytes:
    """What stands before the `length` bytes of a part, with `more` headers; behind them comes a line's end."""
    facts = {"Content-Type": media_type, "Content-Length": str(length), **more}
    head = "".join(f"{name}: {value}\r\n" for name, value in facts.items())
    return f"--{boundary}\r\n{head}\r\n".encode()


def last_boundary(boundary: str) -> bytes:
    """The end of a body in parts."""
    return f"--{boundary}--\r\n".encode()
