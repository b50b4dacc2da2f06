"""The forms of an answer, and a place that is kept until it has arrived."""

import asyncio
import io
import json
import os
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from urllib.parse import urlsplit

import pytest
from PIL import Image
from starlette.types import Message

from easel_runtime import answers
from easel_runtime.encoding import Encoded
from easel_runtime.finishing import Output
from support.engines import ToyEngine
from support.in_process import TEXTS, running, until_in_step
from support.pictures import encoded, form, png
from support.runtimes import runtime, until


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


@pytest.mark.parametrize("kind", ["png", "webp", "jpeg"])
async def test_who_accepts_a_picture_gets_a_picture(kind: str) -> None:
    async with running() as toy:
        answer = await toy.post(png(30, 20), headers={"accept": f"image/{kind}"})
    assert (answer.status_code, answer.headers["content-type"]) == (200, f"image/{kind}")
    assert int(answer.headers["content-length"]) == len(answer.content)
    image = opened(answer.content)
    assert (str(image.format).lower(), image.size) == (kind, (30, 20))
    assert (answer.headers["x-easel-seed"], answer.headers["x-easel-nsfw"]) == ("7", "false")


@pytest.mark.parametrize("count", [1, 2, 3])
def test_the_contracts_json_has_a_piece_for_each_picture(count: int) -> None:
    outputs = [Output(seed, nsfw=seed == 1, file=Encoded(bytes([seed]))) for seed in range(count)]
    pieces = list(answers.contract_json(outputs))
    assert len(pieces) == count
    assert json.loads(b"".join(pieces)) == {
        "images": [
            {"url": f"data:image/png;base64,{data}", "seed": seed, "nsfw": seed == 1}
            for seed, data in enumerate(["AA==", "AQ==", "Ag=="][:count])
        ]
    }


@pytest.mark.parametrize("ready", [True, False])
async def test_only_what_is_still_to_be_made_is_made_on_a_thread(*, ready: bool) -> None:
    threads = set()
    bodies: list[bytes] = []

    def pieces() -> Iterator[bytes]:
        threads.add(threading.get_ident())
        yield b"a picture"

    async def send(message: Message) -> None:
        bodies.append(message.get("body", b""))

    async def receive() -> Message:
        raise AssertionError("nothing is waited for")

    await answers.Answer(pieces(), "image/png", {}, ExitStack(), ready=ready)({"type": "http"}, receive, send)
    assert b"".join(bodies) == b"a picture"
    assert (threads == {threading.get_ident()}) is ready


async def test_several_pictures_come_as_the_contract_has_them() -> None:
    async with running() as toy:
        answer = await toy.post(headers={"accept": "image/png"}, num_images_per_prompt="2")
    assert [image["seed"] for image in answer.json()["images"]] == [7, 8]


async def test_a_cache_is_told_that_the_form_depends_on_the_caller() -> None:
    async with running() as toy:
        for accept in ("*/*", "image/png", "multipart/mixed", "text/event-stream"):
            assert (await toy.post(headers={"accept": accept})).headers["vary"] == "Accept"


@pytest.mark.parametrize("accept", ["*/*", "multipart/mixed", "image/png", "text/event-stream"])
async def test_the_place_is_free_when_the_answer_has_arrived(accept: str) -> None:
    async with running(queue=1) as toy:
        for _ in range(3):
            assert (await toy.post(headers={"accept": accept})).status_code == 200
        assert (await toy.status())["in_flight"] == 0


@pytest.mark.parametrize(
    ("image", "texts", "status"),
    [
        (b"no picture", {}, 400),
        (png(), {"seed": "x"}, 422),
        (png(), {"model_id": "another/one"}, 400),
        (png(100, 100), {}, 500),
    ],
)
@pytest.mark.parametrize("accept", ["*/*", "text/event-stream"])
async def test_the_place_is_free_after_a_failure(image: bytes, texts: dict[str, str], status: int, accept: str) -> None:
    async with running(ToyEngine(room=64 * 64), queue=1) as toy:
        for _ in range(2):
            answer = await toy.post(image, headers={"accept": accept}, **texts)
            assert status in (answer.status_code, 500 * ("event: error" in answer.text))
        assert (await toy.status())["in_flight"] == 0


async def test_an_upload_holds_a_place_before_it_is_read() -> None:
    """Else any number of bodies could arrive for a few places."""
    may_end = asyncio.Event()
    content_type, body = form(TEXTS, png())

    async def slowly() -> AsyncIterator[bytes]:
        yield body[:100]
        await may_end.wait()
        yield body[100:]

    async with running(queue=1) as toy:
        uploading = asyncio.create_task(
            toy.client.post("/image-to-image", content=slowly(), headers={"content-type": content_type})
        )
        await toy.until_in_flight(1)
        assert (await toy.post()).status_code == 429
        may_end.set()
        assert (await uploading).status_code == 200
        assert (await toy.post()).status_code == 200


async def test_retry_after_is_what_the_request_in_work_still_takes() -> None:
    engine = ToyEngine()
    async with running(engine, queue=1) as toy:
        pace = toy.app.state.worker._model.pace
        await toy.post()
        pace._seconds_per_effort = 30 / (64 * 48 * 3)  # as if those two steps had taken half a minute
        engine.may_step.clear()
        engine.in_step.clear()
        working = asyncio.create_task(toy.post(num_inference_steps="5"))
        await until_in_step(engine)
        assert (await toy.post()).headers["retry-after"] == "60"
        engine.may_step.set()
        await working


@pytest.mark.parametrize("accept", ["*/*", "multipart/mixed", "text/event-stream"])
async def test_a_caller_who_takes_nothing_loses_its_place(accept: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "_SEND_SECONDS", 0.05)
    noise = encoded(Image.frombytes("RGB", (1400, 1400), os.urandom(1400 * 1400 * 3)))
    content_type, body = form({**TEXTS, "num_images_per_prompt": "3", "num_inference_steps": "1"}, noise)
    head = f"POST /image-to-image HTTP/1.1\r\nHost: x\r\nAccept: {accept}\r\nContent-Type: {content_type}\r\n"
    async with runtime(ToyEngine()) as toy:
        with socket.socket() as sleeper:
            sleeper.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sleeper.settimeout(0)
            loop = asyncio.get_running_loop()
            await loop.sock_connect(sleeper, ("127.0.0.1", urlsplit(toy.endpoint.url).port))
            await loop.sock_sendall(sleeper, f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
            await until(lambda: toy.worker.in_flight == 1)
            await until(lambda: toy.worker.in_flight == 0)
