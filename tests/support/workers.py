"""Workers around toy engines, and requests for them."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from easel_crds.safety import Safety
from easel_runtime.engine import Engine, Generation
from easel_runtime.finishing import Output
from easel_runtime.hardware import Hardware
from easel_runtime.metrics import Metrics
from easel_runtime.progress import Download
from easel_runtime.safety import SafetyCheck
from easel_runtime.worker import Worker
from support.engines import ToyEngine
from support.pictures import picture
from support.runtimes import UNCHECKED, toy_settings


def generation(*seeds: int, steps: int = 3, prompt: str = "a cat", image: Image.Image | None = None) -> Generation:
    return Generation(
        prompt=prompt,
        image=image or picture(),
        negative_prompt="",
        steps=steps,
        guidance_scale=7.5,
        image_guidance_scale=1.5,
        strength=0.8,
        seeds=seeds or (1,),
    )


def safety_check(engine: ToyEngine, policy: Safety = UNCHECKED, **more: Any) -> SafetyCheck:
    """The check of `policy` with the checker of `engine`."""
    metrics = Metrics("easel/toy", Hardware())
    return SafetyCheck(policy, engine.load_checker, metrics, **{"deadline_seconds": 60, **more})


def new_worker(engine: Engine, **settings: Any) -> Worker:
    chosen = toy_settings(**{"deadline_seconds": 60, **settings})
    return Worker(engine, chosen, Metrics(chosen.model_id, Hardware()), Download(Path("no-such-cache")))


@asynccontextmanager
async def started(
    engine: ToyEngine, on_failure: Callable[[str], None] = pytest.fail, **settings: Any
) -> AsyncIterator[Worker]:
    """A worker that has loaded `engine`; whatever `engine` holds back is let go in the end."""
    worker = new_worker(engine, **settings)
    try:
        await worker.load(on_failure)
        yield worker
    finally:
        engine.may_step.set()
        engine.may_load_checker.set()
        await worker.close()


async def until_in_step(engine: ToyEngine) -> None:
    assert await asyncio.to_thread(engine.in_step.wait, 30)


async def leave(task: asyncio.Task[list[Output]]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
