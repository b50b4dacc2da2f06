"""`EASEL_BATCH`: alike requests in one call, and none the worse for its neighbours."""

import asyncio
import logging
import threading
import weakref
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest
from PIL import Image

from easel_http.errors import BadRequest
from easel_runtime.engine import Generation, GenerationError, OnStep, OutOfMemory, Work
from easel_runtime.finishing import Output
from easel_runtime.job import Step
from easel_runtime.worker import Health, Worker
from support.engines import ToyEngine
from support.pictures import picture
from support.runtimes import until
from support.workers import generation, leave, started, until_in_step


@dataclass
class Queue:
    """A worker, what waits in it, and the steps that its engine may make."""

    engine: ToyEngine
    worker: Worker
    tasks: list[asyncio.Task[list[Output]]]
    steps: threading.Semaphore

    def let_go(self) -> None:
        self.steps.release(10_000)

    async def ended(self) -> list[list[Output]]:
        """What came of the requests, once all may be made."""
        self.let_go()
        return await asyncio.gather(*self.tasks)

    async def failed(self) -> list[object]:
        """As `ended`, of requests some of which fail."""
        self.let_go()
        return [
            str(result) if isinstance(result, BaseException) else len(result)
            for result in await asyncio.gather(*self.tasks, return_exceptions=True)
        ]

    async def until_call(self, count: int) -> None:
        """So many calls of the engine were begun."""
        await until(lambda: len(self.engine.batches) == count)

    def prompts(self) -> list[list[str]]:
        """Those of each call."""
        return [[prompt for prompt, _ in batch] for batch in self.engine.batches]


@asynccontextmanager
async def queued(
    *requests: Generation, engine: ToyEngine | None = None, batch: int = 4, told: list[str] | None = None
) -> AsyncIterator[Queue]:
    """A worker with all of `requests` in its queue when the first of them is begun, and no step is made."""
    engine, steps = engine or ToyEngine(), threading.Semaphore(0)
    engine.before_step = lambda: steps.acquire(timeout=30)
    async with started(engine, pytest.fail if told is None else told.append, batch=batch) as worker:
        # Something of another kind is in work while they are queued.
        before = asyncio.create_task(worker.generate(generation(steps=1, prompt="before")))
        await until_in_step(engine)
        tasks = [asyncio.create_task(worker.generate(request)) for request in requests]
        await until(lambda: worker.waiting == len(requests))
        steps.release()
        await before
        engine.batches.pop(0)
        engine.steps_done = 0
        queue = Queue(engine, worker, tasks, steps)
        try:
            yield queue
        finally:
            queue.let_go()


# Sharing ------------------------------------------------------------------------------------------------------------


async def test_alike_requests_that_wait_share_a_call_in_the_order_they_came() -> None:
    requests = [generation(1, prompt="a"), generation(2, prompt="b"), generation(3, prompt="c")]
    async with queued(*requests) as queue:
        made = await queue.ended()
        assert queue.worker.ahead == 0
        alone = [await queue.worker.generate(request) for request in requests]
    assert queue.engine.batches == [[("a", 1), ("b", 2), ("c", 3)], [("a", 1)], [("b", 2)], [("c", 3)]]
    assert made == alone


async def test_a_call_has_the_images_of_one_request_first_and_then_those_of_the_next() -> None:
    requests = [generation(1, 2, 3, prompt="a"), generation(4, 5, 6, prompt="b"), generation(7, prompt="c")]
    async with queued(*requests, batch=2) as queue:
        made = await queue.ended()
    assert queue.engine.batches == [[("a", 1), ("a", 2)], [("a", 3), ("b", 4)], [("b", 5), ("b", 6)], [("c", 7)]]
    assert [[output.seed for output in outputs] for outputs in made] == [[1, 2, 3], [4, 5, 6], [7]]


async def test_what_is_not_alike_is_made_apart_and_not_overtaken_for_long() -> None:
    other = generation(prompt="other", image=picture(80, 80))
    alike = [generation(prompt=name) for name in "bcde"]
    async with queued(generation(prompt="a"), other, *alike, batch=3) as queue:
        await queue.ended()
    assert queue.prompts() == [["a", "b", "c"], ["other"], ["d", "e"]]


@pytest.mark.parametrize(("batch", "can_batch"), [(1, True), (4, False)], ids=["setting", "model"])
async def test_without_batches_each_image_is_made_alone(*, batch: int, can_batch: bool) -> None:
    engine = ToyEngine()
    engine.can_batch = can_batch
    async with queued(generation(1, 2, prompt="a"), generation(prompt="b"), engine=engine, batch=batch) as queue:
        await queue.ended()
    assert queue.engine.batches == [[("a", 1)], [("a", 2)], [("b", 1)]]


async def test_nobody_waits_for_others_to_come() -> None:
    async with queued(generation(prompt="a")) as queue:
        await queue.until_call(1)
        queue.tasks.append(asyncio.create_task(queue.worker.generate(generation(prompt="b"))))
        await until(lambda: queue.worker.waiting == 1)
        await queue.ended()
    assert queue.prompts() == [["a"], ["b"]]


async def test_each_request_is_told_its_own_steps() -> None:
    seen: dict[str, list[Step]] = {"a": [], "b": []}
    requests = {"a": generation(1, prompt="a", steps=2), "b": generation(1, 2, 3, prompt="b", steps=2)}
    async with queued(generation()) as queue:
        await queue.until_call(1)
        for name, request in requests.items():
            queue.tasks.append(asyncio.create_task(queue.worker.generate(request, watch=seen[name].append)))
        await until(lambda: queue.worker.waiting == 2)
        await queue.ended()
    assert queue.prompts() == [["a cat"], ["a", "b", "b", "b"]]
    assert seen["a"] == [Step(1, 1, 1, 2), Step(1, 1, 2, 2)]
    assert seen["b"] == [Step(1, 3, 1, 2), Step(1, 3, 2, 2)]


async def test_the_images_of_one_request_count_up_from_call_to_call() -> None:
    seen: list[Step] = []
    async with started(ToyEngine(), batch=2) as worker:
        await worker.generate(generation(1, 2, 3, steps=1), watch=seen.append)
    assert seen == [Step(1, 3, 1, 1), Step(3, 3, 1, 1)]


# Leaving ------------------------------------------------------------------------------------------------------------


async def test_the_others_of_a_batch_go_on_when_one_leaves() -> None:
    left = generation(2, 3, 4, prompt="left")
    async with queued(generation(1, prompt="a"), left, generation(5, prompt="b"), batch=2) as queue:
        await queue.until_call(1)
        await leave(queue.tasks.pop(1))
        made = await queue.ended()
    assert queue.engine.batches == [[("a", 1), ("left", 2)], [("b", 5)]]
    assert [len(outputs) for outputs in made] == [1, 1]


async def test_a_batch_stops_before_the_next_step_when_all_of_it_have_left() -> None:
    requests = [generation(steps=100, prompt=name) for name in "ab"]
    async with queued(*requests, generation(steps=2, prompt="c")) as queue:
        await queue.until_call(1)
        queue.steps.release(3)
        await until(lambda: queue.engine.steps_done == 3)
        for _ in range(2):
            await leave(queue.tasks.pop(0))
        await queue.ended()
    assert queue.prompts() == [["a", "b"], ["c"]]
    assert queue.engine.steps_done == 3 + 2


async def test_after_a_burst_of_callers_who_left_a_new_one_has_only_its_own_steps_before_it() -> None:
    burst = [generation(*range(4), steps=100, prompt=f"{number}") for number in range(50)]
    async with queued(*burst) as queue:
        await queue.until_call(1)
        for task in queue.tasks:
            await leave(task)
        queue.tasks = [asyncio.create_task(queue.worker.generate(generation(steps=3)))]
        await queue.ended()
    assert queue.engine.steps_done == 3


async def test_closing_stops_a_batch_within_one_step_and_answers_all_of_it() -> None:
    async with queued(*(generation(steps=100, prompt=name) for name in "abc"), batch=2) as queue:
        await queue.until_call(1)
        await queue.worker.close()
        assert await queue.failed() == ["the runtime is stopping"] * 3
    assert queue.engine.steps_done == 0


# Failures -----------------------------------------------------------------------------------------------------------


async def test_a_batch_without_enough_memory_is_made_image_by_image_and_the_next_ones_are_smaller() -> None:
    size = 64 * 48
    names = "abcdefgh"
    async with queued(*(generation(prompt=name) for name in names), engine=ToyEngine(room=3 * size)) as queue:
        assert await queue.failed() == [1] * 8
        assert queue.worker.health is Health.IDLE
    assert queue.prompts() == [["a", "b", "c", "d"], ["a"], ["b"], ["c"], ["d"], ["e", "f"], ["g", "h"]]


async def test_larger_pictures_have_smaller_batches_from_then_on() -> None:
    size = 64 * 48
    small, large = generation(*range(4)), generation(*range(4), image=picture(128, 96), prompt="large")
    async with queued(small, large, engine=ToyEngine(room=4 * size - 1)) as queue:
        assert (await queue.failed())[0] == 4
        assert [len(batch) for batch in queue.engine.batches[:6]] == [4, 1, 1, 1, 1, 1]


async def test_only_the_request_that_the_model_refuses_is_refused(caplog: pytest.LogCaptureFixture) -> None:
    engine = ToyEngine()
    engine.poison = {"b": GenerationError("not this one")}
    async with queued(*(generation(1, 2, prompt=name) for name in "abc"), engine=engine, batch=6) as queue:
        assert await queue.failed() == [2, "not this one", 2]
        assert isinstance(queue.tasks[1].exception(), BadRequest)
    assert queue.prompts() == [list("aabbcc"), ["a"], ["a"], ["b"], ["c"], ["c"]]
    warnings = [record.message for record in caplog.records if record.levelno >= logging.WARNING]
    assert warnings == ["a batch failed: GenerationError: not this one"]


async def test_only_the_request_that_is_too_large_by_itself_fails_of_memory() -> None:
    engine = ToyEngine()
    engine.poison = {"b": OutOfMemory("too little memory")}
    async with queued(*(generation(prompt=name) for name in "abc"), engine=engine) as queue:
        first, second, third = await queue.failed()
    assert (first, third) == (1, 1)
    assert str(second).startswith("too little memory")


async def test_what_a_failed_batch_held_is_let_go_before_its_images_are_made() -> None:
    class Tensor:
        pass

    held: list[weakref.ref[Tensor]] = []

    def torch_fails(_: Tensor) -> None:
        raise RuntimeError("CUDA out of memory")

    class Holding(ToyEngine):
        def generate(self, batch: Sequence[Work], on_step: OnStep) -> list[Image.Image]:
            if len(batch) == 1:
                alive.extend(reference() is not None for reference in held)
                return super().generate(batch, on_step)
            tensor = Tensor()
            held.append(weakref.ref(tensor))
            try:
                torch_fails(tensor)
            except RuntimeError as error:
                raise OutOfMemory("too little memory") from error
            raise AssertionError

    alive: list[bool] = []
    async with started(Holding(), batch=2) as worker:
        assert len(await worker.generate(generation(1, 2))) == 2
    assert alive == [False, False]


async def test_a_broken_gpu_is_one_requests_failure_and_a_restart_for_the_others() -> None:
    told: list[str] = []
    engine = ToyEngine()
    engine.poison = {"b": RuntimeError("CUDA error: an illegal memory access was encountered")}
    async with queued(*(generation(prompt=name) for name in "abc"), engine=engine, batch=2, told=told) as queue:
        first, *others = await queue.failed()
        assert queue.worker.health is Health.ERROR
        await until(lambda: bool(told))
    assert str(first).startswith("the model failed at this request")
    assert all(str(other).startswith("this runtime starts anew: the GPU needs a restart") for other in others)
    assert queue.prompts() == [["a", "b"]]
    assert len(told) == 1


async def test_a_model_that_does_not_work_any_more_is_asked_for_no_more_images() -> None:
    told: list[str] = []
    engine = ToyEngine()
    async with queued(*(generation(prompt=name) for name in "abc"), engine=engine, told=told) as queue:
        await queue.until_call(1)
        engine.poison = dict.fromkeys(["b", "a grey square"], RuntimeError("something new"))
        engine.before_step = lambda: 1 / 0
        first, *others = await queue.failed()
    assert str(first).startswith("the model failed at this request")
    assert all(str(other).startswith("this runtime starts anew: the model does not work") for other in others)
    assert queue.prompts() == [["a", "b", "c"], ["a"], ["a grey square"]]
