"""Results in a bucket of S3, or of whatever speaks its protocol: what several gateways share without a common disk.

Address, region and credentials come from the usual AWS_... variables, as the client of obstore reads them.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final, TypeVar, cast

import obstore
from obstore.exceptions import BaseError
from obstore.store import S3Store as Bucket
from starlette.responses import Response, StreamingResponse

from easel_gateway.results import SAFE_ID, file_headers
from easel_gateway.results.ranges import RangeNotSatisfiable, byte_range
from easel_http.ids import new_id

if TYPE_CHECKING:
    from obstore import ObjectMeta

_T = TypeVar("_T")
_SECONDS: Final = 60.0
"""Longest time for one request to the bucket, the client's own retries included."""
_RETRIES: Final = 4
_PUT_BYTES: Final = 64 << 20
"""Largest image; it is in memory while it is uploaded, so that it is there whole or not at all."""


class S3Store:
    """A `ResultStore` below `prefix` of a bucket; what is older than `seconds` is not found, and swept away."""

    def __init__(self, url: str, seconds: float, *, signed: bool = False) -> None:
        """`url`: s3://bucket/prefix. `signed`: callers get addresses of the bucket itself, signed for `seconds`.

        Raises:
            OSError: it is no such URL, or the variables make no sense.
        """
        try:
            self._bucket = cast(
                "Bucket",
                obstore.store.from_url(
                    url,
                    client_options={"timeout": timedelta(seconds=_SECONDS), "allow_http": True},
                    retry_config={"max_retries": _RETRIES, "retry_timeout": timedelta(seconds=_SECONDS)},
                ),
            )
        except (BaseError, ValueError) as error:
            raise OSError(f"{url} cannot be used for results: {_words(error)}") from error
        self._url = url
        self._seconds = seconds
        self._signed = signed

    async def prepare(self) -> None:
        """See that results can be written and read.

        Raises:
            OSError: they cannot; the text says why, in one line.
        """
        name = f"trial-{new_id()}"
        try:
            await obstore.put_async(self._bucket, name, b"easel")
            await obstore.get_async(self._bucket, name)
            await obstore.delete_async(self._bucket, name)
        except (BaseError, FileNotFoundError, PermissionError) as error:
            raise OSError(f"results cannot be kept in {self._url}: {_words(error)}") from error

    async def put(self, request_id: str, data: bytes | AsyncIterator[bytes]) -> str:
        """See `ResultStore.put`."""
        image_id = new_id()
        if not isinstance(data, bytes):
            pieces, size = [], 0
            async for piece in data:
                pieces.append(piece)
                size += len(piece)
                if size > _PUT_BYTES:
                    raise OSError(f"an image has more than {_PUT_BYTES} bytes")
            data = b"".join(pieces)
        path = f"{request_id}/{image_id}.png"
        await _done(obstore.put_async(self._bucket, path, data, attributes={"Content-Type": "image/png"}))
        return path

    async def drop(self, paths: Iterable[str]) -> None:
        """See `ResultStore.drop`. What cannot be deleted now goes with its time."""
        names = list(paths)
        if names:
            await _done(obstore.delete_async(self._bucket, names))

    async def delete(self, request_id: str, image_id: str) -> bool:
        """See `ResultStore.delete`."""
        if await self._found(request_id, image_id) is None:
            return False
        await _done(obstore.delete_async(self._bucket, _path(request_id, image_id)))
        return True

    async def respond(
        self, request_id: str, image_id: str, asked: Mapping[str, str], seconds: float
    ) -> Response | None:
        """See `ResultStore.respond`."""
        found = await self._found(request_id, image_id)
        if found is None:
            return None
        size, tag = int(found["size"]), str(found["e_tag"] or f'"{image_id}"')
        headers = {**file_headers(image_id, seconds), "ETag": tag, "Accept-Ranges": "bytes"}
        if tag in asked.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        wanted = asked.get("range", "") if asked.get("if-range", tag) == tag else ""
        try:
            part = byte_range(wanted, size)
        except RangeNotSatisfiable:
            return Response(status_code=416, headers={**headers, "Content-Range": f"bytes */{size}"})
        start, end = part or (0, size)
        if part is not None:
            headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
        headers["Content-Length"] = str(end - start)
        got = await _done(obstore.get_async(self._bucket, _path(request_id, image_id), options={"range": (start, end)}))
        body = (bytes(piece) async for piece in got.stream())
        return StreamingResponse(body, 200 if part is None else 206, headers, "image/png")

    async def read(self, path: str) -> bytes:
        """See `ResultStore.read`."""
        got = await _done(obstore.get_async(self._bucket, path))
        return bytes(await _done(got.bytes_async()))

    async def url(self, path: str) -> str:
        """See `ResultStore.url`."""
        if not self._signed:
            return ""
        return await _done(obstore.sign_async(self._bucket, "GET", path, timedelta(seconds=self._seconds)))

    async def sweep(self) -> int:
        """See `ResultStore.sweep`."""
        before, swept = self._oldest(), 0
        async for page in obstore.list(self._bucket, chunk_size=500):
            old = [each["path"] for each in page if each["last_modified"] < before]
            if old:
                await _done(obstore.delete_async(self._bucket, old))
                swept += len(old)
        return swept

    def _oldest(self) -> datetime:
        return datetime.now(UTC) - timedelta(seconds=self._seconds)

    async def _found(self, request_id: str, image_id: str) -> "ObjectMeta | None":
        if not (SAFE_ID.fullmatch(request_id) and SAFE_ID.fullmatch(image_id)):
            return None
        try:
            found = await _done(obstore.head_async(self._bucket, _path(request_id, image_id)))
        except FileNotFoundError:
            return None
        return found if found["last_modified"] >= self._oldest() else None


def _path(request_id: str, image_id: str) -> str:
    return f"{request_id}/{image_id}.png"


async def _done(call: Awaitable[_T]) -> _T:
    """What `call` returns.

    Raises:
        FileNotFoundError: there is no such object.
        OSError: the bucket cannot be reached, or refuses.
    """
    try:
        async with asyncio.timeout(_SECONDS):
            return await call
    except FileNotFoundError:
        raise
    except TimeoutError as error:
        raise OSError(None, "the bucket for results does not answer") from error
    except (BaseError, PermissionError) as error:
        raise OSError(None, f"the bucket for results: {_words(error)}") from error


def _words(error: BaseException) -> str:
    return " ".join(str(error).split())[:300]
