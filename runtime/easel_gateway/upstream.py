"""One request to one runtime: the form sent as a stream, the images received as a stream.

Retry rule: only where no work was done, because the runtime was not there (connection refused), said that it took
nothing (429, 503), or went away before it had asked for the form, or had the whole of it. One that goes away later may
have worked.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

import aiohttp

from easel_gateway.admission import Job
from easel_gateway.answer import Answer, StoredImage
from easel_gateway.directory import Endpoint
from easel_gateway.forwarding import Tell, forward
from easel_gateway.outgoing import InOnePiece, Outgoing
from easel_gateway.results import ResultStore
from easel_http.errors import ApiError, TimedOut, Unavailable, UpstreamFailed
from easel_http.event_stream import EVENT, PROGRESS
from easel_http.image_headers import ADJUSTED, IGNORED, NSFW, SEED, WORKED

_RELAYED: Final = (ADJUSTED, IGNORED)
_ACCEPT: Final = "image/png, multipart/mixed;q=0.9"
"""One image as it is, several in parts: the first is half the work for both sides."""
_ACCEPT_EVENTS: Final = f"{PROGRESS}, image/png;q=0.9, multipart/mixed;q=0.8"
"""For who wants to see the steps; a runtime that does not know how to tell them answers as ever."""
_NOT_TAKEN: Final = (429, 503)
"""Unless the answer names the `field` of the request that it is about: the next runtime would say the same."""
_NOT_FOR_CALLERS: Final = (401, 403, 404, 405)
"""What went wrong between gateway and runtime is not the caller's fault."""
_ERROR_BYTES: Final = 64 << 10
_IN_MEMORY: Final = 1 << 20
"""Images of so many bytes are stored in one go; larger ones as they come."""
_PIECE: Final = 1 << 18
_Images = AsyncIterator[tuple[Mapping[str, str], AsyncIterator[bytes]]]
_KEPT_SECONDS: Final = 3.0
"""How long an idle connection is kept: less than a runtime keeps it (uvicorn: 5 s), so that it seldom ends in use."""


class NotTaken(Exception):
    """The runtime did no work for this request; `answer` is what to say if no other can be asked."""

    def __init__(self, answer: ApiError, *, failed: bool) -> None:
        """`failed`: it was not there; else it said so itself."""
        super().__init__(answer.msg)
        self.answer = answer
        self.failed = failed


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


class _Request(aiohttp.ClientRequest):
    """Sends a small body together with its head: to wait until it is asked for would take as long as sending it.

    RFC 9110, 10.1.1: a client need not wait for the 100 that it expects. aiohttp always does.
    """

    async def send(self, conn: "aiohttp.connector.Connection") -> aiohttp.ClientResponse:
        """Send the request; the answer is still to come."""
        if not isinstance(self.body, InOnePiece):
            return await super().send(conn)
        self.body.outgoing.asked_for, self._continue = self._continue, None
        response = await super().send(conn)
        response._continue = self.body.outgoing.asked_for  # noqa: SLF001 (it is done when the 100 comes)
        return response


def new_session(work_seconds: float) -> aiohttp.ClientSession:
    """The HTTP client for runtimes, whose connections are kept.

    A kept one that the runtime closes at the wrong moment is told from a runtime that died at work: it has not asked
    for the body (`100 Continue`). What is large is not even sent before.
    """
    return aiohttp.ClientSession(
        request_class=_Request,
        connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=_KEPT_SECONDS),
        timeout=aiohttp.ClientTimeout(total=work_seconds, sock_connect=5),
        auto_decompress=False,
        cookie_jar=aiohttp.DummyCookieJar(),
    )


async def send(
    session: aiohttp.ClientSession,
    endpoint: Endpoint,
    outgoing: Outgoing,
    results: ResultStore,
    request_id: str,
    headers: Mapping[str, str] | None = None,
) -> Answer:
    """Have the runtime at `endpoint` work on `outgoing` and store its images under `request_id`.

    Raises:
        NotTaken: it did no work; another may be asked.
        Relayed: its own error answer.
        UpstreamFailed: it went away in the middle, or its answer makes no sense.
        TimedOut: it took too long.
        Unavailable: its images cannot be stored.
    """
    name = outgoing.model_id
    try:
        try:
            return await _send_once(session, endpoint, outgoing, results, request_id, headers or {})
        except aiohttp.ServerDisconnectedError:
            if outgoing.can_be_worked_on:
                raise
            # A kept connection that the runtime closed at this moment looks like that; a new one tells.
            return await _send_once(session, endpoint, outgoing, results, request_id, headers or {})
    except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
        raise NotTaken(UpstreamFailed(f"the runtime of {name} cannot be reached"), failed=True) from error
    except TimeoutError as error:
        raise TimedOut(f"the runtime of {name} took longer than its deadline") from error
    except (aiohttp.ClientError, ConnectionError) as error:
        if not outgoing.can_be_worked_on:
            answer = UpstreamFailed(f"the runtime of {name} went away before it took this")
            raise NotTaken(answer, failed=True) from error
        raise UpstreamFailed(f"the runtime of {name} went away while it worked on this request; send it again") from (
            error
        )
    except (LookupError, ValueError, aiohttp.http.HttpProcessingError) as error:
        raise UpstreamFailed(f"the runtime of {name} gave an answer that cannot be read") from error


async def _send_once(
    session: aiohttp.ClientSession,
    endpoint: Endpoint,
    outgoing: Outgoing,
    results: ResultStore,
    request_id: str,
    headers: Mapping[str, str],
) -> Answer:
    async with session.post(
        f"{endpoint.url}/image-to-image",
        data=outgoing.payload(),
        headers={**outgoing.headers, "Accept": _ACCEPT if outgoing.tell is None else _ACCEPT_EVENTS, **headers},
        expect100=True,  # else a refusal that comes before the body was read is lost with the connection
        allow_redirects=False,
    ) as response:
        if response.status != 200:
            try:
                raise await _error(response)
            finally:
                response.close()  # the runtime may still wait for the body that it did not get
        images = _images(response, outgoing.tell)
        return await _store(response, images, await outgoing.job(), results, request_id)


async def _error(response: aiohttp.ClientResponse) -> Exception:
    text = (await response.content.read(_ERROR_BYTES)).decode("utf-8", "replace")
    try:
        body = json.loads(text)
    except ValueError:
        body = None
    return _refusal(response.status, body, response.headers.get("Retry-After", ""))


def _refusal(status: int, body: object, retry_after: str) -> Exception:
    """What an error of the runtime is for the caller."""
    if not isinstance(body, dict) or "detail" not in body:
        return UpstreamFailed(f"the runtime answered {status} without a reason")
    if status in _NOT_FOR_CALLERS:
        return UpstreamFailed(f"the runtime answered the gateway {status}: {body['detail']}")
    relayed = Relayed(status, body, retry_after)
    about_request = isinstance(body["detail"], dict) and "field" in body["detail"]
    if status in _NOT_TAKEN and not about_request:
        return NotTaken(relayed, failed=False)
    return relayed


async def _store(
    response: aiohttp.ClientResponse, came: _Images, job: Job, results: ResultStore, request_id: str
) -> Answer:
    """The images of `response` in the store: all of them, or none."""
    images: list[StoredImage] = []
    facts: Mapping[str, str] = response.headers
    try:
        async for facts, data in came:
            images.append(await _put(facts, data, results, request_id))
        _check_number(len(images), job.fields.num_images_per_prompt)
    except BaseException:
        if images:
            await asyncio.shield(results.drop([image.path for image in images]))
        raise
    relayed = {name: response.headers[name] for name in _RELAYED if name in response.headers}
    seconds = response.headers.get(WORKED) or facts.get(WORKED, "0")  # facts: the last image's
    return Answer(tuple(images), relayed, float(seconds))


async def _images(response: aiohttp.ClientResponse, tell: Tell | None) -> _Images:
    """Headers and bytes of each image; the bytes are to be read before the next one comes. Events are passed on."""
    if response.content_type == "image/png":
        yield response.headers, response.content.iter_chunked(_PIECE)
        return
    if response.content_type not in ("multipart/mixed", PROGRESS):
        raise ValueError(f"the answer is {response.content_type}")
    reader = aiohttp.MultipartReader.from_response(response)
    while (part := await reader.next()) is not None:
        if not isinstance(part, aiohttp.BodyPartReader):
            raise aiohttp.ClientPayloadError("a part of the answer is not an image")
        if (event := part.headers.get(EVENT)) is None:
            yield part.headers, _chunks(part)
        elif (error := await forward(event, part, tell)) is not None:
            raise _refusal(*error)


def _check_number(came: int, wanted: int) -> None:
    if came != wanted:
        raise ValueError(f"the answer has {came} images, not {wanted}")


async def _put(
    headers: Mapping[str, str], data: AsyncIterator[bytes], results: ResultStore, request_id: str
) -> StoredImage:
    seed, nsfw = int(headers[SEED]), headers[NSFW] == "true"
    small = 0 < int(headers.get("Content-Length", 0)) <= _IN_MEMORY
    try:
        path = await results.put(request_id, b"".join([piece async for piece in data]) if small else data)
    except (aiohttp.ClientError, ConnectionError, TimeoutError):  # these are the runtime's, and OSErrors too
        raise
    except OSError as error:
        raise Unavailable(f"the result cannot be stored: {error.strerror}", retry_after=60) from error
    return StoredImage(path, seed, nsfw)


async def _chunks(part: aiohttp.BodyPartReader) -> AsyncIterator[bytes]:
    while chunk := await part.read_chunk(_PIECE):
        yield bytes(chunk)
