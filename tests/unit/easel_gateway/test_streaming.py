"""Large uploads that go to a runtime while they arrive: what that must not change, and whom it must not keep."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from easel_crds.demand import Demand
from easel_crds.keys import Key, KeyPolicy, hash_of
from easel_gateway import intake
from easel_gateway.keys import KeyRing, new_key
from support.directory import entry
from support.engines import ToyEngine
from support.gateway_house import SEED_CALL, Answer, House, open_with, ready
from support.pictures import encoded, form, picture
from support.runtimes import Part, ScriptedApp, mixed, serving, until

BIG = encoded(picture(400, 300), "BMP")
"""360 KB: more than is kept in memory before it is known where to put it."""


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with AsyncExitStack() as stack:
        yield House(stack, tmp_path / "results")


class Upload:
    """A form whose last part comes when it is told to."""

    def __init__(self, house: House, **texts: str) -> None:
        self._may_end = asyncio.Event()
        content_type, self._body = form({**SEED_CALL, **texts}, BIG, image_first=False)
        self.answer = asyncio.create_task(house.send(content_type, self._pieces()))

    async def _pieces(self) -> AsyncIterator[bytes]:
        yield self._body[:-100_000]
        await self._may_end.wait()
        yield self._body[-100_000:]

    async def end(self) -> Answer:
        self._may_end.set()
        return await self.answer

    async def hang_up(self) -> None:
        self.answer.cancel()
        await asyncio.wait({self.answer})


async def at_the_runtime(house: House) -> None:
    """The gateway sends what arrives to a runtime."""
    await house.directory.reached(in_flight=1)


async def test_a_large_image_is_at_the_runtime_before_its_upload_has_ended(house: House) -> None:
    app = ScriptedApp(body=mixed(Part(b"\x89PNG")))
    async with serving(app, "demo-1") as endpoint:
        await house.open(ready(endpoint))
        upload = Upload(house)
        await until(lambda: app.received > 100_000)
        assert not app.bodies, "nothing can be worked on yet"
        assert (await upload.end()).status == 200
        assert BIG in app.bodies[0]


async def test_the_answer_is_the_one_that_a_small_upload_would_get(house: House) -> None:
    engine = ToyEngine()
    await open_with(house, engine)
    answer = await Upload(house, seed="7", num_images_per_prompt="2", guidance_scale="3.5").end()
    assert [image["seed"] for image in answer.json["images"]] == [7, 8]
    assert {generation.guidance_scale for generation in engine.generations} == {3.5}
    assert [(await house.get(url)).status for url in answer.urls] == [200, 200]
    await house.directory.reached(in_flight=0)


async def test_what_is_wrong_is_said_and_nothing_is_worked_on(house: House) -> None:
    engine = ToyEngine()
    (toy,) = await open_with(house, engine)
    content_type, body = form({"model_id": "easel/demo", "prompt": "x", "strength": "9"}, BIG, image_first=False)
    assert (await house.send(content_type, body)).wrong == {"strength"}
    assert not engine.generations
    await until(lambda: toy.worker.in_flight == 0)
    await house.directory.reached(in_flight=0)


async def test_an_upload_that_is_cut_short_is_not_worked_on(house: House) -> None:
    engine = ToyEngine()
    (toy,) = await open_with(house, engine)
    upload = Upload(house)
    await until(lambda: toy.worker.in_flight == 1)
    await upload.hang_up()
    await until(lambda: toy.worker.in_flight == 0)
    await house.directory.reached(in_flight=0)
    assert not engine.generations


async def test_a_slow_upload_gives_its_place_to_others_and_is_served_when_it_is_whole(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake, "_STREAM_SECONDS", 0.5)
    (toy,) = await open_with(house, ToyEngine())
    slow = [Upload(house) for _ in range(6)]
    await until(lambda: toy.worker.in_flight > 0)
    await until(lambda: toy.worker.in_flight == 0)
    assert (await house.ask()).status == 200
    assert [answer.status for answer in [await one.end() for one in slow]] == [200] * 6


async def test_a_runtime_that_takes_nothing_is_passed_over(house: House) -> None:
    busy = ScriptedApp(503, b'{"detail": {"msg": "stopping"}}', "application/json")
    async with serving(busy, "demo-0") as endpoint:
        other = await house.runtime(ToyEngine(), "demo-1")
        await house.open(ready(endpoint, other.endpoint))
        assert (await Upload(house).end()).status == 200
        assert len(busy.requests) == 1


async def test_a_runtime_that_fails_early_is_answered_for_when_the_upload_has_ended(house: House) -> None:
    failing = ScriptedApp(500, b'{"detail": {"msg": "no"}}', "application/json")
    async with serving(failing, "demo-0") as endpoint:
        await house.open(ready(endpoint))
        answer = await Upload(house).end()
        assert (answer.status, answer.msg) == (500, "no")


async def test_an_upload_for_a_model_that_the_key_is_not_for_takes_nobodys_place(house: House) -> None:
    app = ScriptedApp(body=mixed(Part(b"\x89PNG")))
    token = new_key()
    keys = KeyRing([Key("ada", (hash_of(token),), KeyPolicy(models=("other/*",)))])
    async with serving(app, "demo-1") as endpoint:
        await house.open(ready(endpoint), keys=keys, keys_required=True)
        sent = form(SEED_CALL, BIG, image_first=False)
        assert (await house.send(*sent, Authorization=f"Bearer {token}")).status == 403
        assert app.received == 0
        assert house.directory.reports == []


async def test_an_upload_for_a_cold_model_is_kept_until_it_is_ready(house: House) -> None:
    await house.open(entry())
    upload = asyncio.create_task(Upload(house).end())
    await house.directory.reached(waiting=1)
    toy = await house.runtime()
    house.directory.put(ready(toy.endpoint))
    assert (await upload).status == 200
    assert house.directory.demand() == Demand()


@pytest.mark.parametrize("image_first", [True, False], ids=["image first", "image last"])
async def test_large_forms_work_in_either_order(house: House, *, image_first: bool) -> None:
    await open_with(house, ToyEngine())
    assert (await house.send(*form(SEED_CALL, BIG, image_first=image_first))).status == 200
