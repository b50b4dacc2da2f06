"""Batches of the worker on a real pipeline: what each caller gets is what it would have got alone."""

import asyncio
import dataclasses
import io
import threading
from collections.abc import Iterator, Sequence

import pytest
from PIL import Image, ImageChops, ImageOps

from easel_runtime.engine import OnStep, Work
from easel_runtime.finishing import Output
from easel_runtime.settings import Settings
from support.pictures import picture
from support.runtimes import until
from support.tiny_engines import NOISE_OF_LIBRARIES, alone
from support.workers import generation, new_worker

pytestmark = NOISE_OF_LIBRARIES


@pytest.fixture(autouse=True)
def _alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with alone(tmp_path_factory.mktemp("xdg")):
        yield


def _pictures(outputs: list[Output]) -> list[Image.Image]:
    return [Image.open(io.BytesIO(output.file.data)) for output in outputs]


async def test_requests_that_share_a_call_get_what_they_would_have_got_alone() -> None:
    from easel_runtime.pipelines.engine import DiffusersEngine

    sizes: list[int] = []

    class Counting(DiffusersEngine):
        def generate(self, batch: Sequence[Work], on_step: OnStep) -> list[Image.Image]:
            sizes.append(len(batch))
            return super().generate(batch, on_step)

    requests = [
        generation(1, 2, prompt="a cat"),
        generation(3, prompt="a dog", image=ImageOps.flip(picture())),
        dataclasses.replace(generation(1, prompt="a cat"), negative_prompt="blurred"),
    ]
    worker = new_worker(Counting(Settings(model_id="easel/demo")), batch=4)
    try:
        await worker.load(pytest.fail)
        single = [
            _pictures(await worker.generate(dataclasses.replace(request, seeds=(seed,))))
            for request in requests
            for seed in request.seeds
        ]
        may_begin = threading.Event()
        worker._model.call(may_begin.wait)  # so that all of them are queued when the first one's turn comes
        tasks = [asyncio.create_task(worker.generate(request)) for request in requests]
        await until(lambda: worker.waiting == len(requests))
        may_begin.set()
        shared = [image for outputs in await asyncio.gather(*tasks) for image in _pictures(outputs)]
    finally:
        await worker.close()
    assert sizes == [1, 1, 1, 1, 4]
    for (expected,), image in zip(single, shared, strict=True):
        assert max(ImageChops.difference(expected, image).tobytes()) <= 1
