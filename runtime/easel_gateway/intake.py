"""A request's way through the gateway, whichever dialect it came in: read, accept, hold, have it worked on, answer.

A large image for a runtime that has room is not kept first: it goes there while it arrives, and the form is ended, so
that work begins, only once everything about the request is known to be right.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from starlette.requests import Request

from easel_gateway.admission import Job, admit, find_model, looks_right
from easel_gateway.directory import Directory, Endpoint
from easel_gateway.outgoing import Arriving
from easel_gateway.serving import Serving
from easel_gateway.settings import Settings
from easel_gateway.upstream import Answer, NotTaken
from easel_http.disconnect import while_connected
from easel_http.errors import InvalidForm
from easel_http.fields import ImageToImageFields
from easel_http.form import Form, FormReader
from easel_http.parts import SEED, FormLimits, Names
from easel_http.spool import Spool

_STREAM_BYTES: Final = 2 << 20
"""Bytes of an image that stay in memory while it is on its way to a runtime that takes it: there are few of these."""
_STREAM_SECONDS: Final = 2.0
"""Longest time that a runtime waits for the rest of an upload; a slower one is kept here until it is whole."""


class Content(Protocol):
    """What a request consists of: fields and an image; see `FormReader`."""

    @property
    def image(self) -> Spool: ...
    @property
    def ended(self) -> bool: ...
    async def read(self) -> None: ...
    async def read_beginning(self) -> None: ...
    def so_far(self, name: str) -> str: ...
    def fields(self, required: tuple[str, ...] = ()) -> ImageToImageFields: ...
    def close(self) -> None: ...


@dataclass(frozen=True)
class Given:
    """Content that has arrived whole, by another way than a form."""

    texts: dict[str, str]
    image: Spool
    ended: bool = True

    async def read(self) -> None:
        """There is nothing left to read."""

    async def read_beginning(self) -> None:
        """There is nothing left to read."""

    def so_far(self, name: str) -> str:
        """The text of the field that we call `name`."""
        return self.texts.get(name, "")

    def fields(self, required: tuple[str, ...] = ()) -> ImageToImageFields:
        """The valid fields; raises InvalidForm."""
        fields = ImageToImageFields.from_texts(self.texts)
        for name in required:
            if not self.texts.get(name):
                raise InvalidForm.at(name, "Field required", kind="missing")
        return fields

    def close(self) -> None:
        """Give back what the image takes."""
        self.image.close()


@dataclass
class Upload:
    """One request from its head to its answer."""

    content: Content
    held: AsyncExitStack = field(default_factory=AsyncExitStack)
    """What is given back when the request has ended."""


@dataclass(frozen=True)
class Intake:
    """What every dialect's route hands its requests to."""

    settings: Settings
    directory: Directory
    serving: Serving

    @asynccontextmanager
    async def form(self, request: Request, names: Names = SEED) -> AsyncIterator[Upload]:
        """The beginning of a multipart form; the rest is read by `serve`.

        Raises:
            ApiError: what `FormReader` raises.
        """
        settings = self.settings
        limits = FormLimits(
            body_bytes=settings.body_bytes, seconds=settings.upload_seconds, spare_bytes=settings.spare_bytes
        )
        async with self._opened(FormReader(request.headers, request.stream(), limits, names)) as upload:
            await upload.content.read_beginning()
            yield upload

    @asynccontextmanager
    async def whole(self, _: Request, texts: dict[str, str], image: bytes) -> AsyncIterator[Upload]:
        """A request whose fields (by our names) and image came in another way than a form."""
        spool = Spool(spare_bytes=self.settings.spare_bytes)
        async with self._opened(Given(texts, spool)) as upload:
            await spool.write(image)
            await spool.finish()
            yield upload

    async def serve(self, request: Request, upload: Upload) -> Answer:
        """The answer to the request.

        Raises:
            ApiError: whatever speaks against it, or goes wrong.
            ClientDisconnect: the caller has left.
        """
        content = upload.content
        answer: Answer | None = None
        if not content.ended and (endpoint := self._early_endpoint(content)) is not None:
            job, answer = await self._streamed(request, upload, content.so_far("model_id"), endpoint)
        else:
            job = await self.accepted(upload)
        if answer is None:
            answer = await while_connected(request, self.serving.answer(job))
        return answer

    async def accepted(self, upload: Upload) -> Job:
        """The job of the request, once all of it has arrived and nothing speaks against it."""
        content = upload.content
        if not content.ended:
            await content.read()
        form = Form(content.fields(("model_id",)), content.image)
        return await admit(form, find_model(form.fields, self.directory.entries()))

    def url(self, request: Request, path: str) -> str:
        """Where the caller fetches the result that is stored under `path`."""
        base = self.settings.public_url.rstrip("/")
        if not base and (host := request.headers.get("host")):
            base = f"{request.scope['scheme']}://{host}"
        return f"{base or str(request.base_url).rstrip('/')}/stream/{path}"

    @asynccontextmanager
    async def _opened(self, content: Content) -> AsyncIterator[Upload]:
        upload = Upload(content)
        try:
            async with upload.held:
                yield upload
        finally:
            content.close()

    def _early_endpoint(self, content: Content) -> Endpoint | None:
        """A runtime with room for the request, if what has arrived of it looks right."""
        entry = self.directory.entries().get(content.so_far("model_id"))
        if entry is None or not entry.endpoints or not looks_right(content.image, entry.model):
            return None
        return self.serving.waiting.at_once(entry.model.spec.model_id)

    async def _streamed(
        self, request: Request, upload: Upload, model_id: str, endpoint: Endpoint
    ) -> tuple[Job, Answer | None]:
        """The job of a request whose image goes to `endpoint` while it arrives; the answer, unless it took nothing."""
        with ExitStack() as place:
            place.callback(self.serving.waiting.release, model_id, endpoint)
            image = upload.content.image
            kept, image.memory_bytes = image.memory_bytes, _STREAM_BYTES
            admitting = asyncio.create_task(self.accepted(upload))
            outgoing = Arriving(model_id, image, admitting)
            sending = asyncio.create_task(self.serving.attempt(endpoint, outgoing))
            try:
                await asyncio.wait((admitting, sending), timeout=_STREAM_SECONDS, return_when=asyncio.FIRST_COMPLETED)
                if not admitting.done():  # it has refused, or the upload is so slow that others should have the place
                    await _ended(sending)
                    place.close()
                    image.memory_bytes = kept
                job = await admitting
                answer = await while_connected(request, self._finished(job, sending))
                if answer is None:
                    await image.shrink(kept)
                return job, answer
            finally:
                await _ended(admitting, sending)

    async def _finished(self, job: Job, sending: asyncio.Task[Answer]) -> Answer | None:
        await asyncio.wait({sending})
        if sending.cancelled():
            return None
        try:
            answer = sending.result()
        except NotTaken:
            return None
        return await self.serving.finish(job, answer)


async def _ended(*tasks: asyncio.Task[Any]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
