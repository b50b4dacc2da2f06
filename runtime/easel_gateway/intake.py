"""A request's way through the gateway, whichever dialect it came in: read, accept, hold, have it worked on, answer.

A large image for a runtime that has room is not kept first: it goes there while it arrives, and the form is ended, so
that work begins, only once everything about the request is known to be right.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Final

from starlette.requests import Request

from easel_gateway.acceptance import Acceptance, Replayed
from easel_gateway.admission import looks_right
from easel_gateway.answer import Answer
from easel_gateway.directory import Directory, Endpoint
from easel_gateway.keys import Caller, KeyRing, identify
from easel_gateway.order import Order, Reply
from easel_gateway.outgoing import Arriving
from easel_gateway.serving import Serving
from easel_gateway.settings import Settings
from easel_gateway.upload import Given, Upload
from easel_gateway.upstream import NotTaken
from easel_http.disconnect import while_connected
from easel_http.errors import NotFound
from easel_http.form import FormReader
from easel_http.logs import note
from easel_http.parts import SEED, FormLimits, Names
from easel_http.spool import Spool

_log = logging.getLogger(__name__)
Read = Callable[[Caller, Spool], Awaitable[dict[str, str]]]
"""Reads a body: writes its image into the spool, finishes that, and returns the texts by our names; raises ApiError."""
_AT_ONCE: Final = 2
"""Bodies that are whole in memory at one time, because they cannot be understood otherwise."""
_STREAM_BYTES: Final = 2 << 20
"""Bytes of an image that stay in memory while it is on its way to a runtime that takes it: there are few of these."""
_STREAM_SECONDS: Final = 2.0
"""Longest time that a runtime waits for the rest of an upload; a slower one is kept here until it is whole."""


@dataclass(frozen=True)
class Intake:
    """What every dialect's route hands its requests to."""

    settings: Settings
    directory: Directory
    acceptance: Acceptance
    serving: Serving
    keys: KeyRing
    in_memory: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_AT_ONCE))
    """To be held while a body is whole in memory."""

    @asynccontextmanager
    async def form(self, request: Request, names: Names = SEED, *, any_model: bool = False) -> AsyncIterator[Upload]:
        """The beginning of a multipart form; the rest is read by `serve`.

        `any_model`: one that names no model is for the only one that there is.

        Raises:
            ApiError: what `FormReader` raises.
        """
        settings = self.settings
        limits = FormLimits(
            body_bytes=settings.body_bytes, seconds=settings.upload_seconds, spare_bytes=settings.spare_bytes
        )
        caller = self._caller(request)
        with self.serving.limits.enter(caller):
            reader = FormReader(request.headers, request.stream(), limits, names)
            async with Upload(reader, request.headers, caller, any_model=any_model) as upload:
                await reader.read_beginning()
                yield upload

    @asynccontextmanager
    async def whole(self, request: Request, read: Read) -> AsyncIterator[Upload]:
        """A request whose fields and image come in another way than a form: `read` reads its body, once it may come in.

        Raises:
            ApiError: what `read` raises.
        """
        caller = self._caller(request)
        with self.serving.limits.enter(caller):
            content = Given({}, Spool(spare_bytes=self.settings.spare_bytes))
            async with Upload(content, request.headers, caller) as upload:
                content.texts.update(await read(caller, content.image))
                yield upload

    async def serve(self, request: Request, upload: Upload) -> Reply:
        """The reply to the request.

        Raises:
            ApiError: whatever speaks against it, or goes wrong.
            ClientDisconnect: the caller has left.
        """
        content = upload.content
        reply: Reply | None = None
        try:
            if not content.ended and (endpoint := self._early_endpoint(upload)) is not None:
                order, reply = await self._streamed(request, upload, content.so_far("model_id"), endpoint)
            else:
                order = await self._ordered(upload)
        except Replayed as replayed:
            return await self._replay(replayed)
        if reply is None:
            reply = await while_connected(request, self.serving.reply(order, upload.tell))
        upload.charged = True
        return reply

    async def url(self, request: Request, path: str) -> str:
        """Where the caller fetches the result that is stored under `path`."""
        try:
            if own := await self.serving.results.url(path):
                return own
        except OSError as error:  # it is paid for: better by a detour than not at all
            _log.warning("no address of the store's own for a result: %s", error)
        base = self.settings.public_url.rstrip("/")
        if not base and (host := request.headers.get("host")):
            base = f"{request.scope['scheme']}://{host}"
        return f"{base or str(request.base_url).rstrip('/')}/stream/{path}"

    async def _replay(self, replayed: Replayed) -> Reply:
        reply = replayed.reply
        if not replayed.inline:
            return reply
        try:
            return replace(reply, files=await self.serving.files(reply.images))
        except FileNotFoundError as error:
            raise NotFound("the answer to this Idempotency-Key has expired: send another key") from error

    def _caller(self, request: Request) -> Caller:
        """Who asks: looked at before the body is read."""
        caller = identify(request.headers, self.keys, required=self.settings.keys_required)
        note(caller=caller.name)
        return caller

    def _early_endpoint(self, upload: Upload) -> Endpoint | None:
        """A runtime with room for the request, if what has arrived of it looks right."""
        entry = self.directory.entries().get(upload.content.so_far("model_id"))
        if entry is None or not entry.endpoints or not upload.caller.policy.allows(entry.model.spec.model_id):
            return None
        if not looks_right(upload.content.image, entry.model):
            return None
        return self.serving.waiting.at_once(entry.model.spec.model_id)

    async def _streamed(
        self, request: Request, upload: Upload, model_id: str, endpoint: Endpoint
    ) -> tuple[Order, Reply | None]:
        """The order of a request whose image goes to `endpoint` while it arrives; the reply, unless it took nothing."""
        with ExitStack() as place:
            place.callback(self.serving.waiting.release, model_id, endpoint)
            image = upload.content.image
            kept, image.memory_bytes = image.memory_bytes, _STREAM_BYTES
            admitting = asyncio.create_task(self._ordered(upload))
            outgoing = Arriving(model_id, image, admitting, upload.tell)
            sending = asyncio.create_task(self.serving.attempt(endpoint, outgoing))
            try:
                await asyncio.wait((admitting, sending), timeout=_STREAM_SECONDS, return_when=asyncio.FIRST_COMPLETED)
                if not admitting.done():  # it has refused, or the upload is so slow that others should have the place
                    await _ended(sending)
                    place.close()
                    image.memory_bytes = kept
                order = await admitting
                reply = await while_connected(request, self._finished(order, sending))
                if reply is None:
                    await image.shrink(kept)
                return order, reply
            finally:
                await _ended(admitting, sending)

    async def _ordered(self, upload: Upload) -> Order:
        order = await self.acceptance.order(upload)
        if upload.watch is not None:
            upload.watch.accepted(order)
        return order

    async def _finished(self, order: Order, sending: asyncio.Task[Answer]) -> Reply | None:
        await asyncio.wait({sending})
        if sending.cancelled():
            return None
        try:
            answer = sending.result()
        except NotTaken:
            return None
        return await self.serving.finish(order, answer, 0.0)


async def _ended(*tasks: asyncio.Task[Any]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
