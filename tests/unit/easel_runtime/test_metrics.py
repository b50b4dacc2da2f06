"""`GET /metrics`: what Prometheus gets."""

import asyncio
import re
from pathlib import Path

from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse

from easel_crds import __version__
from support.engines import ToyEngine
from support.in_process import Runtime, running, until_in_step
from support.pictures import png

API = Path(__file__).parents[3] / "docs" / "api.md"


async def numbers(toy: Runtime) -> dict[str, float]:
    """Every sample, under its name and labels."""
    text = (await toy.client.get("/metrics")).text
    return {
        sample.name + "".join(f" {value}" for value in sample.labels.values()): sample.value
        for family in parse(text)
        for sample in family.samples
    }


async def test_work_is_counted() -> None:
    async with running(ToyEngine(room=80 * 80), warm_up_side=16) as toy:
        before = await numbers(toy)
        assert before["easel_runtime_images_total"] == 0
        assert before["easel_runtime_first_image_seconds"] >= before["easel_runtime_load_seconds"] > 0
        await toy.post(num_images_per_prompt="2", num_inference_steps="4")
        await toy.post(seed="x")
        assert (await toy.post(png(100, 100))).status_code == 500
        after = await numbers(toy)
    assert after[f"easel_runtime_info easel/toy {__version__}"] == 1
    assert after["easel_runtime_images_total"] == 2
    assert after["easel_runtime_pixels_total"] == 2 * 64 * 48
    assert after["easel_runtime_steps_total"] == 2 * 4
    assert after["easel_runtime_step_seconds_count"] == 2 * 3, "an image's first step is not only a step"
    assert after["easel_runtime_queue_wait_seconds_count"] == 2
    assert after["easel_runtime_out_of_memory_total"] == 1
    assert [after[f"easel_runtime_requests_total {status}"] for status in (200, 422, 500)] == [1, 1, 1]
    assert after["easel_runtime_request_seconds_count"] == 3
    assert after["easel_runtime_first_image_seconds"] == before["easel_runtime_first_image_seconds"]
    assert after["process_resident_memory_bytes"] > 0


async def test_batches_are_counted_by_their_size() -> None:
    async with running(batch=2) as toy:
        await toy.post(num_images_per_prompt="3", num_inference_steps="4")
        after = await numbers(toy)
    assert after["easel_runtime_batch_images_count"] == 2
    assert after["easel_runtime_batch_images_sum"] == 3
    assert after["easel_runtime_batch_images_bucket 1.0"] == 1
    assert after["easel_runtime_steps_total"] == 3 * 4
    assert after["easel_runtime_step_seconds_count"] == 2 * 3


async def test_the_queue_is_shown_as_it_is_now() -> None:
    engine = ToyEngine()
    engine.may_step.clear()
    async with running(engine) as toy:
        working = [asyncio.create_task(toy.post()) for _ in range(3)]
        await until_in_step(engine)
        async with asyncio.timeout(30):
            while (busy := await numbers(toy))["easel_runtime_queue_length"] < 2:  # noqa: ASYNC110
                await asyncio.sleep(0)
        assert busy["easel_runtime_requests_in_flight"] == 3
        working[-1].cancel()
        engine.may_step.set()
        await asyncio.gather(*working, return_exceptions=True)
        idle = await numbers(toy)
    assert (idle["easel_runtime_queue_length"], idle["easel_runtime_requests_in_flight"]) == (0, 0)
    assert idle["easel_runtime_cancelled_total"] == 1


async def test_prometheus_gets_the_format_that_it_asks_for() -> None:
    async with running() as toy:
        plain = await toy.client.get("/metrics")
        modern = await toy.client.get("/metrics", headers={"accept": "application/openmetrics-text; version=1.0.0"})
    assert plain.headers["content-type"].startswith("text/plain")
    assert modern.headers["content-type"].startswith("application/openmetrics-text")
    assert len(list(parse_openmetrics(modern.text))) > 10  # type: ignore[no-untyped-call]


async def test_every_metric_is_documented() -> None:
    async with running() as toy:
        text = (await toy.client.get("/metrics")).text
    names = set(re.findall(r"^# TYPE (easel_\w+) ", text, re.MULTILINE))
    page = API.read_text()
    assert {name for name in names if f"`{name}`" not in page} == set()
