"""The whole gateway behind a real socket, with runtimes behind it and an ordinary HTTP client in front."""

import asyncio
import io
import json
import re
import struct
import tracemalloc
import zlib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from fastapi.openapi.models import OpenAPI
from PIL import Image

from easel_crds.demand import Demand
from easel_crds.safety import Safety
from easel_gateway.directory import Entry
from easel_gateway.results.folder import FolderStore
from easel_http.fields import ImageToImageFields
from easel_http.ids import new_id
from support.directory import entry
from support.engines import ToyChecker, ToyEngine
from support.gateway_house import IMAGE, SEED_CALL, Answer, House, open_with, ready
from support.pictures import bomb, encoded, form, png
from support.runtimes import Part, ScriptedApp, cut_server, mixed, nobody, serving, until


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with AsyncExitStack() as stack:
        yield House(stack, tmp_path / "results")


# The seed call


@pytest.mark.parametrize("image_first", [pytest.param(True, id="image first"), pytest.param(False, id="image last")])
@pytest.mark.parametrize("path", ["/image-to-image", "/image-to-image/"])
async def test_the_seed_call_is_answered_with_an_address(house: House, path: str, *, image_first: bool) -> None:
    await open_with(house, ToyEngine())
    answer = await house.send(*form(SEED_CALL, IMAGE, image_first=image_first), path)
    (image,) = answer.json["images"]
    assert image.keys() == {"url", "seed", "nsfw"}
    assert re.fullmatch(rf"{house.url}/stream/[0-9a-f]{{32}}/[0-9a-f]{{32}}[.]png", image["url"])
    assert 0 <= image["seed"] < 2**32
    assert image["nsfw"] is False


async def test_the_address_leads_to_a_png_of_the_inputs_size(house: House) -> None:
    await open_with(house, ToyEngine())
    (url,) = (await house.ask(png(61, 47))).urls
    image = await house.get(url)
    assert image.status == 200
    assert image.headers["content-type"] == "image/png"
    assert image.headers["x-content-type-options"] == "nosniff"
    assert image.headers["cache-control"].startswith("private, max-age=")
    assert int(image.headers["content-length"]) == len(image.body)
    with Image.open(io.BytesIO(image.body)) as picture:
        assert (picture.format, picture.size) == ("PNG", (61, 47))


async def test_a_part_of_an_image_can_be_fetched(house: House) -> None:
    await open_with(house, ToyEngine())
    (url,) = (await house.ask()).urls
    whole = await house.get(url)
    part = await house.get(url, headers={"Range": "bytes=1-3"})
    assert part.status == 206
    assert part.body == b"PNG"
    assert part.headers["content-range"] == f"bytes 1-3/{len(whole.body)}"


async def test_the_address_is_the_one_that_the_caller_used(house: House) -> None:
    await open_with(house, ToyEngine())
    answer = await house.send(*form(SEED_CALL, IMAGE), Host="pictures.example:8080")
    assert answer.urls[0].startswith("http://pictures.example:8080/stream/")


@pytest.mark.parametrize("public_url", ["https://easel.example/api", "https://easel.example/api/"])
async def test_the_public_url_goes_before_what_the_caller_used(house: House, public_url: str) -> None:
    await open_with(house, ToyEngine(), public_url=public_url)
    answer = await house.send(*form(SEED_CALL, IMAGE), Host="pictures.example")
    assert answer.urls[0].startswith("https://easel.example/api/stream/")


async def test_the_same_seed_makes_the_same_bytes(house: House) -> None:
    await open_with(house, ToyEngine())
    first, second, other = [await house.ask(seed=seed) for seed in ("7", "7", "8")]
    assert first.json["images"][0]["seed"] == 7
    assert first.urls != second.urls
    bodies = [(await house.get(answer.urls[0])).body for answer in (first, second, other)]
    assert bodies[0] == bodies[1]
    assert bodies[0] != bodies[2]


async def test_several_images_have_seeds_in_a_row(house: House) -> None:
    await open_with(house, ToyEngine())
    answer = await house.ask(seed="4294967295", num_images_per_prompt="3")
    assert [image["seed"] for image in answer.json["images"]] == [4294967295, 0, 1]
    assert len({(await house.get(url)).body for url in answer.urls}) > 1


async def test_the_runtime_gets_what_the_caller_said_and_its_own_defaults_for_the_rest(house: House) -> None:
    engine = ToyEngine()
    await open_with(house, engine)
    await house.ask(guidance_scale="3.25", negative_prompt="rain", num_inference_steps="")
    (generation,) = engine.generations
    assert generation.prompt == "make it night"
    assert (generation.guidance_scale, generation.negative_prompt, generation.steps) == (3.25, "rain", 4)
    assert generation.explicit == {"prompt", "model_id", "guidance_scale", "negative_prompt"}


async def test_what_the_runtime_adjusted_or_ignored_is_said(house: House) -> None:
    await open_with(house, ToyEngine())
    answer = await house.ask(num_inference_steps="1000", strength="0.5")
    assert answer.headers["x-easel-adjusted"] == "num_inference_steps=100"
    assert answer.headers["x-easel-ignored"] == "strength"


# Requests that cannot be worked on


async def test_an_unknown_model_is_answered_with_the_known_ones(house: House) -> None:
    await house.open(entry(), entry(name="other"))
    answer = await house.ask(model_id="easel/dmeo")
    assert answer.status == 404
    assert answer.json["detail"]["models"] == ["easel/demo", "easel/other"]
    assert "easel/dmeo" in answer.msg


async def test_everything_that_is_missing_is_named_at_once(house: House) -> None:
    await house.open(entry())
    assert (await house.send(*form({}, None))).wrong == {"model_id", "prompt", "image"}


async def test_what_is_no_form_is_told_what_a_form_needs(house: House) -> None:
    await house.open(entry())
    answer = await house.send("application/json", json.dumps(SEED_CALL).encode())
    assert answer.wrong == {"model_id", "prompt", "image"}


@pytest.mark.parametrize(
    ("texts", "field"),
    [
        pytest.param({"guidance_scale": "NaN"}, "guidance_scale", id="not a number"),
        pytest.param({"strength": "inf"}, "strength", id="infinite"),
        pytest.param({"num_images_per_prompt": "0"}, "num_images_per_prompt", id="no images"),
        pytest.param({"num_images_per_prompt": "3"}, "num_images_per_prompt", id="more images than the model allows"),
        pytest.param({"seed": "-1"}, "seed", id="negative seed"),
        pytest.param({"model_id": ""}, "model_id", id="blank model"),
        pytest.param({"loras": "[]"}, "loras", id="loras that are no object"),
    ],
)
async def test_a_wrong_field_is_named_and_no_model_is_woken_for_it(
    house: House, texts: dict[str, str], field: str
) -> None:
    await house.open(entry(parameters={"maxImages": 2}))
    assert (await house.ask(**texts)).wrong == {field}
    assert house.directory.reports == []


@pytest.mark.parametrize(
    ("image", "status"),
    [
        pytest.param(b"this is no image", 400, id="no image"),
        pytest.param(b"", 400, id="empty"),
        pytest.param(bomb(), 422, id="200 megapixels"),
    ],
)
async def test_an_image_that_cannot_be_worked_on_is_refused_before_a_model_is_woken(
    house: House, image: bytes, status: int
) -> None:
    await house.open(entry())
    answer = await house.ask(image)
    assert answer.status == status
    assert "image" in str(answer.json)
    assert house.directory.reports == []


async def test_an_image_that_proves_damaged_in_the_runtime_is_the_callers_error(house: House) -> None:
    await open_with(house, ToyEngine())
    answer = await house.ask(IMAGE[:-100])
    assert answer.status == 400
    assert "damaged" in answer.msg


async def test_a_body_that_was_cut_short_is_told_so(house: House) -> None:
    await house.open(entry())
    content_type, body = form(SEED_CALL, IMAGE)
    answer = await house.send(content_type, body[:-60])
    assert answer.status == 400
    assert "cut short" in answer.msg


async def test_a_body_that_is_too_large_is_refused(house: House) -> None:
    await house.open(entry(), body_bytes=2000)
    answer = await house.ask(IMAGE + b"\0" * 2000)
    assert answer.status == 413
    assert "2000 bytes" in answer.msg


async def test_what_the_gateway_does_not_have_is_answered_in_json(house: House) -> None:
    await house.open(entry())
    assert (await house.get("/image-to-image")).status == 405
    assert (await house.get("/no/such/page")).msg == "Not Found"


# Models that are not running


async def test_a_request_for_a_cold_model_is_held_until_the_model_runs(house: House) -> None:
    await house.open(entry())
    asking = asyncio.create_task(house.ask())
    await house.directory.reached(waiting=1)
    house.directory.put(entry(starting=True))
    house.directory.put(ready((await house.runtime()).endpoint))
    assert len((await asking).urls) == 1
    await house.directory.reached()
    demands = [demand for _, demand in house.directory.reports]
    assert Demand(in_flight=1) in demands
    assert demands[-1] == Demand()


@pytest.mark.parametrize(
    ("now", "said"),
    [
        pytest.param(entry(failure="weights not found: easel/demo"), "weights not found: easel/demo", id="failing"),
        pytest.param(entry(paused=True), "paused", id="paused"),
    ],
)
async def test_a_model_that_cannot_run_is_unavailable_with_the_reason(house: House, now: Entry, said: str) -> None:
    await house.open(now)
    answer = await house.ask()
    assert answer.status == 503
    assert said in answer.msg
    assert "retry-after" not in answer.headers


async def test_the_safety_check_goes_through_to_the_runtime_and_back(house: House) -> None:
    engine = ToyEngine()
    toy = await house.runtime(engine, safety=Safety(checker="a/checker", action="refuse"))
    await house.open(ready(toy.endpoint))
    refused = await house.ask(safety_check="true")
    assert (refused.status, refused.json["detail"]["field"]) == (503, "safety_check")
    assert 1 <= int(refused.headers["retry-after"]) <= 60
    assert (await house.ask(safety_check="false")).json["images"][0]["nsfw"] is False
    assert (engine.checker_loads, len(engine.generations)) == (1, 1)
    checking = ToyEngine()
    checking.checker = ToyChecker()
    another = await house.runtime(checking, "demo-2", safety=Safety(checker="a/checker"))
    house.directory.put(ready(another.endpoint))
    cyan = encoded(Image.new("RGB", (64, 48), "cyan"))  # which the toy inverts
    assert [(await house.ask(image)).json["images"][0]["nsfw"] for image in (cyan, IMAGE)] == [True, False]
    strict = await house.runtime(checking, "demo-3", safety=Safety(checker="a/checker", action="refuse"))
    house.directory.put(ready(strict.endpoint))
    answer = await house.ask(cyan)
    assert (answer.status, answer.json["detail"]["nsfw"]) == (400, True)


async def test_a_model_that_does_not_start_in_time_is_unavailable_for_now(house: House) -> None:
    await house.open(replace(entry(), start_seconds=95), held_seconds=0.01)
    answer = await house.ask()
    assert answer.status == 503
    assert answer.headers["retry-after"] == "95"


async def test_one_more_than_can_be_held_is_told_to_come_back(house: House) -> None:
    await house.open(entry(), held_requests=1)
    held = asyncio.create_task(house.ask())
    await house.directory.reached(waiting=1)
    answer = await house.ask()
    assert answer.status == 429
    assert int(answer.headers["retry-after"]) >= 1
    house.directory.put(ready((await house.runtime()).endpoint))
    assert (await held).status == 200


async def test_a_model_removed_while_a_request_is_held_is_not_found(house: House) -> None:
    await house.open(entry())
    asking = asyncio.create_task(house.ask())
    await house.directory.reached(waiting=1)
    house.directory.remove()
    assert (await asking).status == 404


# Callers and runtimes that leave


async def leave(asking: "asyncio.Task[Answer]") -> None:
    """The client closes its connection."""
    asking.cancel()
    await asyncio.wait({asking})
    assert asking.cancelled()


async def test_a_caller_that_leaves_while_held_is_demand_no_more(house: House) -> None:
    await house.open(entry())
    asking = asyncio.create_task(house.ask())
    await house.directory.reached(waiting=1)
    await leave(asking)
    await house.directory.reached()


async def test_a_caller_that_leaves_in_the_middle_of_its_upload_costs_nothing(house: House) -> None:
    await open_with(house, ToyEngine())
    content_type, body = form(SEED_CALL, IMAGE)
    half_sent = asyncio.Event()

    async def upload() -> AsyncIterator[bytes]:
        yield body[:500]
        half_sent.set()
        await asyncio.Event().wait()

    asking = asyncio.create_task(house.send(content_type, upload()))
    await half_sent.wait()
    await leave(asking)
    assert house.directory.reports == []
    assert (await house.ask()).status == 200


async def test_a_caller_that_does_not_finish_its_upload_is_told_so(house: House) -> None:
    await house.open(entry(), upload_seconds=0.05)
    content_type, body = form(SEED_CALL, IMAGE)

    async def upload() -> AsyncIterator[bytes]:
        yield body[:500]
        await asyncio.Event().wait()

    answer = await house.send(content_type, upload())
    assert answer.status == 504
    assert "0.05 seconds" in answer.msg


async def test_the_work_for_a_caller_that_leaves_is_stopped_within_a_step(house: House) -> None:
    engine = ToyEngine()
    engine.may_step.clear()
    (toy,) = await open_with(house, engine)
    asking = asyncio.create_task(house.ask(num_inference_steps="100"))
    assert await asyncio.to_thread(engine.in_step.wait, 10)
    await leave(asking)
    await house.directory.reached()
    await until(lambda: toy.worker.in_flight == 0)
    engine.may_step.set()
    assert (await house.ask(num_inference_steps="2")).status == 200
    assert engine.steps_done == 2
    assert list(house.folder.rglob("*.png")) != []


async def test_a_runtime_that_goes_away_at_work_is_a_bad_gateway_and_the_next_request_is_served(house: House) -> None:
    async with cut_server(b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n--half", reset=True) as cut:
        await house.open(ready(cut))
        answer = await house.ask()
    assert answer.status == 502
    assert "easel/demo" in answer.msg
    house.directory.put(ready((await house.runtime(name="demo-2")).endpoint))
    assert (await house.ask()).status == 200
    await house.directory.reached()


async def test_a_runtime_that_works_too_long_is_a_gateway_timeout(house: House) -> None:
    async with cut_server(silent=True) as mute:
        await house.open(ready(mute), work_seconds=0.1)
        answer = await house.ask()
    assert answer.status == 504
    assert "easel/demo" in answer.msg


async def test_a_request_goes_to_another_runtime_when_the_first_refuses_the_connection(house: House) -> None:
    engine = ToyEngine()
    second = await house.runtime(engine, "demo-2")
    with nobody("demo-1") as refusing:
        await house.open(ready(refusing, second.endpoint))
        answers = [await house.ask() for _ in range(3)]
    assert [answer.status for answer in answers] == [200, 200, 200]
    assert len(engine.generations) == 3


async def test_a_request_goes_to_another_runtime_when_the_first_is_full(house: House) -> None:
    engines = ToyEngine(), ToyEngine()
    engines[0].may_step.clear()
    first = await house.runtime(engines[0], "demo-1", queue=1)
    second = await house.runtime(engines[1], "demo-2")
    await house.open(ready(first.endpoint))
    slow = asyncio.create_task(house.ask())
    assert await asyncio.to_thread(engines[0].in_step.wait, 10)
    refused = asyncio.create_task(house.ask())
    await house.directory.reached(in_flight=1, waiting=1)
    house.directory.put(ready(first.endpoint, second.endpoint))
    assert (await refused).status == 200
    assert len(engines[1].generations) == 1
    engines[0].may_step.set()
    assert (await slow).status == 200


async def test_a_request_is_not_sent_again_once_it_may_have_been_worked_on(house: House) -> None:
    engine = ToyEngine()
    second = await house.runtime(engine, "demo-2")
    async with cut_server(b"", name="demo-1") as cut:
        await house.open(ready(cut, second.endpoint))
        assert (await house.ask()).status == 502
    assert engine.generations == []


async def test_a_runtime_that_fails_is_said_to_fail(house: House) -> None:
    body = b'{"detail": {"msg": "the model failed at this request"}}'
    async with serving(ScriptedApp(500, body, "application/json")) as failing:
        await house.open(ready(failing))
        answer = await house.ask()
    assert answer.status == 500
    assert answer.msg == "the model failed at this request"


# Results


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(f"/stream/{new_id()}/{new_id()}.png", id="unknown"),
        pytest.param("/stream/x/y.png", id="no ids"),
        pytest.param("/stream/..%2f..%2fetc/passwd.png", id="traversal"),
        pytest.param(f"/stream/{new_id()}/..%2fsecret.png", id="traversal of one"),
    ],
)
async def test_a_result_that_is_not_there_is_not_found(house: House, path: str) -> None:
    await house.open(entry())
    answer = await house.get(path)
    assert answer.status == 404
    assert answer.msg


async def test_a_result_that_has_expired_is_not_found(house: House) -> None:
    await open_with(house, ToyEngine())
    (url,) = (await house.ask()).urls
    assert (await house.get(url)).status == 200
    assert await FolderStore(house.folder, -1).sweep() == 1
    assert "expired" in (await house.get(url)).msg


# What there is to know


async def test_the_models_are_listed_with_state_and_price(house: House) -> None:
    await house.open(
        entry("http://a", name="b", price={"amount": "0.02", "currency": "EUR", "perPixels": 1048576}),
        entry(name="a", failure="no GPU"),
        entry(name="c"),
        entry(name="d", starting=True),
        entry(name="e", paused=True),
    )
    listed = (await house.get("/v1/models")).json
    assert listed["object"] == "list"
    assert [(model["id"], model["state"], model["reason"]) for model in listed["data"]] == [
        ("easel/a", "failed", "no GPU"),
        ("easel/b", "ready", ""),
        ("easel/c", "cold", ""),
        ("easel/d", "starting", ""),
        ("easel/e", "paused", ""),
    ]
    assert listed["data"][1]["price"] == {"amount": "0.02", "currency": "EUR", "per_pixels": 1048576}
    assert listed["data"][2]["price"]["amount"] == "1.9073484e-08"
    assert {(model["object"], model["owned_by"]) for model in listed["data"]} == {("model", "easel")}


async def test_health_is_ok_without_any_model(house: House) -> None:
    await house.open()
    assert (await house.get("/health")).json["status"] == "OK"


async def test_the_description_of_the_api_is_valid_and_names_the_form_and_its_errors(house: House) -> None:
    await house.open()
    document = (await house.get("/openapi.json")).json
    OpenAPI.model_validate(document)
    assert "/image-to-image/" not in document["paths"]
    operation = document["paths"]["/image-to-image"]["post"]
    schema = operation["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert schema["properties"].keys() == {"image", *ImageToImageFields.model_fields}
    assert set(schema["required"]) == {"prompt", "image", "model_id"}
    assert operation["responses"].keys() == {
        "200",
        "400",
        "402",
        "404",
        "409",
        "413",
        "422",
        "429",
        "500",
        "502",
        "503",
        "504",
    }
    assert set(re.findall(r"#/components/schemas/(\w+)", str(document))) <= document["components"]["schemas"].keys()


@pytest.mark.parametrize("path", ["/docs", "/redoc"])
async def test_the_documentation_asks_no_other_host(house: House, path: str) -> None:
    await house.open()
    page = (await house.get(path)).body.decode()
    addresses = re.findall(r"""(?:src|href)=["']([^"']+)""", page) + re.findall(r"url: '([^']+)'", page)
    assert addresses
    assert [url for url in re.findall(r"(?:https?:)?//[\w.-]+", page) if not url.startswith(house.url)] == []
    for address in addresses:
        assert (await house.get(address)).status == 200


# Bounds


def large_png(size: int) -> tuple[bytes, int]:
    """The start of a PNG file whose pixels would fill `size` bytes, and how many zeros are to follow."""
    header = b"IHDR" + struct.pack(">IIBBBBB", 2048, 2048, 8, 2, 0, 0, 0)
    start = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    start += struct.pack(">I", size) + b"IDAT"
    return start, size


async def test_a_large_upload_is_never_held_in_memory(house: House) -> None:
    sink = ScriptedApp(body=mixed(Part(IMAGE)), keeps=False)
    endpoint = await house._stack.enter_async_context(serving(sink))
    await house.open(entry())
    image, rest = large_png(30 << 20)
    content_type, body = form(SEED_CALL, image)
    end = body[body.rindex(b"\r\n--") :]
    zeros = bytes(1 << 16)

    async def upload() -> AsyncIterator[bytes]:
        yield body.removesuffix(end)
        for _ in range(rest // len(zeros)):
            yield zeros
        yield end

    await house.get("/health")  # whatever is imported or cached at the first request
    tracemalloc.start()
    try:
        asking = asyncio.create_task(house.send(content_type, upload()))
        await house.directory.reached(waiting=1)
        _, while_spooled = tracemalloc.get_traced_memory()
        house.directory.put(ready(endpoint))
        answer = await asking
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert answer.status == 200
    assert sink.received > 30 << 20
    assert while_spooled < 8 << 20
    assert peak < 8 << 20


async def test_many_held_uploads_take_next_to_no_memory(house: House) -> None:
    await house.open(entry())
    image, rest = large_png(900_000)
    content_type, body = form(SEED_CALL, image + bytes(rest))

    async def upload() -> AsyncIterator[bytes]:
        for start in range(0, len(body), 1 << 15):
            yield body[start : start + (1 << 15)]

    await house.get("/health")
    tracemalloc.start()
    try:
        asking = [asyncio.create_task(house.send(content_type, upload())) for _ in range(60)]
        await house.directory.reached(waiting=60)
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    for task in asking:
        task.cancel()
    await asyncio.gather(*asking, return_exceptions=True)
    assert len(body) > 900_000
    assert held < 6 << 20, "the bodies alone are 54 MB"


# Prices


def seed_call(**texts: str) -> tuple[str, bytes]:
    return form({**SEED_CALL, **texts}, IMAGE)


async def test_an_answer_says_what_it_cost(house: House) -> None:
    await open_with(house, ToyEngine())
    answer = await house.ask(num_images_per_prompt="2")
    assert {name: value for name, value in answer.headers.items() if name.startswith("x-easel-")} == {
        "x-easel-price": "1.9073484e-08 USD per pixel",
        "x-easel-amount": "0.000117187485696 USD",
        "x-easel-pixels": "6144",
        "x-easel-model-generation": "demo@0",
        "x-easel-model-state": "ready",
        "x-easel-wait": "0.000",
        "x-easel-charge": answer.headers["x-easel-charge"],
    }


@pytest.mark.parametrize(
    ("headers", "texts"),
    [({"X-Easel-Max-Price": "0.00005 USD"}, {}), ({}, {"max_price": "1e-8 per pixel"}), ({}, {"max_price": "1 EUR"})],
)
async def test_a_request_above_the_most_that_is_paid_wakes_nothing_and_is_told_the_price(
    house: House, headers: dict[str, str], texts: dict[str, str]
) -> None:
    await house.open(entry())
    answer = await house.send(*seed_call(**texts), **headers)
    assert answer.status == 402
    assert answer.json["detail"]["amount"] == "0.000058593742848"
    assert house.directory.reports == []


async def test_the_price_is_that_of_the_acceptance_however_long_a_request_is_held(house: House) -> None:
    await house.open(entry())
    held = asyncio.create_task(house.ask(max_price="1"))
    await house.directory.reached(waiting=1)
    dearer = replace(entry(price={"amount": "1"}), endpoints=((await house.runtime()).endpoint,))
    house.directory.put(dearer)
    answer = await held
    assert (answer.status, answer.headers["x-easel-price"]) == (200, "1.9073484e-08 USD per pixel")
    assert (await house.ask()).headers["x-easel-price"] == "1 USD per pixel"


async def test_a_quote_binds_the_gateway_that_gave_it(house: House) -> None:
    await open_with(house, ToyEngine())
    asked = await house.send("application/json", b'{"model_id": "easel/demo", "pixels": 3072}', "/quote")
    house.directory.put(replace(house.directory.entries()["easel/demo"], model=entry(price={"amount": "1"}).model))
    answer = await house.send(*seed_call(), **{"X-Easel-Quote": asked.json["quote"]})
    assert (answer.status, answer.headers["x-easel-amount"]) == (200, f"{asked.json['amount']} USD")
    assert (await house.send(*seed_call(), **{"X-Easel-Quote": "x"})).status == 422
