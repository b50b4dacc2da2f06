"""Hugging Face's bodies: who may send them, how large they may be, and what of them has no meaning."""

import asyncio
import base64
import json
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from easel_crds.keys import Key, KeyPolicy, hash_of
from easel_gateway.keys import KeyRing, new_key
from easel_gateway.routes.huggingface_json import parsed
from easel_gateway.settings import json_bytes
from easel_http.errors import BodyTooLarge
from support.directory import entry
from support.engines import ToyEngine
from support.gateway_house import IMAGE, House, open_with, ready
from support.pictures import encoded, picture

TOKEN = new_key()
PATHS = ("/models/easel/demo", "/")
JSON = "application/json"


def said(image: bytes = IMAGE, /, **parameters: Any) -> bytes:
    return json.dumps({"inputs": base64.b64encode(image).decode(), "parameters": parameters}).encode()


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with AsyncExitStack() as stack:
        yield House(stack, tmp_path / "results")


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("kind", ["image/png", JSON])
async def test_a_key_is_looked_at_before_the_body(house: House, path: str, kind: str) -> None:
    await house.open(entry(), keys_required=True)
    endless = asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        yield b"{"
        await endless.wait()

    async with asyncio.timeout(10):
        answer = await house.send(kind, body(), path)
    endless.set()
    assert (answer.status, answer.headers["www-authenticate"]) == (401, "Bearer")


async def test_who_waits_for_its_body_counts_towards_the_limits_of_its_key(house: House) -> None:
    policy = KeyPolicy(concurrent=1)
    await house.open(entry(), keys=KeyRing([Key("ada", (hash_of(TOKEN),), policy)]), keys_required=True)
    arriving, rest = asyncio.Event(), asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        yield b"{"
        arriving.set()
        await rest.wait()

    header = {"Authorization": f"Bearer {TOKEN}"}
    first = asyncio.create_task(house.send(JSON, body(), PATHS[0], **header))
    await arriving.wait()
    async with asyncio.timeout(10):
        while (second := await house.send(JSON, b"{", PATHS[0], **header)).status == 400:  # noqa: ASYNC110
            await asyncio.sleep(0)  # the first has not been read yet
    assert second.status == 429
    rest.set()
    assert (await first).status == 400


async def test_without_a_key_nobody_hears_which_models_there_are(house: House) -> None:
    keys = KeyRing([Key("ada", (hash_of(TOKEN),), KeyPolicy(models=("mine/*",)))])
    mine = [entry(name=name, modelId=f"mine/{name}") for name in ("one", "two")]
    await house.open(entry(), *mine, keys=keys, keys_required=True)
    refused = await house.send("image/png", IMAGE, "/")
    assert refused.status == 401
    assert b"mine/" not in refused.body
    asked = await house.send("image/png", IMAGE, "/", Authorization=f"Bearer {TOKEN}")
    assert asked.status == 422
    assert "mine/one, mine/two" in asked.json["error"]
    assert b"easel/demo" not in asked.body


async def test_the_only_model_of_a_key_serves_who_names_none(house: House) -> None:
    toy = await house.runtime()
    keys = KeyRing([Key("ada", (hash_of(TOKEN),), KeyPolicy(models=("easel/*",)))])
    other = entry(name="other", modelId="other/model")
    await house.open(ready(toy.endpoint), other, keys=keys, keys_required=True)
    assert (await house.send("image/png", IMAGE, "/", Authorization=f"Bearer {TOKEN}")).status == 200


@pytest.mark.parametrize("kind", ["image/png", JSON])
async def test_a_picture_has_as_many_bytes_as_the_setting_says_in_either_form(house: House, kind: str) -> None:
    image = encoded(picture(100, 100), "BMP")

    def body(data: bytes) -> bytes:
        return data if kind == "image/png" else said(data)

    await open_with(house, ToyEngine(), body_bytes=len(image))
    for path in PATHS:
        assert (await house.send(kind, body(image), path)).status == 200
        answer = await house.send(kind, body(image + b"\0"), path)
        assert (answer.status, f"{len(image)} bytes" in answer.json["error"]) == (413, True)


async def test_what_is_beside_the_picture_is_bounded_too(house: House) -> None:
    await open_with(house, ToyEngine(), body_bytes=4096)
    long = await house.send(JSON, said(prompt="x" * 66_000), PATHS[0])
    assert long.status == 413
    with pytest.raises(BodyTooLarge, match="parameters are longer"):
        parsed(said(prompt="x" * 66_000))
    assert json_bytes(4096) == len(base64.b64encode(bytes(4096))) + 65_536


async def test_large_bodies_wait_on_disk_for_their_turn_in_memory(house: House) -> None:
    await house.open(entry())
    megabytes, callers = 8, 6
    block = b"x" * (1 << 20)

    async def body() -> AsyncIterator[bytes]:
        yield b'{"inputs": "'
        for _ in range(megabytes):
            yield block
            await asyncio.sleep(0)
        yield b'%"}'

    tracemalloc.start()
    try:
        answers = await asyncio.gather(*(house.send(JSON, body(), PATHS[0]) for _ in range(callers)))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert {answer.status for answer in answers} == {422}
    assert peak < 10 * megabytes << 20, "each takes three times its size, as bytes, text and picture: two at a time"


@pytest.mark.parametrize(
    "body",
    [
        said(prompt="\ud800"),
        said(loras={"\ud800": 1}),
        said(IMAGE, **{"\ud800": "x"}),
        b'{"inputs": "\\ud800"}',
        b'{"inputs": "\\ud83d\\ude00"}',
    ],
)
async def test_half_a_character_is_no_reason_to_fail(house: House, body: bytes) -> None:
    await open_with(house, ToyEngine())
    answer = await house.send(JSON, body, PATHS[0])
    assert answer.status == 422, answer.body
    assert answer.json["error"]


@pytest.mark.parametrize("kind", ["image/png", JSON])
async def test_a_full_disk_is_no_failure_of_ours(house: House, kind: str) -> None:
    await house.open(entry(), spare_bytes=1 << 60)
    image = encoded(picture(200, 200), "BMP")
    answer = await house.send(kind, said(image) if kind == JSON else image, PATHS[0])
    assert (answer.status, answer.headers["retry-after"]) == (503, "30")
    assert "room on the disk" in answer.json["error"]


async def test_parameters_without_a_meaning_are_said_to_be_ignored(house: House) -> None:
    engine = ToyEngine()
    await open_with(house, engine)
    parameters = {
        "prompt": "night",
        "target_size": {"width": 9, "height": 9},
        "scheduler": "x",
        "model_id": "another/model",
        "response_format": "data",
        "nothing": None,
        "no\r\nheader": 1,
    }
    answer = await house.send(JSON, said(IMAGE, **parameters), PATHS[0])
    assert (answer.status, answer.headers["content-type"]) == (200, "image/png")
    assert answer.headers["x-easel-ignored"] == "target_size, scheduler, model_id, response_format"
    assert len(engine.generations) == 1
    plain = await house.send("image/png", IMAGE, PATHS[0])
    assert "x-easel-ignored" not in plain.headers


async def test_a_default_model_that_is_not_for_the_key_is_refused(house: House) -> None:
    keys = KeyRing([Key("ada", (hash_of(TOKEN),), KeyPolicy(models=("mine/*",)))])
    await house.open(entry(), keys=keys, keys_required=True, default_model="easel/demo")
    assert (await house.send("image/png", IMAGE, "/", Authorization=f"Bearer {TOKEN}")).status == 403
