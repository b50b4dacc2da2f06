"""`Worker`: one thread owns the model; callers queue, and may leave at any time."""

import asyncio
import io
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from PIL import Image

from easel_http.errors import ApiError, BadRequest, Busy, Failed, TimedOut, Unavailable
from easel_runtime.engine import Generation, GenerationError, Loaded, OnStep
from easel_runtime.worker import Health, Output, Worker
from support.engines import ToyEngine
from support.pictures import picture


def generation(*seeds: int, steps: int = 3, prompt: str = "a cat") -> Generation:
    return Generation(
        prompt=prompt,
        image=picture(),
        negative_prompt="",
        steps=steps,
        guidance_scale=7.5,
        image_guidance_scale=1.5,
        strength=0.8,
        seeds=seeds or (1,),
    )


class RaisingEngine(ToyEngine):
    """Raises `error` in the place of the first image; works after that."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.errors = [error]

    def generate(self, generation: Generation, seed: int, on_step: OnStep) -> Image.Image:
        if self.errors:
            raise self.errors.pop()
        return super().generate(generation, seed, on_step)


class CrashingEngine(ToyEngine):
    """Cannot be loaded, for a reason that nobody foresaw."""

    def load(self) -> Loaded:
        raise ZeroDivisionError("scale is 0")


class SlowEngine(ToyEngine):
    """Says when it is being loaded."""

    def __init__(self) -> None:
        super().__init__()
        self.in_load = threading.Event()
        self.may_load.clear()

    def load(self) -> Loaded:
        self.in_load.set()
        return super().load()


@asynccontextmanager
async def started(engine: ToyEngine, *, queue: int = 8, deadline_seconds: float = 60) -> AsyncIterator[Worker]:
    """A worker that has loaded `engine`; whatever `engine` holds back is let go in the end."""
    worker = Worker(engine, queue=queue, deadline_seconds=deadline_seconds)
    try:
        await worker.load(pytest.fail)
        yield worker
    finally:
        engine.may_step.set()
        await worker.close()


async def until_in_step(engine: ToyEngine) -> None:
    assert await asyncio.to_thread(engine.in_step.wait, 30)


async def until_idle(worker: Worker) -> None:
    """Everything that was handed to the model's thread so far is done."""
    await worker.generate(generation(steps=1))


async def ended(task: asyncio.Task[list[Output]]) -> None:
    await asyncio.wait({task}, timeout=30)
    assert task.done()


# Life ---------------------------------------------------------------------------------------------------------------


async def test_health_goes_from_loading_to_idle_to_ok_and_back() -> None:
    engine = SlowEngine()
    engine.may_step.clear()
    worker = Worker(engine, queue=8, deadline_seconds=60)
    seen = [worker.health]
    loading = asyncio.create_task(worker.load(pytest.fail))
    assert await asyncio.to_thread(engine.in_load.wait, 30)
    seen.append(worker.health)
    engine.may_load.set()
    await loading
    seen.append(worker.health)
    working = asyncio.create_task(worker.generate(generation()))
    await until_in_step(engine)
    seen.append(worker.health)
    engine.may_step.set()
    await working
    seen.append(worker.health)
    await worker.close()
    assert seen == [Health.LOADING, Health.LOADING, Health.IDLE, Health.OK, Health.IDLE]


@pytest.mark.parametrize(
    ("engine", "reason"),
    [
        pytest.param(ToyEngine(fails_to_load="there is no such model"), "there is no such model", id="foreseen"),
        pytest.param(CrashingEngine(), "loading failed: ZeroDivisionError: scale is 0", id="unforeseen"),
    ],
)
async def test_a_failed_load_is_told_once_and_refuses_every_request(engine: ToyEngine, reason: str) -> None:
    told: list[str] = []
    worker = Worker(engine, queue=8, deadline_seconds=60)
    await worker.load(told.append)
    assert (worker.health, worker.error, told) == (Health.ERROR, reason, [reason])
    with pytest.raises(Unavailable, match=reason) as caught:
        worker.admit()
    assert "Retry-After" not in caught.value.headers
    await worker.close()


async def test_requests_are_refused_while_the_model_loads() -> None:
    worker = Worker(ToyEngine(), queue=8, deadline_seconds=60)
    with pytest.raises(Unavailable, match="still loading") as caught:
        await worker.generate(generation())
    assert caught.value.headers["Retry-After"] == "5"
    await worker.close()


async def test_what_was_loaded_is_known_to_who_is_admitted() -> None:
    engine = ToyEngine()
    async with started(engine) as worker:
        assert worker.admit() == Loaded("toy", engine.defaults, frozenset({"strength"}))


async def test_closing_stops_the_work_within_one_step() -> None:
    engine = ToyEngine()
    async with started(engine) as worker:
        engine.may_step.clear()
        working = asyncio.create_task(worker.generate(generation(steps=100)))
        await until_in_step(engine)
        await worker.close()
        engine.may_step.set()
        await ended(working)
    assert working.exception() is not None
    assert engine.steps_done == 0


# Images -------------------------------------------------------------------------------------------------------------


async def test_there_is_an_image_for_every_seed_in_their_order() -> None:
    async with started(ToyEngine()) as worker:
        outputs = await worker.generate(generation(5, 3, 4))
    assert [(output.seed, output.nsfw) for output in outputs] == [(5, False), (3, False), (4, False)]
    assert [Image.open(io.BytesIO(output.png)).size for output in outputs] == [picture().size] * 3
    assert len({output.png for output in outputs}) == 3


async def test_the_same_request_gives_the_same_bytes() -> None:
    async with started(ToyEngine()) as worker:
        assert await worker.generate(generation(7)) == await worker.generate(generation(7))


async def test_requests_are_worked_on_in_the_order_they_came() -> None:
    engine = ToyEngine()
    engine.may_step.clear()
    async with started(engine) as worker:
        prompts = ["first", "second", "third", "fourth"]
        working = [asyncio.create_task(worker.generate(generation(prompt=prompt))) for prompt in prompts]
        await until_in_step(engine)
        engine.may_step.set()
        await asyncio.gather(*working)
    assert [done.prompt for done in engine.generations] == prompts


async def test_one_image_is_made_at_a_time() -> None:
    engine = ToyEngine()
    engine.may_step.clear()
    async with started(engine) as worker:
        working = [asyncio.create_task(worker.generate(generation())) for _ in range(3)]
        await until_in_step(engine)
        assert (len(engine.generations), worker.in_flight) == (1, 3)
        engine.may_step.set()
        await asyncio.gather(*working)
        assert (len(engine.generations), worker.in_flight) == (3, 0)


# The queue ----------------------------------------------------------------------------------------------------------


async def test_one_request_more_than_the_queue_holds_is_refused() -> None:
    engine = ToyEngine()
    engine.may_step.clear()
    async with started(engine, queue=2) as worker:
        working = [asyncio.create_task(worker.generate(generation())) for _ in range(2)]
        await until_in_step(engine)
        with pytest.raises(Busy, match="all 2 places") as caught:
            await worker.generate(generation())
        assert caught.value.headers["Retry-After"] == "1"
        with pytest.raises(Busy):
            worker.admit()
        engine.may_step.set()
        await asyncio.gather(*working)
        worker.admit()


async def leave(task: asyncio.Task[list[Output]]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_caller_who_leaves_the_queue_makes_room_and_costs_nothing() -> None:
    engine = ToyEngine()
    engine.may_step.clear()
    async with started(engine, queue=2) as worker:
        first = asyncio.create_task(worker.generate(generation(prompt="first")))
        waiting = asyncio.create_task(worker.generate(generation(prompt="waiting")))
        await until_in_step(engine)
        await leave(waiting)
        assert worker.in_flight == 1
        engine.may_step.set()
        await first
        await until_idle(worker)
    assert "waiting" not in [done.prompt for done in engine.generations]


async def test_the_work_for_a_caller_who_leaves_stops_within_one_step() -> None:
    engine = ToyEngine()
    engine.may_step.clear()
    async with started(engine) as worker:
        working = asyncio.create_task(worker.generate(generation(1, 2, steps=100, prompt="long")))
        await until_in_step(engine)
        await leave(working)
        assert worker.health is Health.IDLE
        engine.may_step.set()
        await until_idle(worker)
    assert [done.prompt for done in engine.generations] == ["long", "a cat"]
    assert engine.steps_done == 1, "the one step of the request after it"


@pytest.mark.parametrize("waiting", [False, True], ids=["in work", "in the queue"])
async def test_a_request_that_takes_too_long_is_told_so_and_stopped(*, waiting: bool) -> None:
    engine = ToyEngine()
    engine.may_step.clear()
    async with started(engine, deadline_seconds=0.05) as worker:
        requests = [worker.generate(generation(steps=100)) for _ in range(2 if waiting else 1)]
        results = await asyncio.gather(*requests, return_exceptions=True)
    assert [str(result) for result in results] == ["the request took longer than 0.05 seconds"] * len(results)
    assert all(isinstance(result, TimedOut) for result in results)
    assert (engine.steps_done, worker.in_flight) == (0, 0)


# Failures -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "answer", "words"),
    [
        pytest.param(GenerationError("too small for me"), BadRequest, "too small for me", id="refused by the model"),
        pytest.param(RuntimeError("CUDA, secret"), Failed, "the model failed at this request", id="failed"),
        pytest.param(MemoryError("secret"), Failed, "the model failed at this request", id="no memory"),
        pytest.param(Busy("from inside"), Busy, "from inside", id="an answer already"),
    ],
)
async def test_an_error_of_the_model_becomes_an_answer_without_its_inside(
    error: Exception, answer: type[ApiError], words: str
) -> None:
    async with started(RaisingEngine(error)) as worker:
        with pytest.raises(answer, match=words) as caught:
            await worker.generate(generation())
        assert "secret" not in str(caught.value.body())
        assert worker.health is Health.IDLE
        assert len(await worker.generate(generation())) == 1


async def test_a_failure_is_logged_with_its_inside(caplog: pytest.LogCaptureFixture) -> None:
    async with started(RaisingEngine(RuntimeError("CUDA, secret"))) as worker:
        with pytest.raises(Failed):
            await worker.generate(generation())
    assert "CUDA, secret" in caplog.text
