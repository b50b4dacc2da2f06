"""`Accept: text/event-stream`, over real HTTP."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
from httpx2 import AsyncClient

from easel_runtime import events
from support.engines import ToyEngine
from support.event_stream import Stream
from support.pictures import form, png
from support.runtimes import Runtime, runtime, until

TEXTS = {"prompt": "a cat", "seed": "7", "num_inference_steps": "3"}


@asynccontextmanager
async def asking(behind: Runtime, **texts: str) -> AsyncIterator[Stream]:
    content_type, body = form({**TEXTS, **texts}, png())
    headers = {"content-type": content_type, "accept": "text/event-stream"}
    async with (
        AsyncClient(base_url=behind.endpoint.url, trust_env=False) as client,
        client.stream("POST", "/image-to-image", content=body, headers=headers) as answer,
    ):
        yield Stream(answer.status_code, dict(answer.headers), answer.aiter_lines())


async def plain(behind: Runtime, **texts: str) -> Any:
    content_type, body = form({**TEXTS, **texts}, png())
    async with AsyncClient(base_url=behind.endpoint.url, trust_env=False) as client:
        answer = await client.post("/image-to-image", content=body, headers={"content-type": content_type})
        return answer.json()


async def until_in_step(engine: ToyEngine) -> None:
    assert await asyncio.to_thread(engine.in_step.wait, 30)


async def test_the_last_event_is_what_a_plain_client_gets() -> None:
    async with runtime(ToyEngine()) as behind:
        async with asking(behind, num_images_per_prompt="2") as stream:
            assert (stream.status, stream.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
            assert (stream.headers["cache-control"], stream.headers["x-accel-buffering"]) == ("no-store", "no")
            told = await stream.rest()
        assert told[0] == ("queued", {"ahead": 0})
        assert told[-1] == ("result", await plain(behind, num_images_per_prompt="2"))
        assert {name for name, _ in told[1:-1]} <= {"step"}


async def test_each_step_is_told_when_it_is_made() -> None:
    engine = ToyEngine()
    permits = asyncio.Semaphore(0)
    loop = asyncio.get_running_loop()
    engine.before_step = lambda: asyncio.run_coroutine_threadsafe(permits.acquire(), loop).result(30)
    async with runtime(engine) as behind, asking(behind, num_images_per_prompt="2") as stream:
        assert (await stream.next())[0] == "queued"
        for image in (1, 2):
            for step in (1, 2, 3):
                permits.release()
                told = await stream.next()
                assert told == ("step", {"image": image, "images": 2, "step": step, "steps": 3})
        assert [name for name, _ in await stream.rest()] == ["result"]


async def test_who_waits_is_told_how_many_are_before() -> None:
    engine = ToyEngine()
    engine.may_step.clear()
    async with AsyncExitStack() as stack:
        behind = await stack.enter_async_context(runtime(engine))
        streams: list[Stream] = []
        for ahead in range(3):
            streams.append(await stack.enter_async_context(asking(behind)))
            assert await streams[-1].next() == ("queued", {"ahead": ahead})
        engine.may_step.set()
        assert [(await stream.rest())[-1][0] for stream in streams] == ["result"] * 3


async def test_a_caller_who_leaves_stops_the_work_within_one_step() -> None:
    engine = ToyEngine()
    engine.may_step.clear()
    async with runtime(engine) as behind:
        async with asking(behind, num_inference_steps="100") as stream:
            await stream.next()
            await until_in_step(engine)
        await until(lambda: behind.worker.in_flight == 0)
        engine.may_step.set()
        await plain(behind)
    assert engine.steps_done == 3, "those of the request after it"


async def test_a_failure_is_the_last_event_with_the_status_that_it_would_have_had() -> None:
    engine = ToyEngine(room=10)
    async with runtime(engine) as behind, asking(behind) as stream:
        assert stream.status == 200
        name, data = (await stream.rest())[-1]
    assert (name, data["status"], data["detail"]["max_pixels"]) == ("error", 500, 64 * 48 // 2)


async def test_a_deadline_is_told_too() -> None:
    engine = ToyEngine()
    engine.may_step.clear()
    async with runtime(engine, deadline_seconds=0.05) as behind, asking(behind) as stream:
        name, data = (await stream.rest())[-1]
        engine.may_step.set()
    assert (name, data) == ("error", {"status": 504, "detail": {"msg": "the request took longer than 0.05 seconds"}})


@pytest.mark.parametrize(("texts", "status"), [({"seed": "x"}, 422), ({"model_id": "another/one"}, 400)])
async def test_what_is_refused_before_the_work_is_refused_as_ever(texts: dict[str, str], status: int) -> None:
    async with runtime(ToyEngine()) as behind, asking(behind, **texts) as stream:
        assert (stream.status, stream.headers["content-type"]) == (status, "application/json")


async def test_a_full_queue_is_refused_as_ever() -> None:
    engine = ToyEngine()
    engine.may_step.clear()
    async with runtime(engine, queue=1) as behind, asking(behind) as first:
        await first.next()
        async with asking(behind) as second:
            assert (second.status, second.headers["retry-after"]) == (429, "1")
        engine.may_step.set()
        await first.rest()
        await until(lambda: behind.worker.in_flight == 0)


async def test_silence_is_broken_by_comments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "KEEP_ALIVE_SECONDS", 0.01)
    engine = ToyEngine()
    engine.may_step.clear()
    async with runtime(engine) as behind, asking(behind) as stream:
        assert (await stream.next())[0] == "queued"
        assert await stream.next() == (": still here", None)
        engine.may_step.set()
        assert (await stream.rest())[-1][0] == "result"


async def test_headers_say_what_was_changed() -> None:
    async with runtime(ToyEngine(), parameters={"steps": {"max": 2}}) as behind, asking(behind) as stream:
        assert stream.headers["x-easel-adjusted"] == "num_inference_steps=2"
        await stream.rest()
