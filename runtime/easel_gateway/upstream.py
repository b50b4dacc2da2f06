"""One request to one runtime: the form sent as a stream, the images received as a stream.

Retry rule: only where no work was done, because the runtime was not there (connection refused), said that it took
nothing (429, 503), or went away before it asked for the body. One that goes away later may have worked.
"""

import json
import secrets
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any, Final

import aiohttp

from easel_gateway.admission import Job
from easel_gateway.directory import Endpoint
from easel_gateway.results import ResultStore
from easel_http.errors import ApiError, TimedOut, Unavailable, UpstreamFailed

RELAYED_HEADERS: Final = ("X-Easel-Adjusted", "X-Easel-Ignored")
_NOT_TAKEN: Final = (429, 503)
"""Unless the answer names the `field` of the request that it is about: the next runtime would say the same."""
_NOT_FOR_CALLERS: Final = (401, 403, 404, 405)
"""What went wrong between gateway and runtime is not the caller's fault."""
_ERROR_BYTES: Final = 64 << 10


class NotTaken(Exception):
    """The runtime did no work for this request; `answer` is what to say if no other can be asked."""

    def __init__(self, answer: ApiError) -> None:
        super().__init__(answer.msg)
        self.answer = answer


class Relayed(ApiError):
    """An error answer of the runtime, passed on as it is."""

    def __init__(self, status: int, body: dict[str, Any], retry_after: str) -> None:
        super().__init__(f"the runtime answered {status}")
        self.status = status
        self._body = body
        if retry_after:
            self.headers["Retry-After"] = retry_after

    def body(self) -> dict[str, Any]:
        """The runtime's own JSON."""
        return self._body


@dataclass(frozen=True)
class StoredImage:
    """One image of an answer, as stored."""

    path: str
    seed: int
    nsfw: bool


@dataclass(frozen=True)
class Answer:
    """What came back from a runtime."""

    images: tuple[StoredImage, ...]
    headers: dict[str, str]


def new_session(work_seconds: float) -> aiohttp.ClientSession:
    """The HTTP client for runtimes.

    Each request has its own connection: a kept one that the runtime closes at the wrong moment could not be told from
    a runtime that died at work.
    """
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(force_close=True, limit=0),
        timeout=aiohttp.ClientTimeout(total=work_seconds, sock_connect=5),
        auto_decompress=False,
    )


async def send(
    session: aiohttp.ClientSession, endpoint: Endpoint, job: Job, results: ResultStore, request_id: str
) -> Answer:
    """Have the runtime at `endpoint` work on `job` and store its images.

    Raises:
        NotTaken: it did no work; another may be asked.
        Relayed: its own error answer.
        UpstreamFailed: it went away in the middle, or its answer makes no sense.
        TimedOut: it took too long.
        Unavailable: its images cannot be stored.
    """
    boundary = secrets.token_hex(16)
    head, tail = _around_image(job, boundary)
    headers = {
        "Content-Type": f"multipart/form-data; boundary={boundary}",
        "Content-Length": str(len(head) + job.image.size + len(tail)),
        "Accept": "multipart/mixed",
    }
    body = _Body(head, job, tail)
    try:
        async with session.post(
            f"{endpoint.url}/image-to-image",
            data=body.chunks(),
            headers=headers,
            expect100=True,  # else a refusal that comes before the body was read is lost with the connection
            allow_redirects=False,
        ) as response:
            if response.status != 200:
                raise await _error(response)
            images = await _store(response, job.fields.num_images_per_prompt, results, request_id)
            relayed = {name: response.headers[name] for name in RELAYED_HEADERS if name in response.headers}
            return Answer(images, relayed)
    except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
        raise NotTaken(UpstreamFailed(f"the runtime of {job.model_id} cannot be reached")) from error
    except TimeoutError as error:
        raise TimedOut(f"the runtime of {job.model_id} took longer than its deadline") from error
    except (aiohttp.ClientError, ConnectionError) as error:
        if not body.begun:
            raise NotTaken(UpstreamFailed(f"the runtime of {job.model_id} went away before it took this")) from error
        raise UpstreamFailed(
            f"the runtime of {job.model_id} went away while it worked on this request; send it again"
        ) from error
    except (LookupError, ValueError, aiohttp.http.HttpProcessingError) as error:
        raise UpstreamFailed(f"the runtime of {job.model_id} gave an answer that cannot be read") from error


async def _error(response: aiohttp.ClientResponse) -> Exception:
    text = (await response.content.read(_ERROR_BYTES)).decode("utf-8", "replace")
    try:
        body = json.loads(text)
    except ValueError:
        body = None
    if not isinstance(body, dict) or "detail" not in body:
        return UpstreamFailed(f"the runtime answered {response.status} without a reason")
    if response.status in _NOT_FOR_CALLERS:
        return UpstreamFailed(f"the runtime answered the gateway {response.status}: {body['detail']}")
    relayed = Relayed(response.status, body, response.headers.get("Retry-After", ""))
    about_request = isinstance(body["detail"], dict) and "field" in body["detail"]
    return NotTaken(relayed) if response.status in _NOT_TAKEN and not about_request else relayed


async def _store(
    response: aiohttp.ClientResponse, count: int, results: ResultStore, request_id: str
) -> tuple[StoredImage, ...]:
    if response.content_type != "multipart/mixed":
        raise ValueError(f"the answer is {response.content_type}, not multipart/mixed")
    images: list[StoredImage] = []
    reader = aiohttp.MultipartReader.from_response(response)
    while (part := await reader.next()) is not None:
        if not isinstance(part, aiohttp.BodyPartReader):
            raise aiohttp.ClientPayloadError("a part of the answer is not an image")
        try:
            path = await results.put(request_id, _chunks(part))
        except (aiohttp.ClientError, ConnectionError, TimeoutError):  # these are the runtime's, and OSErrors too
            raise
        except OSError as error:
            raise Unavailable(f"the result cannot be stored: {error.strerror}", retry_after=60) from error
        images.append(StoredImage(path, int(part.headers["X-Easel-Seed"]), part.headers["X-Easel-Nsfw"] == "true"))
    if len(images) != count:
        raise ValueError(f"the answer has {len(images)} images, not {count}")
    return tuple(images)


async def _chunks(part: aiohttp.BodyPartReader) -> AsyncIterator[bytes]:
    while chunk := await part.read_chunk(1 << 16):
        yield bytes(chunk)


def _around_image(job: Job, boundary: str) -> tuple[bytes, bytes]:
    """The form before and after the bytes of the image."""
    texts = b"".join(
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        for name, value in _texts(job)
    )
    image = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="image"; filename="image"\r\n'
        "Content-Type: application/octet-stream\r\n\r\n"
    )
    return texts + image.encode(), f"\r\n--{boundary}--\r\n".encode()


def _texts(job: Job) -> Iterator[tuple[str, str]]:
    """What the caller sent, and nothing else: the runtime must see which fields were left out."""
    for name, value in job.fields.model_dump(exclude_unset=True).items():
        yield name, json.dumps(value) if isinstance(value, dict | bool) else str(value)


@dataclass
class _Body:
    """The form as a stream that knows whether any of it was asked for."""

    head: bytes
    job: Job
    tail: bytes
    begun: bool = False

    async def chunks(self) -> AsyncIterator[bytes]:
        self.begun = True
        yield self.head
        async for chunk in self.job.image.chunks():
            yield chunk
        yield self.tail
