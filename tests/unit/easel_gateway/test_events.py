"""`Accept: text/event-stream` at the gateway, with real runtimes behind it."""

import asyncio
import json
from collections.abc import AsyncIterator, MutableMapping
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from easel_gateway import events
from easel_gateway.events import EventStream, Untold
from easel_gateway.ledger import Query
from easel_gateway.ledger.sql import open_ledger
from easel_http.event_stream import EVENT, PROGRESS
from support.directory import entry
from support.engines import ToyEngine
from support.gateway_house import House, open_with, ready
from support.orders import order
from support.pictures import encoded, picture
from support.runtimes import BOUNDARY, ScriptedApp, cut_server, nobody, serving, until

BIG = encoded(picture(400, 300), "BMP")
"""More than is kept in memory before it is known where to put it."""


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with AsyncExitStack() as stack:
        yield House(stack, tmp_path / "results")


def permitted(engine: ToyEngine) -> asyncio.Semaphore:
    """What `engine` takes one of before each step."""
    permits, loop = asyncio.Semaphore(0), asyncio.get_running_loop()
    engine.before_step = lambda: asyncio.run_coroutine_threadsafe(permits.acquire(), loop).result(30)
    return permits


def names(told: list[tuple[str, Any]]) -> list[str]:
    return [name for name, _ in told]


# What is told


@pytest.mark.parametrize("image", [pytest.param(None, id="small"), pytest.param(BIG, id="sent on while it arrives")])
async def test_a_request_is_told_from_its_acceptance_to_its_result(house: House, image: bytes | None) -> None:
    await open_with(house, ToyEngine())
    async with house.told(*([image] if image else []), seed="7", num_images_per_prompt="2") as stream:
        assert (stream.status, stream.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
        assert (stream.headers["cache-control"], stream.headers["x-accel-buffering"]) == ("no-store", "no")
        told = await stream.rest()
        assert stream.headers["x-easel-price"] == "1.9073484e-08 USD per pixel"
    assert told[0][0] == "accepted"
    pixels = 2 * (400 * 300 if image else 64 * 48)
    accepted = told[0][1]
    assert accepted.pop("charge")
    assert (accepted.pop("pixels"), accepted.pop("currency"), accepted.pop("images")) == (pixels, "USD", 2)
    assert accepted.pop("amount").startswith("0.00")
    assert accepted == {"model_id": "easel/demo", "state": "ready"}
    assert set(names(told[1:-1])) <= {"queued", "step"}
    name, result = told[-1]
    assert name == "result"
    assert [image["seed"] for image in result["images"]] == [7, 8]
    assert [(await house.get(image["url"])).status for image in result["images"]] == [200, 200]


async def test_the_result_is_what_a_plain_answer_says_in_its_body_and_its_headers(house: House) -> None:
    await open_with(house, ToyEngine())
    asked = {"seed": "7", "num_inference_steps": "1000", "response_format": "data"}
    async with house.told(**asked) as stream:
        _, result = (await stream.rest())[-1]
    plain = await house.ask(**asked)
    easel = result.pop("easel")
    assert result == plain.json
    said = {name.removeprefix("x-easel-").replace("-", "_"): value for name, value in plain.headers.items()}
    assert easel.pop("charge") != said["charge"]
    assert easel == {name: said[name] for name in easel}
    assert easel.keys() == {"adjusted", "price", "amount", "pixels", "model_generation", "model_state", "wait"}


async def test_each_step_is_told_when_it_is_made(house: House) -> None:
    engine = ToyEngine()
    permits = permitted(engine)
    await open_with(house, engine)
    async with house.told(num_images_per_prompt="2", num_inference_steps="3") as stream:
        assert (await stream.next())[0] == "accepted"
        assert await stream.next() == ("queued", {"ahead": 0})
        for image in (1, 2):
            for step in (1, 2, 3):
                permits.release()
                assert await stream.next() == ("step", {"image": image, "images": 2, "step": step, "steps": 3})
        assert names(await stream.rest()) == ["result"]


async def test_a_cold_start_is_told_with_its_forecast_and_what_it_waits_for(house: House) -> None:
    await house.open(replace(entry(), start_seconds=90))
    async with house.told() as stream:
        assert (await stream.next())[1]["state"] == "cold"
        assert await stream.next() == ("starting", {"seconds": 90, "reason": ""})
        house.directory.put(replace(entry(starting=True), start_seconds=90, pending="no node has a free GPU"))
        name, data = await stream.next()
        assert (name, data["reason"]) == ("starting", "no node has a free GPU")
        assert 80 < data["seconds"] <= 90
        house.directory.put(ready((await house.runtime()).endpoint))
        told = await stream.rest()
    assert names(told)[-1] == "result"
    assert "starting" not in names(told)
    assert float(told[-1][1]["easel"]["wait"]) > 0


async def test_who_waits_for_a_place_is_told_how_many_are_before(house: House) -> None:
    engine = ToyEngine()
    engine.may_step.clear()
    await open_with(house, engine)
    async with AsyncExitStack() as stack:
        streams = []
        for ahead in range(4):  # two at the runtime, two here
            streams.append(await stack.enter_async_context(house.told()))
            assert (await streams[-1].next())[0] == "accepted"
            assert await streams[-1].next() == ("queued", {"ahead": ahead})
        engine.may_step.set()
        assert [names(await each.rest())[-1] for each in streams] == ["result"] * 4


async def test_silence_is_broken_by_comments(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "KEEP_ALIVE_SECONDS", 0.01)
    await house.open(entry())
    async with house.told() as stream:
        assert [(await stream.next())[0] for _ in range(3)] == ["accepted", "starting", ": still here"]
        house.directory.put(ready((await house.runtime()).endpoint))
        assert names(await stream.rest())[-1] == "result"


@pytest.mark.parametrize("accept", ["*/*", "application/json, text/event-stream;q=0.5", "text/html"])
async def test_who_does_not_ask_for_events_gets_none(house: House, accept: str) -> None:
    await open_with(house, ToyEngine())
    async with house.told(headers={"Accept": accept}) as stream:
        assert (stream.status, stream.headers["content-type"]) == (200, "application/json")


async def test_a_runtime_that_tells_nothing_is_understood(house: House) -> None:
    part = b"Content-Type: image/png\r\nX-Easel-Seed: 3\r\nX-Easel-Nsfw: false\r\n\r\n\x89PNG"
    body = b"--%b\r\n%b\r\n--%b--\r\n" % (BOUNDARY.encode(), part, BOUNDARY.encode())
    async with serving(ScriptedApp(body=body)) as old:
        await house.open(ready(old))
        async with house.told() as stream:
            told = await stream.rest()
    assert names(told) == ["accepted", "result"]
    assert told[-1][1]["images"][0]["seed"] == 3


# What is refused, and what fails


@pytest.mark.parametrize(
    ("texts", "headers", "status"),
    [
        pytest.param({"seed": "x"}, {}, 422, id="a wrong field"),
        pytest.param({"model_id": "easel/dmeo"}, {}, 404, id="no such model"),
        pytest.param({}, {"X-Easel-Max-Price": "0.00000001 USD"}, 402, id="too dear"),
    ],
)
async def test_what_is_refused_before_the_acceptance_is_refused_as_ever(
    house: House, texts: dict[str, str], headers: dict[str, str], status: int
) -> None:
    await house.open(entry())
    async with house.told(headers=headers, **texts) as stream:
        assert (stream.status, stream.headers["content-type"]) == (status, "application/json")
    assert house.directory.reports == []


async def test_a_failure_is_the_last_event_with_the_status_that_it_would_have_had(house: House) -> None:
    await open_with(house, ToyEngine(room=10))
    async with house.told() as stream:
        assert stream.status == 200
        told = await stream.rest()
    name, data = told[-1]
    assert (name, data["status"], data["detail"]["max_pixels"]) == ("error", 500, 64 * 48 // 2)
    assert names(told).count("error") == 1
    assert "result" not in names(told)
    await house.directory.reached()


async def test_a_model_that_does_not_start_in_time_is_told_when_to_try_again(house: House) -> None:
    await house.open(replace(entry(), start_seconds=95), held_seconds=0.01)
    async with house.told() as stream:
        name, data = (await stream.rest())[-1]
    assert (name, data["status"], data["retry_after"]) == ("error", 503, 95)


async def test_a_model_that_cannot_start_is_told_with_the_reason(house: House) -> None:
    await house.open(entry(failure="weights not found"))
    async with house.told() as stream:
        name, data = (await stream.rest())[-1]
    assert (name, data["status"]) == ("error", 503)
    assert "weights not found" in data["detail"]["msg"]
    assert "retry_after" not in data


def parts(*told: tuple[str, Any]) -> bytes:
    """The beginning of a runtime's answer in parts, one for each event."""
    bodies = [(name, json.dumps(data).encode()) for name, data in told]
    return b"".join(
        f"--{BOUNDARY}\r\nContent-Type: application/json\r\n{EVENT}: {name}\r\n\r\n".encode() + body + b"\r\n"
        for name, body in bodies
    )


IN_PARTS = f"{PROGRESS}; boundary={BOUNDARY}"
STEP = ("step", {"image": 1, "images": 1, "step": 1, "steps": 2})


async def test_a_runtime_that_dies_at_work_is_a_bad_gateway(house: House) -> None:
    body = parts(("queued", {"ahead": 0}), STEP)
    head = f"HTTP/1.1 200 OK\r\nContent-Type: {IN_PARTS}\r\nContent-Length: {len(body) + 999}\r\n\r\n".encode()
    engine = ToyEngine()
    other = await house.runtime(engine, "demo-2")
    async with cut_server(head + body + f"--{BOUNDARY}\r\n".encode()) as cut:
        await house.open(ready(cut, other.endpoint))
        async with house.told() as stream:
            told = await stream.rest()
    assert names(told)[0] == "accepted"
    assert (names(told)[-1], told[-1][1]["status"]) == ("error", 502)
    assert not engine.generations, "it may have been worked on"
    await house.directory.reached()


@pytest.mark.parametrize(
    "told",
    [
        pytest.param([("step", "x" * 70_000)], id="too large"),
        pytest.param([("step", [1])], id="no object"),
        pytest.param([("error", {"detail": {"msg": "no"}})], id="an error without a status"),
        pytest.param([("error", {"status": 200, "detail": {"msg": "no"}})], id="an error that is none"),
        pytest.param([STEP], id="no image"),
    ],
)
async def test_a_runtime_that_tells_nonsense_is_a_bad_gateway(house: House, told: list[tuple[str, Any]]) -> None:
    end = f"--{BOUNDARY}--\r\n".encode()
    async with serving(ScriptedApp(body=parts(*told) + end, content_type=IN_PARTS)) as odd:
        await house.open(ready(odd))
        async with house.told() as stream:
            name, data = (await stream.rest())[-1]
    assert (name, data["status"]) == ("error", 502)


async def test_a_request_goes_to_another_runtime_where_no_work_was_done(house: House) -> None:
    leaving = parts(STEP, ("error", {"status": 503, "detail": {"msg": "the runtime is stopping"}, "retry_after": 1}))
    other = await house.runtime(ToyEngine(), "demo-3")
    with nobody("demo-1") as refusing:
        async with serving(ScriptedApp(body=leaving, content_type=IN_PARTS), "demo-2") as draining:
            await house.open(ready(refusing, draining, other.endpoint))
            async with house.told() as stream:
                told = await stream.rest()
    assert names(told)[-1] == "result"
    assert names(told).count("accepted") == 1
    assert "error" not in names(told)


# Callers who leave, and slow ones


async def test_a_caller_who_leaves_while_held_is_demand_no_more(house: House) -> None:
    await house.open(entry())
    async with house.told() as stream:
        assert [(await stream.next())[0] for _ in range(2)] == ["accepted", "starting"]
        await house.directory.reached(waiting=1)
    await house.directory.reached()


async def test_the_work_for_a_caller_who_leaves_is_stopped_within_a_step(house: House) -> None:
    engine = ToyEngine()
    permits = permitted(engine)
    (toy,) = await open_with(house, engine)
    async with house.told(num_inference_steps="100") as stream:
        permits.release()
        while (await stream.next())[0] != "step":
            pass
    await until(lambda: toy.worker.in_flight == 0)
    await house.directory.reached()
    for _ in range(3):
        permits.release()
    assert (await house.ask(num_inference_steps="2")).status == 200
    assert engine.steps_done <= 4


class SlowReader:
    """Takes the head and the first event, and no more until it may."""

    def __init__(self) -> None:
        self.may_read = asyncio.Event()
        self.body = b""
        self._pieces = 0

    async def send(self, message: MutableMapping[str, Any]) -> None:
        if self._pieces > 1:
            await self.may_read.wait()
        self._pieces += 1
        self.body += message.get("body", b"")

    async def receive(self) -> MutableMapping[str, Any]:
        raise AssertionError("the work looks for itself whether the caller is there")


async def test_a_slow_reader_holds_nothing_up_and_gets_fewer_steps_but_never_old_ones() -> None:
    reader, worked = SlowReader(), asyncio.Event()

    async def work(untold: Untold) -> tuple[dict[str, Any], dict[str, str]]:
        untold.accepted(order())
        for step in range(1, 1001):
            untold.tell("step", {"step": step})
            await asyncio.sleep(0)
        worked.set()
        return {"images": []}, {"X-Easel-Wait": "0.000"}

    answering = asyncio.create_task(EventStream(work, "stopping")({}, reader.receive, reader.send))
    async with asyncio.timeout(10):
        await worked.wait()
    assert not answering.done()
    reader.may_read.set()
    await answering
    told = [line.removeprefix("data: ") for line in reader.body.decode().splitlines() if line.startswith("data: ")]
    steps = [data["step"] for data in map(json.loads, told) if "step" in data]
    assert steps == sorted(set(steps))
    assert (steps[-1], len(steps) < 10) == (1000, True)
    assert json.loads(told[-1]) == {"images": [], "easel": {"wait": "0.000"}}


async def test_what_cannot_be_foreseen_is_told_as_a_failure(caplog: pytest.LogCaptureFixture) -> None:
    async def work(untold: Untold) -> tuple[dict[str, Any], dict[str, str]]:
        untold.accepted(order())
        raise RuntimeError("a secret")

    reader = SlowReader()
    reader.may_read.set()
    await EventStream(work, "stopping")({}, reader.receive, reader.send)
    assert reader.body.decode().splitlines()[-3] == "event: error"
    assert b"a secret" not in reader.body
    assert "a secret" in caplog.text


# What is counted, and charged


async def test_what_becomes_of_requests_is_counted_by_their_end(house: House) -> None:
    await house.open(entry(failure="no GPU"))
    async with house.told() as stream:
        assert (stream.status, names(await stream.rest())[-1]) == (200, "error")
    house.directory.put(entry())
    async with house.told() as stream:
        await stream.next()
    await house.directory.reached()
    house.directory.put(ready((await house.runtime()).endpoint))
    async with house.told() as stream:
        await stream.rest()

    async def counted() -> set[str]:
        lines = (await house.get("/metrics")).body.decode().splitlines()
        return {line for line in lines if line.startswith("easel_gateway_requests_total{")}

    wanted = {
        f'easel_gateway_requests_total{{model="easel/demo",outcome="{outcome}"}} 1.0'
        for outcome in ("unavailable", "left", "ok")
    }
    async with asyncio.timeout(10):
        while wanted - await counted():
            pass


async def test_it_is_charged_once_and_a_key_that_comes_again_gets_one_event(house: House, tmp_path: Path) -> None:
    ledger = await open_ledger(f"sqlite:///{tmp_path}/ledger.db")
    house.on_end(ledger.close)
    engine = ToyEngine()
    toy = await house.runtime(engine)
    await house.open(ready(toy.endpoint), ledger=ledger)
    async with house.told(headers={"Idempotency-Key": "once"}) as stream:
        told = await stream.rest()
    (row,) = await ledger.usage(Query())
    assert (row.requests, row.images, row.pixels) == (1, 1, 64 * 48)
    assert 0 < row.gpu_seconds <= row.seconds
    async with house.told(headers={"Idempotency-Key": "once"}) as stream:
        ((name, again),) = await stream.rest()
    assert (name, again["images"]) == ("result", told[-1][1]["images"])
    assert again["easel"].pop("idempotent_replayed") == "true"
    assert again["easel"]["charge"] == told[0][1]["charge"] == told[-1][1]["easel"]["charge"]
    assert len(engine.generations) == 1
    assert [row.requests for row in await ledger.usage(Query())] == [1]
