"""The form as it goes to a runtime: whole, or as it comes in, with what the caller sent and nothing else."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Final

import aiohttp

from easel_gateway.admission import Job
from easel_gateway.forwarding import Tell
from easel_gateway.order import Order
from easel_http.fields import OWN_FIELDS
from easel_http.ids import new_id
from easel_http.spool import Spool

_IN_ONE_PIECE: Final = 1 << 18
"""Bytes of an image in memory that are sent together with the fields."""


class Outgoing:
    """A form for one runtime; `tell` is told what that does."""

    def __init__(self, model_id: str, image: Spool, boundary: str, tell: Tell | None) -> None:
        self.model_id = model_id
        self.tell = tell
        self.asked_for: asyncio.Future[bool] | None = None
        """Of a form that was sent in one piece, without waiting to be asked for it: done once the runtime has."""
        self.withdrawn = False
        """Whether it ended on our side: that is nothing to blame a runtime for."""
        self.headers: Mapping[str, str] = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
        self._image = image
        self._boundary = boundary
        self._ended = False

    @property
    def can_be_worked_on(self) -> bool:
        """Whether the runtime may have had the whole form, and wanted it."""
        return self._ended and (self.asked_for is None or self.asked_for.done())

    async def job(self) -> Job:
        """What the runtime works on, once that is known."""
        raise NotImplementedError

    def payload(self) -> aiohttp.Payload | AsyncIterator[bytes]:
        """The body, for aiohttp."""
        raise NotImplementedError

    def _before_image(self) -> bytes:
        return (
            f'--{self._boundary}\r\nContent-Disposition: form-data; name="image"; filename="image"\r\n'
            "Content-Type: application/octet-stream\r\n\r\n"
        ).encode()

    def _after_image(self, job: Job) -> bytes:
        texts = "".join(
            f'\r\n--{self._boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}'
            for name, value in _texts(job)
        )
        return f"{texts}\r\n--{self._boundary}--\r\n".encode()


class Arrived(Outgoing):
    """The form of a job that is known, its image complete."""

    def __init__(self, job: Job, tell: Tell | None = None) -> None:
        super().__init__(job.model_id, job.image, new_id(), tell)
        self._job = job
        self._head, self._tail = self._before_image(), self._after_image(job)
        length = len(self._head) + job.image.size + len(self._tail)
        self.headers = {**self.headers, "Content-Length": str(length)}

    async def job(self) -> Job:
        return self._job

    def payload(self) -> aiohttp.Payload | AsyncIterator[bytes]:
        if self._image.in_memory and self._image.size <= _IN_ONE_PIECE:
            self._ended = True
            return InOnePiece(self, b"".join((self._head, self._image.whole(), self._tail)))
        return self._pieces()

    async def _pieces(self) -> AsyncIterator[bytes]:
        yield self._head
        async for chunk in self._image.chunks():
            yield chunk
        self._ended = True  # before the last bytes: who asks later must not believe that none were sent
        yield self._tail


class Arriving(Outgoing):
    """The form while its image is still arriving: sent as it comes, and ended once `admitting` says that it may."""

    def __init__(self, model_id: str, image: Spool, admitting: asyncio.Task[Order], tell: Tell | None = None) -> None:
        super().__init__(model_id, image, new_id(), tell)
        self._admitting = admitting

    async def job(self) -> Job:
        await asyncio.wait({self._admitting})  # not awaited itself: a runtime that goes away must not end it
        return self._admitting.result().job

    def payload(self) -> aiohttp.Payload | AsyncIterator[bytes]:
        return self._pieces()

    async def _pieces(self) -> AsyncIterator[bytes]:
        yield self._before_image()
        async for chunk in self._image.chunks():
            yield chunk
        try:
            job = await self.job()
        except BaseException:
            self.withdrawn = True
            raise
        self._ended = True
        yield self._after_image(job)


class InOnePiece(aiohttp.BytesPayload):
    """All of a form that is small."""

    def __init__(self, outgoing: Outgoing, data: bytes) -> None:
        super().__init__(data)
        self.outgoing = outgoing


def _texts(job: Job) -> Iterator[tuple[str, str]]:
    """What the caller sent, and nothing else: the runtime must see which fields were left out."""
    for name, value in job.fields.model_dump(exclude_unset=True, exclude=set(OWN_FIELDS)).items():
        yield name, json.dumps(value) if isinstance(value, dict | bool) else str(value)
