"""What OpenAI's clients may send, what becomes of it, and how they hear of what went wrong."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from easel_crds.keys import Key, KeyPolicy, hash_of
from easel_gateway.keys import KeyRing, new_key
from easel_gateway.results.folder import FolderStore
from support.directory import entry
from support.engines import ToyEngine
from support.gateway_house import IMAGE, Answer, House, open_with, ready
from support.pictures import encoded, form, picture

EDIT = {"model": "easel/demo", "prompt": "make it night"}
PATH = "/v1/images/edits"
TOKEN = new_key()
BIG = encoded(picture(400, 300), "BMP")


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with AsyncExitStack() as stack:
        yield House(stack, tmp_path / "results")


async def edit(house: House, texts: dict[str, str], **headers: str) -> Answer:
    return await house.send(*form(texts, IMAGE), PATH, **headers)


def is_openais(answer: Answer) -> bool:
    error = answer.json["error"]
    return error.keys() == {"message", "type", "param", "code"} and bool(error["message"]) and "detail" in answer.json


@pytest.mark.parametrize(
    ("first", "second", "value"),
    [
        ("n", "num_images_per_prompt", "1"),
        ("num_images_per_prompt", "n", "2"),
        ("model", "model_id", "easel/demo"),
        ("model_id", "model", "other/model"),
    ],
)
async def test_one_field_under_two_names_is_refused(house: House, first: str, second: str, value: str) -> None:
    engine = ToyEngine()
    await open_with(house, engine)
    answer = await edit(house, {"prompt": "x", first: value, second: value, **({} if "model" in first else EDIT)})
    assert (answer.status, answer.json["detail"][0]["loc"]) == (422, ["body", second])
    assert f"{first} is the same field" in answer.json["error"]["message"]
    assert not engine.generations


async def test_no_upload_goes_to_a_model_that_is_then_called_another(house: House) -> None:
    """The second name comes after the image, when that is at a runtime already."""
    engines = [ToyEngine(), ToyEngine()]
    one, two = [await house.runtime(engine, f"demo-{number}") for number, engine in enumerate(engines)]
    await house.open(ready(one.endpoint), entry(two.endpoint.url, name="other", modelId="other/model"))
    kind, whole = form({"prompt": "x", "model": "easel/demo"}, BIG, image_first=False)
    end = b"--" + kind.partition("boundary=")[2].encode()
    late = end + b'\r\nContent-Disposition: form-data; name="model_id"\r\n\r\nother/model\r\n'
    answer = await house.send(kind, whole.removesuffix(end + b"--\r\n") + late + end + b"--\r\n", PATH)
    assert (answer.status, "is the same field" in answer.json["error"]["message"]) == (422, True)
    assert not any(engine.generations for engine in engines)
    await house.directory.reached(in_flight=0)


async def test_a_model_that_is_not_named_is_the_only_one_or_the_default(house: House) -> None:
    engine = ToyEngine()
    toy = await house.runtime(engine)
    await house.open(ready(toy.endpoint))
    assert (await edit(house, {"prompt": "x"})).status == 200
    assert (await house.send(*form({"prompt": "x"}, IMAGE))).wrong == {"model_id"}, "the seed contract names one"
    house.directory.put(entry(name="other", modelId="other/model"))
    several = await edit(house, {"prompt": "x"})
    assert (several.status, several.json["error"]["param"]) == (422, "model")
    assert "easel/demo, other/model" in several.json["error"]["message"]


async def test_the_default_model_is_for_who_names_none(house: House) -> None:
    toy = await house.runtime()
    await house.open(ready(toy.endpoint), entry(name="other", modelId="other/model"), default_model="easel/demo")
    assert (await edit(house, {"prompt": "x"})).status == 200


async def test_every_field_without_a_meaning_is_named(house: House) -> None:
    await open_with(house, ToyEngine())
    several = "size quality style background complexity input_fidelity output_compression user safety_identifier"
    ignored = [*several.split(), "moderation", "partial_images", "frame_duration_ms"]
    fields = {**EDIT, **dict.fromkeys(ignored, "1"), "svg[model]": "x", "svg[reasoning][effort]": "low"}
    answer = await edit(house, {**fields, "frame_count": "1", "stream": "false", "output_format": "png"})
    assert answer.status == 200, answer.body
    assert answer.headers["x-easel-ignored"].split(", ") == sorted([*ignored, "svg"])


@pytest.mark.parametrize("name", ["mask", "markup"])
async def test_files_that_cannot_be_heeded_are_refused(house: House, name: str) -> None:
    await house.open(entry())
    extra = aiohttp.FormData([*EDIT.items()])
    for field in ("image", name):
        extra.add_field(field, IMAGE, filename="cat.png")
    answer = await house.send(*as_sent(extra), PATH)
    assert (answer.status, answer.json["error"]["param"]) == (422, name)


def as_sent(data: aiohttp.FormData) -> tuple[str, Any]:
    payload = data()
    return payload.content_type, payload


async def test_more_than_one_frame_is_refused(house: House) -> None:
    await house.open(entry())
    answer = await edit(house, {**EDIT, "frame_count": "2"})
    assert (answer.status, answer.json["error"]["param"]) == (422, "frame_count")


@pytest.mark.parametrize(
    ("path", "status", "kind"),
    [
        ("/v1/images/edits", 405, "invalid_request_error"),
        ("/v1/models/nobody/nothing", 404, "not_found_error"),
        ("/v1/chat/completions", 404, "not_found_error"),
        ("/v1", 404, "not_found_error"),
    ],
)
async def test_every_error_below_v1_has_openais_form(house: House, path: str, status: int, kind: str) -> None:
    await house.open(entry())
    answer = await house.get(path)
    assert (answer.status, answer.json["error"]["type"]) == (status, kind)
    assert is_openais(answer)
    assert "x-should-retry" not in answer.headers


async def test_errors_elsewhere_have_the_contracts_form(house: House) -> None:
    await house.open(entry())
    for path, status in (("/v2", 404), ("/image-to-image", 405), ("/v10/models", 404)):
        answer = await house.get(path)
        assert (answer.status, answer.json.keys()) == (status, {"detail"})


async def test_what_is_of_no_use_to_try_again_is_said_not_to_be(house: House) -> None:
    engine = ToyEngine()
    engine.errors = [RuntimeError("no")]
    toy = await house.runtime(engine)
    failing = entry(name="other", modelId="other/model", failure="no such weights")
    await house.open(ready(toy.endpoint), failing)
    failed, hopeless = await edit(house, EDIT), await edit(house, {**EDIT, "model": "other/model"})
    for answer, status in ((failed, 500), (hopeless, 503)):
        assert (answer.status, answer.headers["x-should-retry"]) == (status, "false")
        assert (is_openais(answer), answer.json["error"]["type"]) == (True, "server_error")
    assert "x-should-retry" not in (await edit(house, {**EDIT, "n": "0"})).headers, "nobody would"


async def test_what_helps_to_try_again_is_left_to_the_package(house: House) -> None:
    keys = KeyRing([Key("ada", (hash_of(TOKEN),), KeyPolicy(requests_per_minute=1))])
    await house.open(entry(failure="no such weights"), keys=keys, keys_required=True)
    unknown = await edit(house, EDIT)
    assert (unknown.status, unknown.json["error"]["type"]) == (401, "authentication_error")
    key = {"Authorization": f"Bearer {TOKEN}"}
    await edit(house, EDIT, **key)
    limited = await edit(house, EDIT, **key)
    assert (limited.status, limited.json["error"]["type"]) == (429, "rate_limit_error")
    assert int(limited.headers["retry-after"]) > 0
    assert "x-should-retry" not in limited.headers


class Broken(FolderStore):
    """A store with a defect."""

    async def put(self, *_: object) -> str:
        raise AssertionError("a defect")

    async def drop(self, _: object) -> None:
        """Nothing was stored."""


async def test_a_defect_of_ours_has_that_form_too(house: House, caplog: pytest.LogCaptureFixture) -> None:
    toy = await house.runtime(ToyEngine())
    await house.open(ready(toy.endpoint), results=Broken(house.folder, 3600))
    answer = await edit(house, EDIT)
    assert (answer.status, answer.headers["x-should-retry"], is_openais(answer)) == (500, "false", True)
    assert "unexpected error" in caplog.text
