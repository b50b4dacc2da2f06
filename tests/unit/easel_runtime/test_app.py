"""The runtime over HTTP: the seed contract's routes, answers and errors, around a toy engine."""

import asyncio
import base64
import email
import email.message
import email.policy
import io
import re
import threading
from collections.abc import AsyncIterator, Mapping
from typing import Any, BinaryIO

import pytest
from httpx2 import Response
from PIL import Image

from easel_http.fields import OWN_FIELDS, form_schema
from easel_runtime.images import decode
from support.engines import ToyEngine
from support.in_process import PNG, TEXTS, Runtime, running, until_in_step
from support.pictures import form, png

TOKEN = "s3cret"  # noqa: S105


@pytest.fixture
async def runtime() -> AsyncIterator[Runtime]:
    async with running() as runtime:
        yield runtime


def pngs(answer: Response) -> list[bytes]:
    """The images of a JSON answer."""
    start = "data:image/png;base64,"
    urls = [image["url"] for image in answer.json()["images"]]
    assert all(url.startswith(start) for url in urls)
    return [base64.b64decode(url.removeprefix(start), validate=True) for url in urls]


def parts(answer: Response) -> list[tuple[bytes, int, bool]]:
    """Bytes, seed and flag of each image of a multipart answer, as the standard library reads it."""
    head = f"Content-Type: {answer.headers['content-type']}\r\n\r\n".encode()
    message = email.message_from_bytes(head + answer.content, email.message.EmailMessage, policy=email.policy.HTTP)
    assert message.get_content_type() == "multipart/mixed"
    found = []
    for part in message.iter_parts():
        data = part.get_content()
        assert (part.get_content_type(), int(part["Content-Length"])) == ("image/png", len(data))
        found.append((data, int(part["X-Easel-Seed"]), {"true": True, "false": False}[part["X-Easel-Nsfw"]]))
    return found


# Answers ------------------------------------------------------------------------------------------------------------


async def test_the_answer_has_the_contracts_shape(runtime: Runtime) -> None:
    answer = await runtime.post()
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    (image,) = answer.json()["images"]
    assert answer.json() == {"images": [{"url": image["url"], "seed": 7, "nsfw": False}]}


@pytest.mark.parametrize("size", [(64, 48), (67, 45), (1, 1)], ids=lambda size: f"{size[0]}x{size[1]}")
async def test_images_are_pngs_of_the_inputs_size(runtime: Runtime, size: tuple[int, int]) -> None:
    (data,) = pngs(await runtime.post(png(*size)))
    image = Image.open(io.BytesIO(data))
    assert (image.format, image.mode, image.size) == ("PNG", "RGB", size)


async def test_several_images_have_consecutive_seeds(runtime: Runtime) -> None:
    answer = await runtime.post(num_images_per_prompt="3", seed=str(2**32 - 2))
    assert [image["seed"] for image in answer.json()["images"]] == [2**32 - 2, 2**32 - 1, 0]
    assert len(set(pngs(answer))) == 3


async def test_the_same_seed_gives_the_same_bytes_and_another_gives_others(runtime: Runtime) -> None:
    first, again, other = [pngs(await runtime.post(seed=seed)) for seed in ("7", "7", "8")]
    assert first == again != other


async def test_a_seed_is_chosen_for_who_sends_none(runtime: Runtime) -> None:
    answer = await runtime.post(seed="")
    seed = answer.json()["images"][0]["seed"]
    assert 0 <= seed < 2**32
    assert pngs(await runtime.post(seed=str(seed))) == pngs(answer)


async def test_who_accepts_multipart_gets_the_same_images_without_base64(runtime: Runtime) -> None:
    plain = await runtime.post(num_images_per_prompt="3")
    mixed = await runtime.post(num_images_per_prompt="3", headers={"accept": "multipart/mixed, application/json;q=0.5"})
    assert parts(mixed) == [
        (data, image["seed"], image["nsfw"]) for data, image in zip(pngs(plain), plain.json()["images"], strict=True)
    ]


async def test_the_engine_gets_what_the_form_says(runtime: Runtime) -> None:
    await runtime.post(
        png(20, 10),
        prompt="ein Kätzchen",
        negative_prompt="blurry",
        guidance_scale="3",
        image_guidance_scale="2",
        strength="0.5",
    )
    (generation,) = runtime.engine.generations
    assert (generation.prompt, generation.negative_prompt, generation.image.size) == (
        "ein Kätzchen",
        "blurry",
        (20, 10),
    )
    assert (generation.steps, generation.guidance_scale) == (2, 3)
    assert (generation.image_guidance_scale, generation.strength) == (2, 0.5)


async def test_a_blank_prompt_and_the_served_models_id_are_accepted(runtime: Runtime) -> None:
    assert (await runtime.post(prompt="", model_id="easel/toy")).status_code == 200


async def test_values_that_were_moved_or_not_used_are_named_in_headers() -> None:
    async with running(parameters={"steps": {"max": 3}, "guidanceScale": {"max": 2}}) as runtime:
        answer = await runtime.post(num_inference_steps="100", guidance_scale="7.5", strength="0.5")
        assert answer.headers["x-easel-adjusted"] == "num_inference_steps=3, guidance_scale=2"
        assert answer.headers["x-easel-ignored"] == "strength"
        assert runtime.engine.steps_done == 3


@pytest.mark.parametrize("accept", ["*/*", "multipart/mixed"])
async def test_the_headers_are_on_both_kinds_of_answer_and_absent_without_reason(accept: str) -> None:
    async with running(parameters={"steps": {"max": 1}}) as runtime:
        moved = await runtime.post(strength="1", headers={"accept": accept})
        assert (moved.headers["x-easel-adjusted"], moved.headers["x-easel-ignored"]) == (
            "num_inference_steps=1",
            "strength",
        )
        plain = await runtime.post(num_inference_steps="1", headers={"accept": accept})
        assert not {"x-easel-adjusted", "x-easel-ignored"} & set(plain.headers)


# Routes -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/health", "/version", "/hardware/info", "/hardware/stats"])
async def test_the_contracts_routes_have_a_twin_with_a_slash(runtime: Runtime, path: str) -> None:
    plain, twin = [await runtime.client.get(each) for each in (path, f"{path}/")]
    assert (plain.status_code, plain.content) == (twin.status_code, twin.content) == (200, plain.content)


async def test_image_to_image_has_a_twin_with_a_slash(runtime: Runtime) -> None:
    assert (await runtime.post(path="/image-to-image/")).content == (await runtime.post()).content


async def test_version_names_pipeline_model_and_a_semantic_version(runtime: Runtime) -> None:
    body = (await runtime.client.get("/version")).json()
    assert re.fullmatch(r"\d+\.\d+\.\d+([-+].+)?", body.pop("version"))
    assert body == {"pipeline": "image-to-image", "model_id": "easel/toy"}


async def test_an_unknown_path_is_answered_in_json(runtime: Runtime) -> None:
    answer = await runtime.client.get("/text-to-image")
    assert (answer.status_code, answer.json()) == (404, {"detail": {"msg": "Not Found"}})


@pytest.mark.parametrize(("method", "path"), [("GET", "/image-to-image"), ("POST", "/health"), ("DELETE", "/version")])
async def test_another_method_is_answered_in_json(runtime: Runtime, method: str, path: str) -> None:
    answer = await runtime.client.request(method, path)
    assert (answer.status_code, answer.json()) == (405, {"detail": {"msg": "Method Not Allowed"}})


async def test_the_openapi_document_lists_the_form(runtime: Runtime) -> None:
    document = (await runtime.client.get("/openapi.json")).json()
    operation = document["paths"]["/image-to-image"]["post"]
    assert operation["operationId"] == "genImageToImage"
    assert operation["requestBody"]["required"] is True
    schema = operation["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert schema["properties"].keys() == form_schema()["properties"].keys() - OWN_FIELDS
    assert schema["required"] == form_schema()["required"]
    assert sorted(operation["responses"]["200"]["content"]) == [
        *("application/json", "image/jpeg", "image/png", "image/webp", "multipart/mixed"),
        *("multipart/vnd.easel.progress", "text/event-stream"),
    ]
    assert sorted(document["paths"]) == [
        *("/hardware/info", "/hardware/stats", "/health", "/image-to-image", "/version")
    ]


# Refusals -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("texts", "msg"),
    [
        ({"model_id": "easel/other"}, "this runtime serves easel/toy, not easel/other"),
        ({"model_id": "Easel/Toy"}, "this runtime serves easel/toy, not Easel/Toy"),
        (
            {"loras": '{"../b": 1}'},
            "LoRA ../b: not a repository of the Hub; send an id such as nerijs/pixel-art-xl, no path or URL",
        ),
    ],
    ids=["another model", "another case", "LoRAs"],
)
async def test_what_this_model_cannot_do_is_a_bad_request(runtime: Runtime, texts: dict[str, str], msg: str) -> None:
    content_type, body = form({**TEXTS, **texts}, PNG)
    answer = await runtime.client.post("/image-to-image", content=body, headers={"content-type": content_type})
    assert (answer.status_code, answer.json()) == (400, {"detail": {"msg": msg}})
    assert runtime.engine.generations == []


async def test_an_empty_object_of_loras_is_none(runtime: Runtime) -> None:
    assert (await runtime.post(loras="{}")).status_code == 200


@pytest.mark.parametrize("image", [b"a cat", png()[:100], b""], ids=["text", "cut short", "empty"])
async def test_a_file_that_is_no_picture_is_a_bad_request(runtime: Runtime, image: bytes) -> None:
    answer = await runtime.post(image)
    assert (answer.status_code, list(answer.json()["detail"])) == (400, ["msg"])


async def test_a_body_cut_short_is_a_bad_request(runtime: Runtime) -> None:
    content_type, body = form(TEXTS, png())
    answer = await runtime.client.post("/image-to-image", content=body[:-30], headers={"content-type": content_type})
    assert (answer.status_code, list(answer.json()["detail"])) == (400, ["msg"])


async def test_a_body_too_large_is_refused(runtime: Runtime) -> None:
    async def body() -> AsyncIterator[bytes]:
        for _ in range(257):
            yield bytes(1 << 20)

    answer = await runtime.client.post("/image-to-image", content=body(), headers={"content-type": "text/plain"})
    assert (answer.status_code, list(answer.json()["detail"])) == (413, ["msg"])


async def test_every_wrong_field_is_listed_as_fastapi_does_it(runtime: Runtime) -> None:
    answer = await runtime.post(seed="x", strength="nan", num_images_per_prompt="0")
    assert answer.status_code == 422
    assert [problem["loc"] for problem in answer.json()["detail"]] == [
        ["body", "strength"],
        ["body", "seed"],
        ["body", "num_images_per_prompt"],
    ]
    assert all(set(problem) == {"type", "loc", "msg", "input"} for problem in answer.json()["detail"])


async def test_a_json_body_misses_both_required_fields(runtime: Runtime) -> None:
    answer = await runtime.client.post("/image-to-image", json={"prompt": "a cat"})
    assert answer.status_code == 422
    assert [(problem["type"], problem["loc"]) for problem in answer.json()["detail"]] == [
        ("missing", ["body", "prompt"]),
        ("missing", ["body", "image"]),
    ]


@pytest.mark.parametrize("loras", ['{"a": NaN}', '{"a": "\\ud800"}', "[" * 50_000], ids=["NaN", "surrogate", "nested"])
async def test_loras_that_json_cannot_say_are_still_answered_in_json(runtime: Runtime, loras: str) -> None:
    answer = await runtime.post(loras=loras)
    assert (answer.status_code, answer.json()["detail"][0]["input"]) == (422, loras)


async def test_images_beyond_the_models_bounds_are_refused() -> None:
    async with running(parameters={"maxImages": 1, "maxPixels": 4096}) as runtime:
        many = await runtime.post(num_images_per_prompt="2")
        large = await runtime.post(png(65, 64))
    assert [many.status_code, large.status_code] == [422, 422]
    assert many.json()["detail"][0]["loc"] == ["body", "num_images_per_prompt"]
    assert large.json()["detail"][0]["loc"] == ["body", "image"]


# The token ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "",
        TOKEN,
        f"Bearer {TOKEN}x",
        f"Bearer {TOKEN[:-1]}",
        f"Bearer {TOKEN.upper()}",
        "Basic " + base64.b64encode(f"user:{TOKEN}".encode()).decode(),
        "Bearer s3cr\xe9t",
    ],
    ids=["missing", "blank", "bare", "longer", "shorter", "other case", "Basic", "not ASCII"],
)
async def test_a_wrong_token_is_refused_before_the_body_is_read(authorization: str | None) -> None:
    read: list[bytes] = []

    async def body() -> AsyncIterator[bytes]:
        read.append(b"")
        yield b""

    headers = {} if authorization is None else {b"authorization": authorization.encode("latin-1")}
    async with running(auth_token=TOKEN) as runtime:
        answer = await runtime.client.post("/image-to-image", content=body(), headers=headers)
    assert (answer.status_code, answer.json()) == (401, {"detail": {"msg": "the bearer token is missing or wrong"}})
    assert answer.headers["www-authenticate"] == "Bearer"
    assert read == []


async def test_the_right_token_is_let_in() -> None:
    async with running(auth_token=TOKEN) as runtime:
        assert (await runtime.post(headers={"authorization": f"Bearer {TOKEN}"})).status_code == 200


@pytest.mark.parametrize("path", ["/health", "/livez", "/readyz", "/version", "/metrics", "/hardware/info"])
async def test_probes_need_no_token(path: str) -> None:
    async with running(auth_token=TOKEN) as runtime:
        assert (await runtime.client.get(path)).status_code == 200


# Load ---------------------------------------------------------------------------------------------------------------


async def test_health_answers_while_an_image_is_made() -> None:
    async with running() as runtime:
        runtime.engine.may_step.clear()
        working = asyncio.create_task(runtime.post())
        await until_in_step(runtime.engine)
        assert await runtime.status() == {"status": "OK", "in_flight": 1, "device": "toy"}
        runtime.engine.may_step.set()
        assert (await working).status_code == 200
        assert await runtime.status() == {"status": "IDLE", "in_flight": 0, "device": "toy"}


async def test_a_full_queue_is_said_with_the_time_to_wait_and_before_the_body_is_read() -> None:
    read: list[bytes] = []

    async def body() -> AsyncIterator[bytes]:
        read.append(b"")
        yield b""

    async with running(queue=1) as runtime:
        runtime.engine.may_step.clear()
        working = asyncio.create_task(runtime.post())
        await until_in_step(runtime.engine)
        refused = await runtime.client.post("/image-to-image", content=body())
        assert (refused.status_code, list(refused.json()["detail"])) == (429, ["msg"])
        assert refused.headers["retry-after"] == "1"
        assert read == []
        runtime.engine.may_step.set()
        assert (await working).status_code == 200


async def test_no_more_than_two_pictures_are_decoded_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    may_decode, decoding = threading.Event(), threading.Semaphore(0)

    def slow(file: BinaryIO, max_pixels: int) -> Image.Image:
        decoding.release()
        assert may_decode.wait(30)
        return decode(file, max_pixels)

    monkeypatch.setattr("easel_runtime.routes.images.decode", slow)
    async with running() as runtime:
        callers = [asyncio.create_task(runtime.post()) for _ in range(4)]
        for _ in range(2):
            assert await asyncio.to_thread(decoding.acquire, timeout=30)
        await runtime.until_in_flight(4)
        for _ in range(100):
            await asyncio.sleep(0)
        assert not decoding.acquire(blocking=False)
        may_decode.set()
        assert {answer.status_code for answer in await asyncio.gather(*callers)} == {200}


async def test_a_request_that_takes_too_long_is_said_so() -> None:
    async with running(deadline_seconds=0.05) as runtime:
        runtime.engine.may_step.clear()
        answer = await runtime.post()
    assert (answer.status_code, answer.json()) == (
        504,
        {"detail": {"msg": "the request took longer than 0.05 seconds"}},
    )


async def test_the_work_for_a_caller_who_hangs_up_is_stopped() -> None:
    content_type, body = form({**TEXTS, "num_inference_steps": "100"}, PNG)
    messages = iter([{"type": "http.request", "body": body, "more_body": False}])
    sent: list[Mapping[str, Any]] = []

    async with running() as runtime:
        runtime.engine.may_step.clear()

        async def receive() -> Mapping[str, Any]:
            if (message := next(messages, None)) is not None:
                return message
            await until_in_step(runtime.engine)
            return {"type": "http.disconnect"}

        async def send(message: Mapping[str, Any]) -> None:
            sent.append(message)

        headers = [(b"content-type", content_type.encode())]
        line = {"http_version": "1.1", "method": "POST", "path": "/image-to-image", "query_string": b""}
        scope = {"type": "http", **line, "headers": headers}
        await runtime.app(scope, receive, send)
        assert (await runtime.status())["in_flight"] == 0
        runtime.engine.may_step.set()
        assert (await runtime.post()).status_code == 200
    assert sent[0]["status"] == 499
    assert runtime.engine.steps_done == 2, "those of the request after it"


# Probes -------------------------------------------------------------------------------------------------------------


async def probes(runtime: Runtime) -> list[int]:
    return [(await runtime.client.get(path)).status_code for path in ("/livez", "/readyz")]


async def test_while_the_model_loads_the_runtime_lives_and_is_not_ready() -> None:
    engine = ToyEngine()
    engine.may_load.clear()
    async with running(engine, loaded=False) as runtime:
        assert await runtime.status() == {"status": "LOADING", "in_flight": 0, "phase": "loading"}
        assert await probes(runtime) == [200, 503]
        refused = await runtime.post()
        assert (refused.status_code, refused.json()) == (503, {"detail": {"msg": "the model is still loading"}})
        assert refused.headers["retry-after"] == "5"
        engine.may_load.set()
        await runtime.until_loaded()
        assert await runtime.status() == {"status": "IDLE", "in_flight": 0, "device": "toy"}
        assert await probes(runtime) == [200, 200]
        assert (await runtime.post()).status_code == 200
        assert runtime.failures == []


async def test_after_a_failed_load_the_runtime_is_neither_alive_nor_ready_and_says_why() -> None:
    async with running(ToyEngine(fails_to_load="no such model")) as runtime:
        assert await runtime.status() == {"status": "ERROR", "in_flight": 0, "detail": {"msg": "no such model"}}
        assert await probes(runtime) == [503, 503]
        refused = await runtime.post()
        assert refused.status_code == 503
        assert refused.json() == {"detail": {"msg": "the model could not be loaded: no such model"}}
        assert "retry-after" not in refused.headers
        assert runtime.failures == ["no such model"]
