"""`Worker`: one thread owns the model; callers queue, and may leave at any time."""

import asyncio
import dataclasses
import io
import threading
from contextlib import closing

import pytest
from PIL import Image

from easel_http.errors import ApiError, BadRequest, Busy, Failed, TimedOut, Unavailable
from easel_runtime.encoding import Encoded
from easel_runtime.engine import Defaults, Generation, GenerationError, Loaded, OnStep, OutOfMemory
from easel_runtime.finishing import Finishing, Output
from easel_runtime.job import Job, Step
from easel_runtime.worker import Health, Worker
from support.engines import ToyEngine
from support.pictures import picture
from support.runtimes import until
from support.workers import generation, leave, new_worker, safety_check, started, until_in_step


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


async def until_idle(worker: Worker) -> None:
    """Everything that was handed to the model's thread so far is done."""
    await worker.generate(generation(steps=1))


async def ended(task: asyncio.Task[list[Output]]) -> None:
    await asyncio.wait({task}, timeout=30)
    assert task.done()


# Life ---------------------------------------------------------------------------------------------------------------


async def test_health_goes_from_loading_to_idle_to_ok_and_back() -> None:
    engine = SlowEngine()
    worker = new_worker(engine)
    seen = [worker.health]
    loading = asyncio.create_task(worker.load(pytest.fail))
    assert await asyncio.to_thread(engine.in_load.wait, 30)
    seen.append(worker.health)
    engine.may_load.set()
    await loading
    seen.append(worker.health)
    with worker.admit():
        seen.append(worker.health)
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
    worker = new_worker(engine)
    await worker.load(told.append)
    assert (worker.health, worker.error, told) == (Health.ERROR, reason, [reason])
    with pytest.raises(Unavailable, match=reason) as caught, worker.admit():
        pass
    assert "Retry-After" not in caught.value.headers
    await worker.close()


async def test_requests_are_refused_while_the_model_loads() -> None:
    worker = new_worker(ToyEngine())
    with pytest.raises(Unavailable, match="still loading") as caught, worker.admit():
        pass
    assert caught.value.headers["Retry-After"] == "5"
    await worker.close()


async def test_what_was_loaded_is_known_to_who_is_admitted() -> None:
    engine = ToyEngine()
    async with started(engine) as worker:
        with worker.admit() as loaded:
            assert loaded == Loaded("toy", engine.defaults, frozenset({"strength"}))


async def test_closing_stops_the_work_within_one_step_and_answers_who_waits() -> None:
    engine = ToyEngine()
    async with started(engine) as worker:
        engine.may_step.clear()
        requests = [asyncio.create_task(worker.generate(generation(steps=100))) for _ in range(2)]
        await until_in_step(engine)
        await worker.close()
        engine.may_step.set()
        results = await asyncio.gather(*requests, return_exceptions=True)
    assert [str(result) for result in results] == ["the runtime is stopping"] * 2
    assert all(isinstance(result, Unavailable) for result in results)
    assert engine.steps_done == 0


# The warm-up --------------------------------------------------------------------------------------------------------


async def test_a_tiny_edit_is_made_before_the_model_counts_as_loaded() -> None:
    engine = ToyEngine()
    engine.may_step.clear()
    worker = new_worker(engine, warm_up_side=32)
    loading = asyncio.create_task(worker.load(pytest.fail))
    await until_in_step(engine)
    assert (worker.health, worker.warming_up) == (Health.LOADING, True)
    engine.may_step.set()
    await loading
    assert (worker.health, worker.warming_up) == (Health.IDLE, False)
    (made,) = engine.generations
    assert (made.image.size, made.steps) == ((32, 32), 2)
    await worker.close()


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OutOfMemory("12 GB are missing"), "the model leaves too little memory to edit with: 12 GB are missing"),
        (RuntimeError("CUDA error"), "loading failed: RuntimeError: CUDA error"),
    ],
    ids=["memory", "fault"],
)
async def test_a_model_that_cannot_make_a_tiny_edit_is_not_loaded(error: Exception, reason: str) -> None:
    engine = ToyEngine()
    engine.errors = [error]
    told: list[str] = []
    async with started(engine, told.append, warm_up_side=32) as worker:
        assert (worker.health, told) == (Health.ERROR, [reason])


async def test_a_model_that_refuses_tiny_pictures_is_loaded_all_the_same() -> None:
    engine = ToyEngine()
    engine.errors = [GenerationError("512 x 512 only")]
    async with started(engine, warm_up_side=32) as worker:
        assert worker.health is Health.IDLE


# Images -------------------------------------------------------------------------------------------------------------


async def test_there_is_an_image_for_every_seed_in_their_order() -> None:
    async with started(ToyEngine()) as worker:
        outputs = await worker.generate(generation(5, 3, 4))
    assert [(output.seed, output.nsfw) for output in outputs] == [(5, False), (3, False), (4, False)]
    assert [Image.open(io.BytesIO(output.file.data)).size for output in outputs] == [picture().size] * 3
    assert len({output.file.data for output in outputs}) == 3


async def test_the_same_request_gives_the_same_bytes() -> None:
    async with started(ToyEngine()) as worker:
        assert await worker.generate(generation(7)) == await worker.generate(generation(7))


async def test_a_request_is_worked_on_to_its_end_before_the_next_in_the_order_they_came() -> None:
    engine = ToyEngine()
    engine.may_step.clear()
    async with started(engine) as worker:
        prompts = ["first", "second", "third"]
        working = [asyncio.create_task(worker.generate(generation(1, 2, prompt=prompt))) for prompt in prompts]
        await until_in_step(engine)
        assert (len(engine.generations), worker.ahead, worker.waiting) == (1, 3, 2)
        engine.may_step.set()
        await asyncio.gather(*working)
        assert worker.ahead == worker.waiting == 0
    assert [done.prompt for done in engine.generations] == ["first", "first", "second", "second", "third", "third"]


@pytest.mark.parametrize("batch", [1, 2])
def test_of_many_images_no_more_than_two_batches_are_pictures_at_one_time(batch: int) -> None:
    may_encode = threading.Semaphore(0)

    def encode(_: Image.Image) -> Encoded:
        assert may_encode.acquire(timeout=30)
        return Encoded(b"")

    finishing = Finishing(safety_check(ToyEngine()))
    with closing(finishing):
        job = Job(generation(*range(10)), 3, encode, batch=batch)
        for _ in range(2):
            for work in job.take(batch, wait=True):
                job.deliver(work.seed, picture(), finishing)
        assert job.next_image == 2 * batch + 1
        assert job.take(batch, wait=False) == []
        may_encode.release()
        assert [work.seed for work in job.take(1, wait=True)] == [2 * batch]
        assert job.take(batch, wait=False) == []
        may_encode.release(2 * batch)


async def test_a_request_of_many_images_waits_for_room_for_whole_batches() -> None:
    may_encode = threading.Semaphore(0)

    def encode(_: Image.Image) -> Encoded:
        assert may_encode.acquire(timeout=30)
        return Encoded(b"")

    engine = ToyEngine()
    async with started(engine, batch=2) as worker:
        working = asyncio.create_task(worker.generate(generation(*range(10), steps=1), encode=encode))
        await until(lambda: len(engine.generations) == 4)
        for _ in range(10):
            may_encode.release()
            await asyncio.sleep(0)
        assert len(await working) == 10
    assert [len(batch) for batch in engine.batches] == [2] * 5


async def test_a_caller_who_leaves_while_its_pictures_are_encoded_holds_up_nobody() -> None:
    may_encode, encoding = threading.Event(), threading.Event()

    def encode(_: Image.Image) -> Encoded:
        encoding.set()
        assert may_encode.wait(30)
        return Encoded(b"")

    engine = ToyEngine()
    async with started(engine) as worker:
        working = asyncio.create_task(worker.generate(generation(*range(5), prompt="long"), encode=encode))
        assert await asyncio.to_thread(encoding.wait, 30)
        await leave(working)
        other = asyncio.create_task(worker.generate(generation(prompt="other"), encode=lambda _: Encoded(b"")))
        await until(lambda: engine.batches[-1:] == [[("other", 1)]])
        may_encode.set()
        await other


async def test_of_a_request_whose_image_cannot_be_encoded_no_more_images_are_made() -> None:
    def encode(_: Image.Image) -> Encoded:
        raise OSError("no room on the device")

    engine = ToyEngine()
    async with started(engine) as worker:
        with pytest.raises(OSError, match="no room"):
            await worker.generate(generation(*range(50)), encode=encode)
        assert len(engine.generations) < 50
        assert worker.health is Health.IDLE
        assert len(await worker.generate(generation())) == 1


# Steps --------------------------------------------------------------------------------------------------------------


async def test_each_step_is_told_with_its_number_and_how_many_there_are() -> None:
    seen: list[Step] = []
    async with started(ToyEngine()) as worker:
        await worker.generate(generation(1, 2, steps=2), watch=seen.append)
    assert seen == [Step(1, 2, 1, 2), Step(1, 2, 2, 2), Step(2, 2, 1, 2), Step(2, 2, 2, 2)]


async def test_of_a_partial_edit_only_the_steps_that_are_run_count() -> None:
    class Partial(ToyEngine):
        def edit(self, generation: Generation, seed: int, on_step: OnStep) -> Image.Image:
            return super().edit(dataclasses.replace(generation, steps=8), seed, on_step)

    seen: list[Step] = []
    async with started(Partial(defaults=Defaults(partial=True))) as worker:
        await worker.generate(generation(steps=10), watch=seen.append)
    assert (len(seen), seen[-1]) == (8, Step(1, 1, 8, 8))


# The queue ----------------------------------------------------------------------------------------------------------


async def test_one_request_more_than_there_are_places_is_refused() -> None:
    async with started(ToyEngine(), queue=2) as worker:
        with worker.admit(), worker.admit():
            assert worker.in_flight == 2
            with pytest.raises(Busy, match="all 2 places") as caught, worker.admit():
                pass
            assert caught.value.headers["Retry-After"] == "1"
        with worker.admit():
            assert worker.in_flight == 1
        assert worker.in_flight == 0


async def test_a_place_is_given_back_whatever_happens_in_it() -> None:
    async with started(ToyEngine(), queue=1) as worker:
        for error in (ValueError, asyncio.CancelledError, GeneratorExit):
            with pytest.raises(error), worker.admit():
                raise error
        assert worker.in_flight == 0


async def test_a_caller_who_leaves_the_queue_costs_nothing() -> None:
    engine = ToyEngine()
    engine.may_step.clear()
    async with started(engine) as worker:
        first = asyncio.create_task(worker.generate(generation(prompt="first")))
        waiting = asyncio.create_task(worker.generate(generation(prompt="waiting")))
        await until_in_step(engine)
        await leave(waiting)
        assert worker.ahead == 1
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
        engine.may_step.set()
        await until_idle(worker)
    assert [done.prompt for done in engine.generations] == ["long", "a cat"]
    assert engine.steps_done == 1, "the one step of the request after it"


async def test_after_a_burst_of_callers_who_left_a_new_one_has_only_its_own_steps_before_it() -> None:
    engine = ToyEngine()
    engine.may_step.clear()
    async with started(engine) as worker:
        burst = [asyncio.create_task(worker.generate(generation(*range(4), steps=100))) for _ in range(50)]
        await until_in_step(engine)
        for task in burst:
            await leave(task)
        engine.may_step.set()
        await worker.generate(generation(steps=3))
    assert engine.steps_done == 3


@pytest.mark.parametrize("waiting", [False, True], ids=["in work", "in the queue"])
async def test_a_request_that_takes_too_long_is_told_so_and_stopped(*, waiting: bool) -> None:
    engine = ToyEngine()
    engine.may_step.clear()
    async with started(engine, deadline_seconds=0.05) as worker:
        requests = [worker.generate(generation(steps=100)) for _ in range(2 if waiting else 1)]
        results = await asyncio.gather(*requests, return_exceptions=True)
        assert worker.ahead == 0
    assert [str(result) for result in results] == ["the request took longer than 0.05 seconds"] * len(results)
    assert all(isinstance(result, TimedOut) for result in results)
    assert engine.steps_done == 0


async def test_a_step_that_lasts_longer_than_a_whole_request_may_is_the_end_of_health() -> None:
    engine = ToyEngine()
    engine.may_step.clear()
    async with started(engine, deadline_seconds=0.05) as worker:
        with pytest.raises(TimedOut):
            await worker.generate(generation())
        await until(lambda: worker.stalled)
        assert worker.health is Health.ERROR
        engine.may_step.set()
        await until_idle(worker)
        assert (worker.stalled, worker.health) == (False, Health.IDLE)


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
    engine = ToyEngine()
    engine.errors = [error]
    async with started(engine) as worker:
        with pytest.raises(answer, match=words) as caught:
            await worker.generate(generation())
        assert "secret" not in str(caught.value.body())
        assert worker.health is Health.IDLE
        assert len(await worker.generate(generation())) == 1


async def test_a_failure_is_logged_with_its_inside(caplog: pytest.LogCaptureFixture) -> None:
    engine = ToyEngine()
    engine.errors = [RuntimeError("CUDA, secret")]
    async with started(engine) as worker:
        with pytest.raises(Failed):
            await worker.generate(generation())
    assert "CUDA, secret" in caplog.text
