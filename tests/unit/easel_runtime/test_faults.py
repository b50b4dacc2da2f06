"""A model that fails: what callers are told, and when only a restart can help."""

import weakref

import pytest
from PIL import Image

from easel_http.errors import Failed, Unavailable
from easel_runtime.engine import Generation, OnStep, OutOfMemory
from easel_runtime.faults import is_sticky
from easel_runtime.worker import Health, Worker
from support.engines import ToyEngine
from support.runtimes import until
from support.workers import generation, started

STICKY = "CUDA error: an illegal memory access was encountered\nCUDA kernel errors might be asynchronously reported"


def of_side(side: int) -> Generation:
    return generation(image=Image.new("RGB", (side, side)))


async def failure(worker: Worker, request: Generation) -> Failed:
    with pytest.raises(Failed) as caught:
        await worker.generate(request)
    return caught.value


# Memory -------------------------------------------------------------------------------------------------------------


async def test_too_large_a_picture_is_told_what_fits_and_the_next_one_is_served() -> None:
    async with started(ToyEngine(room=100 * 100)) as worker:
        unknown = await failure(worker, of_side(200))
        assert unknown.body() == {
            "detail": {
                "msg": "the toy has too little memory (20000 pixels may fit; this picture has 40000)",
                "max_pixels": 20000,
            }
        }
        await worker.generate(of_side(90))
        known = await failure(worker, of_side(200))
        assert known.msg == "the toy has too little memory (8100 pixels have fit; this picture has 40000)"
        assert worker.health is Health.IDLE
        assert len(await worker.generate(of_side(90))) == 1


async def test_any_number_of_pictures_that_never_fit_is_no_reason_to_restart() -> None:
    async with started(ToyEngine(room=100 * 100)) as worker:
        for _ in range(10):
            await failure(worker, of_side(200))
        assert worker.health is Health.IDLE


async def test_memory_that_does_not_come_back_is() -> None:
    told: list[str] = []
    engine = ToyEngine()
    async with started(engine, told.append) as worker:
        await worker.generate(of_side(100))
        engine.room = 64 * 64
        for _ in range(2):
            again = await failure(worker, of_side(100))
            assert again.msg.endswith("(pictures of this size have fit before: try again)")
        seen = [worker.health]
        await failure(worker, of_side(100))
        assert [*seen, worker.health] == [Health.IDLE, Health.ERROR]
        await until(lambda: bool(told))
    assert told == ["the memory of the GPU does not come back: 3 times too little for what had fit"]


async def test_one_that_works_in_between_starts_the_count_anew() -> None:
    engine = ToyEngine()
    async with started(engine) as worker:
        for room in (1 << 20, 64 * 64, 64 * 64, 1 << 20, 64 * 64, 64 * 64):
            engine.room = room
            if room == 1 << 20:
                await worker.generate(of_side(100))
            else:
                await failure(worker, of_side(100))
        assert worker.health is Health.IDLE


async def test_no_memory_even_for_a_tiny_picture_is_the_end_at_once() -> None:
    told: list[str] = []
    async with started(ToyEngine(room=10), told.append) as worker:
        await failure(worker, of_side(100))
        await until(lambda: bool(told))
    assert told == ["the model does not work any more since OutOfMemory: the toy has too little memory"]


async def test_what_the_failed_request_held_is_let_go_before_the_next_one() -> None:
    """Tensors live in the frames of a traceback; with them kept, each failure would cost memory for good."""

    class Tensor:
        pass

    held: list[weakref.ref[Tensor]] = []

    def torch_fails(_: Tensor) -> None:
        raise RuntimeError("CUDA out of memory")

    class Holding(ToyEngine):
        def edit(self, generation: Generation, seed: int, on_step: OnStep) -> Image.Image:
            if self.generations:
                return super().edit(generation, seed, on_step)
            self.generations.append(generation)
            tensor = Tensor()
            held.append(weakref.ref(tensor))
            try:
                torch_fails(tensor)
            except RuntimeError as error:
                raise OutOfMemory("too little memory") from error
            raise AssertionError

    async with started(Holding()) as worker:
        caught = await failure(worker, generation())
        assert held[0]() is None
        assert (caught.__context__, caught.__cause__) == (None, None)


# Faults -------------------------------------------------------------------------------------------------------------


async def test_a_broken_gpu_ends_health_the_queue_and_the_process() -> None:
    told: list[str] = []
    engine = ToyEngine()
    engine.errors = [RuntimeError(STICKY)]
    async with started(engine, told.append) as worker:
        assert (await failure(worker, generation())).msg.startswith("the model failed at this request")
        assert worker.health is Health.ERROR
        with pytest.raises(Unavailable, match="starts anew") as refused, worker.admit():
            pass
        assert refused.value.headers["Retry-After"] == "5"
        with pytest.raises(Unavailable, match="starts anew"):
            await worker.generate(generation())
        await until(lambda: bool(told))
    assert told == [
        "the GPU needs a restart of the runtime: RuntimeError: CUDA error: an illegal memory access was encountered"
    ]
    assert len(engine.generations) == 1


async def test_a_model_that_fails_at_everything_is_found_out_whatever_its_error_says() -> None:
    told: list[str] = []
    engine = ToyEngine()
    engine.errors = [RuntimeError("something new"), RuntimeError("something new")]
    async with started(engine, told.append) as worker:
        await failure(worker, generation())
        await until(lambda: bool(told))
        assert worker.health is Health.ERROR
    assert told == ["the model does not work any more since RuntimeError: something new"]


async def test_one_that_fails_at_one_request_goes_on() -> None:
    engine = ToyEngine()
    engine.errors = [RuntimeError("a shape that nobody thought of")]
    async with started(engine) as worker:
        await failure(worker, generation())
        assert len(await worker.generate(generation())) == 1


@pytest.mark.parametrize(
    ("error", "sticky"),
    [
        (RuntimeError(STICKY), True),
        (RuntimeError("CUDA error: device-side assert triggered"), True),
        (RuntimeError("CUDA error: unspecified launch failure"), True),
        (RuntimeError("CUDA error: uncorrectable ECC error encountered"), True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasGemmEx`"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate`"), False),
        (RuntimeError("CUDA out of memory. Tried to allocate 7.03 GiB"), False),
        (RuntimeError("CUDA error: invalid argument"), False),
        (ValueError("misaligned address"), False),
    ],
    ids=lambda value: str(value)[:50],
)
def test_which_errors_break_the_gpus_context(error: Exception, *, sticky: bool) -> None:
    assert is_sticky(error) is sticky
    wrapped = ValueError("the pipeline failed")
    wrapped.__cause__ = error
    assert is_sticky(wrapped) is sticky
