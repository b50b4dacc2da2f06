"""What the dialects of OpenAI's and Hugging Face's clients make of odd requests, and who may come from a browser."""

import base64
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest

from easel_gateway.acceptance import chosen_model
from easel_http.errors import InvalidForm
from support.directory import entry
from support.engines import ToyEngine
from support.gateway_house import IMAGE, House, open_with, ready
from support.pictures import form

EDIT = {"model": "easel/demo", "prompt": "make it night"}
INPUTS = base64.b64encode(IMAGE).decode()


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with AsyncExitStack() as stack:
        yield House(stack, tmp_path / "results")


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"stream": "true"}, "stream"),
        ({"output_format": "webp"}, "output_format"),
        ({"response_format": "xml"}, "response_format"),
        ({"n": "0"}, "n"),
        ({"strength": "2"}, "strength"),
    ],
)
async def test_openai_clients_hear_which_field_is_wrong(house: House, more: dict[str, str], param: str) -> None:
    engine = ToyEngine()
    await open_with(house, engine)
    answer = await house.send(*form({**EDIT, **more}, IMAGE), "/v1/images/edits")
    assert answer.status == 422
    assert answer.json["error"]["param"] == param
    assert answer.json["error"]["type"] == "invalid_request_error"
    assert not engine.generations


async def test_what_has_no_meaning_for_these_models_is_said_to_be_ignored(house: House) -> None:
    await open_with(house, ToyEngine())
    fields = {**EDIT, "size": "auto", "quality": "high", "strength": "0.5"}
    answer = await house.send(*form(fields, IMAGE), "/v1/images/edits")
    assert answer.status == 200
    assert answer.headers["x-easel-ignored"] == "strength, quality, size"


@pytest.mark.parametrize("inputs", [INPUTS, f"data:image/png;base64,{INPUTS}"], ids=["base64", "data URL"])
async def test_hugging_face_json_is_understood(house: House, inputs: str) -> None:
    engine = ToyEngine()
    await open_with(house, engine)
    said = {"inputs": inputs, "parameters": {"prompt": "night", "seed": 7, "guidance_scale": 3.5, "strength": None}}
    answer = await house.send("application/json", json.dumps(said).encode(), "/models/easel/demo")
    assert (answer.status, answer.headers["content-type"]) == (200, "image/png")
    assert answer.headers["x-easel-seed"] == "7"
    assert answer.body.startswith(b"\x89PNG")
    (generation,) = engine.generations
    assert (generation.prompt, generation.guidance_scale) == ("night", 3.5)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"{", 400),
        (b"[]", 400),
        (b'{"inputs": 7}', 400),
        (b'{"inputs": "%%%"}', 422),
        (b'{"inputs": "", "parameters": []}', 400),
        (json.dumps({"inputs": INPUTS, "parameters": {"num_images_per_prompt": 2}}).encode(), 422),
        (json.dumps({"inputs": base64.b64encode(b"no picture").decode()}).encode(), 400),
        (b"[" * 100_000, 400),
    ],
)
async def test_hugging_face_clients_hear_what_is_wrong(house: House, body: bytes, status: int) -> None:
    await open_with(house, ToyEngine())
    answer = await house.send("application/json", body, "/models/easel/demo")
    assert answer.status == status
    assert isinstance(answer.json["error"], str)


async def test_a_body_that_is_too_large_is_refused_in_every_dialect(house: House) -> None:
    await house.open(entry(), body_bytes=2000)
    for path in ("/models/easel/demo", "/"):
        assert (await house.send("image/png", bytes(20_000), path)).status == 413
    assert (await house.send(*form(EDIT, bytes(20_000)), "/v1/images/edits")).status == 413


def test_a_model_that_is_not_named_is_the_default_or_the_only_one() -> None:
    assert chosen_model("a/b", ["c/d", "e/f"]) == "a/b"
    assert chosen_model("", ["c/d"]) == "c/d"
    with pytest.raises(InvalidForm, match="c/d, e/f"):
        chosen_model("", ["e/f", "c/d"])


async def test_the_default_model_serves_who_names_none(house: House) -> None:
    toy = await house.runtime()
    await house.open(ready(toy.endpoint), default_model="easel/demo")
    assert (await house.send(*form({"prompt": "x"}, IMAGE))).status == 200
    other = replace(entry(name="other"), endpoints=(toy.endpoint,))
    house.directory.put(other)
    assert (await house.send("image/png", IMAGE, "/")).status == 200


async def test_images_come_as_data_if_that_is_wanted(house: House) -> None:
    await open_with(house, ToyEngine())
    inline = (await house.ask(response_format="b64_json")).json["images"][0]
    assert base64.b64decode(inline["b64_json"]).startswith(b"\x89PNG")
    assert "url" not in inline
    assert (await house.ask(response_format="data")).urls[0].startswith("data:image/png;base64,iVBOR")
    assert (await house.ask(response_format="gif")).wrong == {"response_format"}


async def _preflight(
    house: House, origin: str, sent: str = "authorization,idempotency-key,x-easel-max-price"
) -> "aiohttp.ClientResponse":
    headers = {
        "Origin": origin,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": sent,
    }
    async with (
        aiohttp.ClientSession() as client,
        client.options(f"{house.url}/image-to-image", headers=headers) as said,
    ):
        return said


async def test_pages_of_named_origins_may_come_and_read_what_they_pay(house: House) -> None:
    toy = await house.runtime()
    await house.open(ready(toy.endpoint), cors_origins="https://one.example, https://two.example")
    said = await _preflight(house, "https://two.example")
    assert (said.status, said.headers["access-control-allow-origin"]) == (200, "https://two.example")
    assert "access-control-allow-origin" not in (await _preflight(house, "https://three.example")).headers
    answer = await house.send(*form({**EDIT, "model_id": "easel/demo"}, IMAGE), Origin="https://one.example")
    assert answer.headers["access-control-allow-origin"] == "https://one.example"
    assert "X-Easel-Amount" in answer.headers["access-control-expose-headers"]


async def test_pages_may_send_what_clients_made_for_them_add(house: House) -> None:
    await house.open(entry(), cors_origins="https://one.example", keys_required=True)
    stainless = "authorization,x-stainless-lang,x-stainless-os,x-stainless-retry-count"
    said = await _preflight(house, "https://one.example", stainless)
    assert (said.status, said.headers["access-control-allow-headers"]) == (200, stainless)
    refused = await house.send("image/png", IMAGE, "/", Origin="https://one.example")
    assert (refused.status, refused.headers["access-control-allow-origin"]) == (401, "https://one.example")
    assert {"Retry-After", "X-Should-Retry"} <= set(refused.headers["access-control-expose-headers"].split(", "))


async def test_origins_may_be_written_as_people_write_them(house: House) -> None:
    await house.open(entry(), cors_origins="https://One.example/, http://localhost:3000/,")
    for origin in ("https://one.example", "http://localhost:3000"):
        said = await _preflight(house, origin)
        assert (said.status, said.headers["access-control-allow-origin"]) == (200, origin)


async def test_pages_of_all_origins_may_come_if_that_is_the_setting(house: House) -> None:
    toy = await house.runtime()
    await house.open(ready(toy.endpoint), cors_origins="*")
    said = await _preflight(house, "https://any.example")
    assert (said.status, said.headers["access-control-allow-origin"]) == (200, "*")
    assert "access-control-allow-credentials" not in said.headers
    answer = await house.send(*form({**EDIT, "model_id": "easel/demo"}, IMAGE), Origin="https://any.example")
    assert (answer.status, answer.headers["access-control-allow-origin"]) == (200, "*")
    (url,) = answer.urls
    assert (await house.get(url, headers={"Origin": "https://any.example"})).headers[
        "access-control-allow-origin"
    ] == "*"


async def test_without_a_setting_no_other_page_may_come(house: House) -> None:
    await open_with(house, ToyEngine())
    assert "access-control-allow-origin" not in (await _preflight(house, "https://one.example")).headers
