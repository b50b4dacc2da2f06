"""One request to one runtime, over real sockets: what it is sent, and what becomes of each way it can answer."""

import io
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from easel_gateway import upstream
from easel_gateway.admission import Job
from easel_gateway.answer import Answer, StoredImage
from easel_gateway.directory import Endpoint
from easel_gateway.outgoing import Arrived
from easel_gateway.results.folder import FolderStore
from easel_http.errors import TimedOut, Unavailable, UpstreamFailed
from easel_http.fields import ImageToImageFields
from easel_http.ids import new_id
from easel_http.spool import Spool
from support.builders import image_model
from support.engines import ToyEngine
from support.pictures import png
from support.runtimes import MIXED, Part, ScriptedApp, cut_server, mixed, nobody, runtime, serving

IMAGE = bytes(range(256)) * 40 + b"\r\n--easel-test-answer\r\n"
"""Ten kilobytes of every value, with what looks like a boundary at the end: nothing may be read as text."""

PHOTO = png() + b"\0" * 900_000
"""What the buffers of a connection take in one go, still unread when an early answer closes the connection."""

BIG = png() + b"\0" * (12 << 20)
"""More than the buffers of a connection hold, so that it is still being sent when an early answer arrives."""


@pytest.fixture
async def spool() -> AsyncIterator[Spool]:
    spool = Spool()
    yield spool
    spool.close()


JobOf = Callable[..., Awaitable[Job]]


@pytest.fixture
def job_of(spool: Spool) -> JobOf:
    async def make(image: bytes = IMAGE, **texts: str) -> Job:
        for start in range(0, len(image), 1 << 16):
            await spool.write(image[start : start + (1 << 16)])
        await spool.finish()
        fields = ImageToImageFields.from_texts({"prompt": "make it night", "model_id": "easel/demo", **texts})
        return Job(image_model(), fields, spool, 64, 48)

    return make


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path, 3600)


async def send(job: Job, endpoint: Endpoint, store: FolderStore, work_seconds: float = 30) -> Answer:
    async with upstream.new_session(work_seconds) as session:
        return await upstream.send(session, endpoint, Arrived(job), store, new_id())


def stored(store: FolderStore, image: StoredImage) -> bytes:
    request_id, _, file = image.path.partition("/")
    path = store.find(request_id, file.removesuffix(".png"))
    assert path is not None
    return path.read_bytes()


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def form_of(content_type: str, body: bytes) -> dict[str, bytes]:
    """The parts of a form by name, taken apart as plainly as possible."""
    boundary = b"--" + content_type.partition("boundary=")[2].encode()
    pieces = body.split(boundary)
    assert pieces[0] == b""
    assert pieces[-1] == b"--\r\n"
    parts = {}
    for piece in pieces[1:-1]:
        head, _, data = piece.partition(b"\r\n\r\n")
        name = head.partition(b'name="')[2].partition(b'"')[0].decode()
        assert name not in parts
        parts[name] = data.removesuffix(b"\r\n")
    return parts


async def test_images_are_stored_byte_for_byte(job_of: JobOf, store: FolderStore) -> None:
    parts = [Part(IMAGE, seed=4294967295), Part(b"", seed=0, nsfw=True), Part(png(), seed=1)]
    async with serving(ScriptedApp(body=mixed(*parts))) as endpoint:
        answer = await send(await job_of(num_images_per_prompt="3"), endpoint, store)
    assert [stored(store, image) for image in answer.images] == [part.data for part in parts]
    assert [(image.seed, image.nsfw) for image in answer.images] == [(4294967295, False), (0, True), (1, False)]
    assert len({image.path.split("/")[0] for image in answer.images}) == 1


async def test_a_real_runtime_is_understood(job_of: JobOf, store: FolderStore) -> None:
    async with runtime(ToyEngine()) as toy:
        job = await job_of(png(), seed="5", num_images_per_prompt="2", strength="0.3", num_inference_steps="1000")
        answer = await send(job, toy.endpoint, store)
    assert [image.seed for image in answer.images] == [5, 6]
    assert all(stored(store, image).startswith(b"\x89PNG") for image in answer.images)
    assert answer.headers == {"X-Easel-Adjusted": "num_inference_steps=100", "X-Easel-Ignored": "strength"}


@pytest.mark.parametrize(
    "texts",
    [
        pytest.param({}, id="the least"),
        pytest.param({"seed": "0", "strength": "0", "safety_check": "false"}, id="values that are false"),
        pytest.param({"strength": "0.8", "num_inference_steps": "100", "num_images_per_prompt": "1"}, id="defaults"),
        pytest.param({"prompt": "", "negative_prompt": "a\r\nb\n--c"}, id="blank and several lines"),
        pytest.param({"prompt": 'näch🌙"; name="seed"', "guidance_scale": "0.1"}, id="beyond ascii"),
        pytest.param({"seed": "4294967295", "image_guidance_scale": "1.25"}, id="numbers"),
    ],
)
async def test_the_runtime_sees_the_fields_that_the_caller_sent_and_no_others(
    job_of: JobOf, store: FolderStore, texts: dict[str, str]
) -> None:
    app = ScriptedApp(body=mixed(Part(IMAGE)))
    job = await job_of(**texts)
    async with serving(app) as endpoint:
        await send(job, endpoint, store)
    parts = form_of(app.requests[0]["content-type"], app.bodies[0])
    assert parts.pop("image") == IMAGE
    sent = ImageToImageFields.from_texts({name: data.decode() for name, data in parts.items()})
    assert parts.keys() == {"prompt", "model_id", *texts}
    assert sent == job.fields
    assert sent.model_fields_set == job.fields.model_fields_set


async def test_blank_fields_are_left_out(job_of: JobOf, store: FolderStore) -> None:
    app = ScriptedApp(body=mixed(Part(IMAGE)))
    async with serving(app) as endpoint:
        await send(await job_of(seed="", strength="", negative_prompt=""), endpoint, store)
    assert form_of(app.requests[0]["content-type"], app.bodies[0]).keys() == {"prompt", "model_id", "image"}


async def test_loras_travel_as_a_json_object(job_of: JobOf, store: FolderStore) -> None:
    app = ScriptedApp(body=mixed(Part(IMAGE)))
    async with serving(app) as endpoint:
        await send(await job_of(loras='{"nerijs/pixel-art-xl": 1.2}'), endpoint, store)
    parts = form_of(app.requests[0]["content-type"], app.bodies[0])
    assert json.loads(parts["loras"]) == {"nerijs/pixel-art-xl": 1.2}


async def test_the_request_is_one_post_of_known_length_on_a_connection_that_is_kept(
    job_of: JobOf, store: FolderStore
) -> None:
    app = ScriptedApp(body=mixed(Part(IMAGE)))
    async with serving(app) as endpoint:
        await send(await job_of(), endpoint, store)
    (request,) = app.requests
    assert (request["method"], request["path"]) == ("POST", "/image-to-image")
    assert request["accept"] == "image/png, multipart/mixed;q=0.9"
    assert int(request["content-length"]) == len(app.bodies[0])
    assert "transfer-encoding" not in request
    assert "connection" not in request
    assert request["expect"] == "100-continue"  # the body is sent once the runtime wants it


async def test_only_our_own_headers_are_relayed(job_of: JobOf, store: FolderStore) -> None:
    headers = {"X-Easel-Adjusted": "strength=1", "X-Easel-Secret": "no", "Set-Cookie": "no=no", "Server": "no"}
    async with serving(ScriptedApp(body=mixed(Part(IMAGE)), headers=headers)) as endpoint:
        answer = await send(await job_of(), endpoint, store)
    assert answer.headers == {"X-Easel-Adjusted": "strength=1"}


@pytest.mark.parametrize("status", [400, 413, 422, 500, 504])
async def test_an_error_answer_is_relayed_as_it_is(job_of: JobOf, store: FolderStore, status: int) -> None:
    body = {"detail": [{"loc": ["body", "prompt"], "msg": "is odd", "more": {"ä": [1, None]}}]}
    app = ScriptedApp(status, json.dumps(body).encode(), "application/json")
    async with serving(app) as endpoint:
        with pytest.raises(upstream.Relayed) as caught:
            await send(await job_of(), endpoint, store)
    assert caught.value.status == status
    assert caught.value.body() == body
    assert caught.value.headers == {}
    assert len(app.requests) == 1


@pytest.mark.parametrize("status", [401, 403, 404, 405])
async def test_what_went_wrong_between_gateway_and_runtime_is_not_told_as_the_callers_fault(
    job_of: JobOf, store: FolderStore, status: int
) -> None:
    app = ScriptedApp(status, b'{"detail": {"msg": "the bearer token is missing or wrong"}}', "application/json")
    async with serving(app) as endpoint:
        with pytest.raises(UpstreamFailed, match="the bearer token is missing"):
            await send(await job_of(), endpoint, store)


@pytest.mark.parametrize("status", [429, 503])
async def test_a_runtime_that_takes_nothing_has_not_taken_the_request(
    job_of: JobOf, store: FolderStore, status: int
) -> None:
    body = {"detail": {"msg": "all places are taken"}}
    app = ScriptedApp(status, json.dumps(body).encode(), "application/json", {"Retry-After": "17"})
    async with serving(app) as endpoint:
        with pytest.raises(upstream.NotTaken) as caught:
            await send(await job_of(), endpoint, store)
    assert caught.value.answer.status == status
    assert caught.value.answer.body() == body
    assert caught.value.answer.headers == {"Retry-After": "17"}


@pytest.mark.parametrize("status", [429, 503])
async def test_a_refusal_that_is_about_the_request_is_no_reason_to_ask_another_runtime(
    job_of: JobOf, store: FolderStore, status: int
) -> None:
    body = {"detail": {"msg": "there is no checker", "field": "safety_check"}}
    app = ScriptedApp(status, json.dumps(body).encode(), "application/json", {"Retry-After": "17"})
    async with serving(app) as endpoint:
        with pytest.raises(upstream.Relayed) as caught:
            await send(await job_of(), endpoint, store)
    assert (caught.value.status, caught.value.body()) == (status, body)
    assert caught.value.headers == {"Retry-After": "17"}


@pytest.mark.parametrize(
    "image", [pytest.param(png(), id="small"), pytest.param(PHOTO, id="1 MB"), pytest.param(BIG, id="12 MB")]
)
async def test_a_real_runtime_that_is_still_loading_has_not_taken_the_request(
    job_of: JobOf, store: FolderStore, image: bytes
) -> None:
    async with runtime(ToyEngine(fails_to_load="there is no such model")) as toy:
        with pytest.raises(upstream.NotTaken, match="503") as caught:
            await send(await job_of(image), toy.endpoint, store)
    assert "there is no such model" in str(caught.value.answer.body())


@pytest.mark.parametrize("image", [pytest.param(PHOTO, id="1 MB"), pytest.param(BIG, id="12 MB")])
async def test_a_refusal_that_comes_before_the_body_was_read_arrives(
    job_of: JobOf, store: FolderStore, image: bytes
) -> None:
    refusal = b'HTTP/1.1 429 Too Many Requests\r\nContent-Length: 27\r\n\r\n{"detail": {"msg": "busy"}}'
    async with cut_server(refusal, early=True) as endpoint:
        with pytest.raises(upstream.NotTaken, match="429"):
            await send(await job_of(image), endpoint, store)


async def test_a_connection_that_is_refused_has_not_taken_the_request(job_of: JobOf, store: FolderStore) -> None:
    with nobody() as endpoint, pytest.raises(upstream.NotTaken) as caught:
        await send(await job_of(), endpoint, store)
    assert isinstance(caught.value.answer, UpstreamFailed)
    assert "easel/demo" in caught.value.answer.msg


@pytest.mark.parametrize("reset", [True, False])
async def test_a_runtime_that_goes_before_it_asked_for_the_body_has_not_taken_the_request(
    job_of: JobOf,
    store: FolderStore,
    reset: bool,  # noqa: FBT001 (parametrized)
) -> None:
    async with cut_server(early=True, reset=reset) as endpoint:
        with pytest.raises(upstream.NotTaken) as caught:
            await send(await job_of(), endpoint, store)
    assert isinstance(caught.value.answer, UpstreamFailed)


async def test_a_result_that_cannot_be_stored_is_said_with_the_reason(job_of: JobOf, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    async with serving(ScriptedApp(body=mixed(Part(IMAGE)))) as endpoint:
        with pytest.raises(Unavailable, match=r"the result cannot be stored: (Not a directory|File exists)") as caught:
            await send(await job_of(), endpoint, FolderStore(tmp_path / "file", 3600))
    assert caught.value.headers["Retry-After"]


WHOLE = mixed(Part(IMAGE), Part(IMAGE))
HEAD = f"HTTP/1.1 200 OK\r\nContent-Type: {MIXED}\r\n"
KNOWN_LENGTH = f"{HEAD}Content-Length: {len(WHOLE)}\r\n\r\n".encode()
CHUNKED = f"{HEAD}Transfer-Encoding: chunked\r\n\r\n{len(WHOLE):x}\r\n".encode()
UNTIL_CLOSED = f"{HEAD}Connection: close\r\n\r\n".encode()
IN_HEADERS = WHOLE[:30]
IN_FIRST = WHOLE[:5000]
BEFORE_SECOND = WHOLE[: WHOLE.index(b"--easel-test-answer\r\n", len(IMAGE) + 100)]
IN_SECOND = WHOLE[:-5000]


@pytest.mark.parametrize("reset", [pytest.param(False, id="closed"), pytest.param(True, id="reset")])
@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(b"", id="before an answer"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Ty", id="in the head"),
        *(
            pytest.param(head + body, id=f"{kind}, {place}")
            for kind, head in (("length", KNOWN_LENGTH), ("chunks", CHUNKED), ("until closed", UNTIL_CLOSED))
            for place, body in (
                ("before the first image", b""),
                ("in the part's head", IN_HEADERS),
                ("in the first image", IN_FIRST),
                ("before the second image", BEFORE_SECOND),
                ("in the second image", IN_SECOND),
            )
        ),
    ],
)
async def test_a_runtime_that_goes_away_in_the_middle_has_failed(
    job_of: JobOf,
    store: FolderStore,
    answer: bytes,
    reset: bool,  # noqa: FBT001 (parametrized)
) -> None:
    async with cut_server(answer, reset=reset) as endpoint:
        with pytest.raises(UpstreamFailed):
            await send(await job_of(), endpoint, store)


async def test_an_image_cut_in_the_middle_is_not_stored(job_of: JobOf, store: FolderStore, tmp_path: Path) -> None:
    for head in (KNOWN_LENGTH, CHUNKED, UNTIL_CLOSED):
        async with cut_server(head + IN_FIRST) as endpoint:
            with pytest.raises(UpstreamFailed):
                await send(await job_of(), endpoint, store)
    assert files(tmp_path) == []


def a_part(headers: str) -> bytes:
    return f"--easel-test-answer\r\n{headers}\r\n\r\nimage\r\n--easel-test-answer--\r\n".encode()


@pytest.mark.parametrize(
    "app",
    [
        pytest.param(ScriptedApp(500, b"Internal Server Error", "text/plain"), id="error in plain text"),
        pytest.param(ScriptedApp(502, b"<html>bad gateway</html>", "text/html"), id="error of a proxy"),
        pytest.param(ScriptedApp(503, b"", "text/plain"), id="empty error"),
        pytest.param(ScriptedApp(400, b'{"error": "other"}', "application/json"), id="JSON of another shape"),
        pytest.param(ScriptedApp(400, b"[1, 2]", "application/json"), id="JSON that is no object"),
        pytest.param(ScriptedApp(400, b'{"detail": "\xff"', "application/json"), id="no JSON after all"),
        pytest.param(ScriptedApp(301, b"", "text/plain", {"Location": "/elsewhere"}), id="redirect"),
        pytest.param(ScriptedApp(204, b"", "text/plain"), id="no content"),
        pytest.param(ScriptedApp(200, b'{"images": []}', "application/json"), id="JSON in the place of images"),
        pytest.param(ScriptedApp(200, b"hello", "multipart/mixed"), id="no boundary"),
        pytest.param(ScriptedApp(200, b"hello"), id="no parts"),
        pytest.param(ScriptedApp(200, a_part("Content-Type: image/png")), id="no seed"),
        pytest.param(ScriptedApp(200, a_part("X-Easel-Seed: x\r\nX-Easel-Nsfw: true")), id="odd seed"),
        pytest.param(ScriptedApp(200, a_part("X-Easel-Seed: 1")), id="no flag"),
        pytest.param(ScriptedApp(200, a_part("X-Easel-Seed: 1\r\nContent-Length: 99")), id="length of another"),
        pytest.param(ScriptedApp(200, a_part("no colon")), id="odd head"),
        pytest.param(ScriptedApp(body=mixed(Part(IMAGE, seed=1), Part(IMAGE, seed=2))), id="two images for one"),
        pytest.param(ScriptedApp(body=mixed()), id="no image for one"),
        pytest.param(ScriptedApp(200, a_part("X-Long: " + "x" * 100_000)), id="endless head"),
        pytest.param(ScriptedApp(200, a_part("Content-Type: multipart/mixed; boundary=x")), id="parts in parts"),
    ],
)
async def test_an_answer_that_makes_no_sense_is_a_failure(job_of: JobOf, store: FolderStore, app: ScriptedApp) -> None:
    async with serving(app) as endpoint:
        with pytest.raises(UpstreamFailed):
            await send(await job_of(), endpoint, store)


async def test_a_redirect_is_not_followed(job_of: JobOf, store: FolderStore) -> None:
    app = ScriptedApp(body=mixed(Part(IMAGE)))
    async with serving(app) as elsewhere:
        away = ScriptedApp(307, b"", "text/plain", {"Location": f"{elsewhere.url}/image-to-image"})
        async with serving(away) as endpoint:
            with pytest.raises(UpstreamFailed, match="307"):
                await send(await job_of(), endpoint, store)
    assert app.requests == []


@pytest.mark.parametrize("answer", [pytest.param(b"", id="no answer"), pytest.param(CHUNKED + IN_FIRST, id="half")])
async def test_a_runtime_that_is_too_slow_has_timed_out(job_of: JobOf, store: FolderStore, answer: bytes) -> None:
    async with cut_server(answer, silent=True) as endpoint:
        with pytest.raises(TimedOut, match="easel/demo"):
            await send(await job_of(), endpoint, store, work_seconds=0.1)


async def test_a_job_can_be_sent_again(job_of: JobOf, store: FolderStore) -> None:
    app = ScriptedApp(body=mixed(Part(IMAGE)))
    job = await job_of(BIG)
    async with runtime(ToyEngine(fails_to_load="no")) as refusing, serving(app, "demo-2") as taking:
        with pytest.raises(upstream.NotTaken):
            await send(job, refusing.endpoint, store)
        await send(job, taking, store)
    assert form_of(app.requests[0]["content-type"], app.bodies[0])["image"] == io.BytesIO(BIG).getvalue()
