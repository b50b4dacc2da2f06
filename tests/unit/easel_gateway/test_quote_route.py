"""`POST /quote`, the catalogue, and OpenAI's `models.retrieve`, asked for over HTTP."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from httpx2 import AsyncClient, Response

from easel_gateway.admission import Job
from easel_gateway.directory import Entry
from easel_http.fields import ImageToImageFields
from easel_http.spool import Spool
from support.builders import image_model
from support.directory import MemoryDirectory, entry
from support.pictures import bomb, form, png
from support.priced_gateway import client_of, priced_app

SIZE = {"model_id": "easel/demo", "width": 1024, "height": 1024}


class Asker:
    """A gateway and a client of it."""

    def __init__(self, stack: AsyncExitStack, folder: Path) -> None:
        self.directory = MemoryDirectory()
        self.client: AsyncClient
        self.app: Any = None
        self._stack = stack
        self._folder = folder

    async def open(self, *entries: Entry, **settings: Any) -> None:
        self.directory.put(*(entries or (entry(),)))
        self.app = priced_app(self.directory, self._folder, **settings)
        self.client = await self._stack.enter_async_context(client_of(self.app))

    async def quote(self, said: Any) -> Response:
        return await self.client.post("/quote", content=json.dumps(said))

    async def quote_form(self, image: bytes | None, **texts: str) -> Response:
        content_type, body = form({"prompt": "", "model_id": "easel/demo", **texts}, image)
        return await self.client.post("/quote", content=body, headers={"content-type": content_type})


@pytest.fixture
async def asker(tmp_path: Path) -> AsyncIterator[Asker]:
    async with AsyncExitStack() as stack:
        yield Asker(stack, tmp_path)


def wrong(answer: Response) -> dict[str, str]:
    """What is wrong, by field; "" is the whole body."""
    assert answer.status_code == 422, answer.text
    assert all(problem.keys() == {"type", "loc", "msg", "input"} for problem in answer.json()["detail"])
    return {".".join(map(str, problem["loc"][1:])): problem["msg"] for problem in answer.json()["detail"]}


async def test_a_quote_has_the_exact_amount_and_says_how_long_it_holds(asker: Asker) -> None:
    await asker.open(replace(entry(), start_seconds=95))
    before = time.time()
    answer = await asker.quote({**SIZE, "images": 2})
    assert answer.status_code == 200
    said = answer.json()
    assert 58 < datetime.fromisoformat(said.pop("valid_until")).timestamp() - before < 61
    assert len(said.pop("quote")) > 50
    assert said == {
        "model_id": "easel/demo",
        "pixels": 2 * 1024 * 1024,
        "images": 2,
        "price": {"amount": "1.9073484e-08", "currency": "USD", "per_pixels": 1},
        "amount": "0.039999995117568",
        "currency": "USD",
        "generation": "demo@0",
        "state": "cold",
        "start_seconds": 95,
    }


async def test_pixels_may_be_said_in_the_place_of_both_sides(asker: Asker) -> None:
    await asker.open()
    sides, pixels = await asker.quote(SIZE), await asker.quote({"model_id": "easel/demo", "pixels": 1024 * 1024})
    assert sides.json()["amount"] == pixels.json()["amount"] == "0.019999997558784"


async def test_the_form_of_a_request_is_quoted_as_the_request_would_be_charged(asker: Asker) -> None:
    await asker.open()
    answer = await asker.quote_form(png(40, 30), num_images_per_prompt="3")
    assert (answer.status_code, answer.json()["pixels"], answer.json()["images"]) == (200, 3600, 3)


async def test_a_quote_given_out_binds_when_the_price_has_risen(asker: Asker) -> None:
    await asker.open()
    quote = (await asker.quote(SIZE)).json()
    dearer = image_model(price={"amount": "1"})
    asker.directory.put(Entry(dearer))
    assert (await asker.quote(SIZE)).json()["amount"] == "1048576"
    spool = Spool()
    spool.close()
    job = Job(dearer, ImageToImageFields.from_texts({"prompt": "", "model_id": "easel/demo"}), spool, 1024, 1024)
    charged = asker.app.state.quotes.price_job(job, {"X-Easel-Quote": quote["quote"]}, time.time())
    assert charged.headers()["X-Easel-Amount"] == "0.019999997558784 USD"


@pytest.mark.parametrize(
    ("said", "fields"),
    [
        ({}, {"model_id"}),
        ({"model_id": "easel/demo"}, {""}),
        ({"model_id": "easel/demo", "width": 10}, {""}),
        ({**SIZE, "pixels": 1024 * 1024}, {""}),
        ({**SIZE, "width": 0}, {"width"}),
        ({**SIZE, "width": "1024"}, {"width"}),
        ({**SIZE, "width": 1.5, "height": True}, {"width", "height"}),
        ({**SIZE, "images": 0}, {"images"}),
        ({**SIZE, "images": 9}, {"images"}),
        ({**SIZE, "images": 65}, {"images"}),
        ({**SIZE, "width": 4097}, {"width"}),
        ({"model_id": "easel/demo", "pixels": 4194305}, {"pixels"}),
        ({**SIZE, "Width": 1}, {"Width"}),
        ([], {""}),
        (None, {""}),
        (7, {""}),
    ],
)
async def test_what_is_wrong_is_named(asker: Asker, said: Any, fields: set[str]) -> None:
    await asker.open()
    assert wrong(await asker.quote(said)).keys() == fields


async def test_as_large_and_as_many_as_the_model_takes_are_quoted(asker: Asker) -> None:
    await asker.open(entry(parameters={"maxPixels": 4096, "maxImages": 64}))
    answer = await asker.quote({"model_id": "easel/demo", "pixels": 4096, "images": 64})
    assert (answer.status_code, answer.json()["pixels"]) == (200, 4096 * 64)


async def test_an_unknown_model_is_not_found_with_the_known_ones(asker: Asker) -> None:
    await asker.open()
    for answer in (
        await asker.quote({**SIZE, "model_id": "no/such"}),
        await asker.quote_form(png(), model_id="no/such"),
        await asker.client.get("/models/no/such"),
        await asker.client.get("/v1/models/no/such"),
    ):
        assert (answer.status_code, answer.json()["detail"]["models"]) == (404, ["easel/demo"])


@pytest.mark.parametrize(
    ("body", "status"),
    [(b"", 400), (b"{", 400), (b"\xff", 400), (b"[" * 60_000, 400), (b'"' + b"x" * (64 << 10) + b'"', 413)],
    ids=["nothing", "cut", "no UTF-8", "deep", "large"],
)
async def test_a_body_that_is_no_json_is_refused_with_an_example(asker: Asker, body: bytes, status: int) -> None:
    await asker.open()
    answer = await asker.client.post("/quote", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == status
    assert answer.json()["detail"]["msg"].startswith("the body ")


async def test_the_form_is_refused_for_what_the_request_would_be_refused_for(asker: Asker) -> None:
    await asker.open(entry(parameters={"maxImages": 2}, loras={"allow": []}))
    assert wrong(await asker.quote_form(None)).keys() == {"image"}
    assert wrong(await asker.quote_form(bomb())).keys() == {"image"}
    assert wrong(await asker.quote_form(png(), num_images_per_prompt="3")).keys() == {"num_images_per_prompt"}
    assert (await asker.quote_form(b"no picture")).status_code == 400
    assert (await asker.quote_form(png(), loras='{"some/style": 1}')).status_code == 400


async def test_a_body_that_does_not_arrive_is_given_up(asker: Asker) -> None:
    await asker.open(upload_seconds=0.01)

    async def upload() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.Event().wait()

    answer = await asker.client.post("/quote", content=upload())
    assert (answer.status_code, answer.json()["detail"]["msg"]) == (504, "the body did not arrive within 0.01 seconds")


@pytest.mark.parametrize(
    ("model", "state", "seconds"),
    [
        (entry("http://a"), "ready", 0),
        (entry(starting=True), "starting", 30),
        (entry(failure="no GPU"), "failed", None),
        (entry(paused=True), "paused", None),
    ],
)
async def test_state_and_forecast_are_told(asker: Asker, model: Entry, state: str, seconds: float | None) -> None:
    await asker.open(model)
    for said in ((await asker.quote(SIZE)).json(), (await asker.client.get("/models/easel/demo")).json()):
        assert (said["state"], said["start_seconds"]) == (state, seconds)


async def test_the_catalogue_has_what_a_caller_needs_to_know(asker: Asker) -> None:
    parameters = {"steps": {"default": 2, "max": 4}, "strength": {"min": 0.2}, "maxPixels": 8192, "maxImages": 3}
    loras = {"allow": ["nerijs/*"], "maxPerRequest": 2, "maxBytes": "1Ki"}
    one = entry("http://a", "http://b", parameters=parameters, loras=loras, revision="v2", safety={"action": "blank"})
    await asker.open(one, entry(name="another", failure="no GPU"))
    listed = (await asker.client.get("/models")).json()["models"]
    assert [(model["id"], model["reason"]) for model in listed] == [("easel/another", "no GPU"), ("easel/demo", "")]
    assert (
        listed[1]
        == (await asker.client.get("/models/easel/demo")).json()
        == {
            "id": "easel/demo",
            "revision": "v2",
            "generation": "demo@0",
            "state": "ready",
            "reason": "",
            "ready_replicas": 2,
            "start_seconds": 0,
            "price": {"amount": "1.9073484e-08", "currency": "USD", "per_pixels": 1},
            "max_pixels": 8192,
            "max_images": 3,
            "parameters": {
                "num_inference_steps": {"default": 2, "minimum": 1, "maximum": 4},
                "guidance_scale": {"default": None, "minimum": 0, "maximum": 100},
                "image_guidance_scale": {"default": None, "minimum": 0, "maximum": 100},
                "strength": {"default": None, "minimum": 0.2, "maximum": 1},
            },
            "loras": {"allow": ["nerijs/*"], "max_per_request": 2, "max_bytes": 1024},
            "safety": {"checked": True, "enforced": False, "action": "blank"},
        }
    )


@pytest.mark.parametrize("path", ["/v1/models/easel/demo", "/v1/models/easel%2Fdemo"])
async def test_one_model_is_retrieved_as_openai_clients_do_it(asker: Asker, path: str) -> None:
    await asker.open()
    answer = await asker.client.get(path)
    assert answer.status_code == 200
    assert answer.json() == (await asker.client.get("/v1/models")).json()["data"][0]
    assert json.loads(answer.text)["object"] == "model"
