"""The safety check as callers see it, around a toy engine: whose images are looked at, and what becomes of them."""

import asyncio
import base64
import io
import json
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from httpx2 import Response
from PIL import Image
from prometheus_client.parser import text_string_to_metric_families as parse

from easel_crds.safety import Safety
from easel_http.errors import Failed, Unavailable
from easel_runtime.engine import Generation, OnStep, OutOfMemory
from easel_runtime.safety import planned
from support.engines import ToyChecker, ToyEngine
from support.in_process import Runtime, running
from support.pictures import encoded
from support.runtimes import UNCHECKED
from support.tiny_checkers import blue, red
from support.workers import generation, safety_check

CHECKED = Safety(checker="a/checker")
MISSING = (
    "the safety checker cannot be loaded: there is no checker for toys; send safety_check=false for images that nobody"
    " looked at"
)


class Echo(ToyEngine):
    """Gives back the picture it was given; every second image of a request in blue."""

    def __init__(self, checker: ToyChecker | None = None) -> None:
        super().__init__()
        self.checker = checker

    def edit(self, generation: Generation, seed: int, on_step: OnStep) -> Image.Image:
        super().edit(generation, seed, on_step)
        return generation.image if seed % 2 else blue()


@asynccontextmanager
async def checking(engine: Echo, policy: Safety = CHECKED, **settings: Any) -> AsyncIterator[Runtime]:
    async with running(engine, safety=policy, **settings) as runtime:
        yield runtime


def pictures(answer: Response) -> list[Image.Image]:
    urls = [image["url"] for image in answer.json()["images"]]
    return [Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))) for url in urls]


def flags(answer: Response) -> list[bool]:
    assert answer.status_code == 200, answer.text
    return [image["nsfw"] for image in answer.json()["images"]]


async def checks(runtime: Runtime) -> dict[str, float]:
    """How many images were looked at, by what came of it; and how often the time was taken."""
    text = (await runtime.client.get("/metrics")).text
    samples = [sample for family in parse(text) for sample in family.samples]
    counted = {
        sample.labels["outcome"]: sample.value
        for sample in samples
        if sample.name == "easel_runtime_safety_checks_total"
    }
    timed = next(sample.value for sample in samples if sample.name == "easel_runtime_safety_check_seconds_count")
    return {**counted, "timed": timed}


# Whose images are looked at -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("policy", "sent", "checked", "ignored"),
    [
        (CHECKED, None, True, False),
        (CHECKED, True, True, False),
        (CHECKED, False, False, False),
        (UNCHECKED, None, False, False),
        (UNCHECKED, True, False, True),
        (UNCHECKED, False, False, True),
        (Safety(enforce=True), None, True, False),
        (Safety(enforce=True), True, True, False),
        (Safety(enforce=True), False, True, True),
    ],
)
def test_the_policy_and_the_caller_decide(policy: Safety, *, sent: bool | None, checked: bool, ignored: bool) -> None:
    asked = replace(
        generation(),
        safety_check=sent is not False,
        explicit=frozenset({"prompt"} if sent is None else {"prompt", "safety_check"}),
        ignored=frozenset({"negative_prompt"}),
    )
    settled = planned(asked, policy)
    assert settled.safety_check is checked
    assert settled.ignored == {"negative_prompt"} | ({"safety_check"} if ignored else set())


async def test_images_are_looked_at_one_by_one_and_flagged() -> None:
    engine = Echo(ToyChecker())
    async with checking(engine) as runtime:
        assert engine.checker_loads == 0
        answer = await runtime.post(encoded(red()), seed="1", num_images_per_prompt="3")
        assert flags(answer) == [True, False, True]
        assert pictures(answer)[0].tobytes() == red().tobytes()
        assert "x-easel-ignored" not in answer.headers
        assert flags(await runtime.post(encoded(blue()), safety_check="true")) == [False]
        assert await checks(runtime) == {"unsafe": 2, "safe": 2, "timed": 4}
    assert engine.checker_loads == 1


async def test_who_asks_for_no_check_waits_for_none() -> None:
    engine = Echo()
    async with checking(engine) as runtime:
        answer = await runtime.post(encoded(red()), safety_check="false")
    assert flags(answer) == [False]
    assert "x-easel-ignored" not in answer.headers
    assert engine.checker_loads == 0


async def test_without_a_checker_the_field_is_ignored_and_nothing_is_flagged() -> None:
    engine = Echo(ToyChecker())
    async with checking(engine, UNCHECKED) as runtime:
        silent = await runtime.post(encoded(red()))
        asking = await runtime.post(encoded(red()), safety_check="true")
    assert flags(silent) == flags(asking) == [False]
    assert "x-easel-ignored" not in silent.headers
    assert asking.headers["x-easel-ignored"] == "safety_check"
    assert engine.checker_loads == 0


async def test_what_is_enforced_holds_for_all() -> None:
    async with checking(Echo(ToyChecker()), Safety(checker="a/checker", enforce=True)) as runtime:
        answer = await runtime.post(encoded(red()), safety_check="false")
    assert flags(answer) == [True]
    assert answer.headers["x-easel-ignored"] == "safety_check"


# What becomes of what is found --------------------------------------------------------------------------------------


async def test_blank_leaves_a_black_picture_of_the_same_size() -> None:
    async with checking(Echo(ToyChecker()), Safety(checker="a/checker", action="blank")) as runtime:
        answer = await runtime.post(encoded(red()), seed="1", num_images_per_prompt="2")
        jpeg = await runtime.post(encoded(red()), headers={"accept": "image/jpeg"})
    assert flags(answer) == [True, False]
    black, untouched = pictures(answer)
    assert (black.size, black.getextrema()) == (red().size, ((0, 0),) * 3)
    assert untouched.tobytes() == blue().tobytes()
    assert (jpeg.headers["content-type"], jpeg.headers["x-easel-nsfw"]) == ("image/jpeg", "true")
    assert Image.open(io.BytesIO(jpeg.content)).getextrema() == ((0, 0),) * 3


@pytest.mark.parametrize("seed", ["1", "0"], ids=["the first", "the last"])
async def test_refuse_gives_out_no_image_of_the_request(seed: str) -> None:
    engine = Echo(ToyChecker())
    async with checking(engine, Safety(checker="a/checker", action="refuse")) as runtime:
        refused = await runtime.post(encoded(red()), seed=seed, num_images_per_prompt="2")
        streamed = await runtime.post(encoded(red()), headers={"accept": "text/event-stream"})
        assert flags(await runtime.post(encoded(blue()))) == [False]
        assert (await runtime.status())["status"] == "IDLE"
    msg = "an image was found to be not safe for work, and this model gives out none of these"
    assert (refused.status_code, refused.json()) == (400, {"detail": {"msg": msg, "nsfw": True}})
    *_, last = streamed.text.strip().split("\n\n")
    assert last.startswith("event: error\n")
    assert json.loads(last.partition("data: ")[2]) == {"status": 400, "detail": {"msg": msg, "nsfw": True}}


@pytest.mark.parametrize(
    ("error", "msg"),
    [
        (ZeroDivisionError("1 / 0"), "the safety check failed at this image; the runtime's log has more"),
        (OutOfMemory("too little memory"), "the safety check failed: too little memory"),
    ],
)
async def test_a_check_that_fails_gives_out_nothing(error: Exception, msg: str) -> None:
    checker = ToyChecker()
    async with checking(Echo(checker)) as runtime:
        checker.error = error
        answers = [await runtime.post(encoded(blue()), num_images_per_prompt=count) for count in ("1", "8")]
        checker.error = None
        assert flags(await runtime.post(encoded(blue()))) == [False]
        counted = await checks(runtime)
        assert counted["safe"] == 1
        assert 2 <= counted["failed"] <= 3, "after the first one to fail at most the one that was in work"
        assert counted["timed"] == counted["failed"] + 1
        assert runtime.failures == []
    for answer in answers:
        assert (answer.status_code, answer.json()) == (500, {"detail": {"msg": msg}})


def test_a_failed_check_holds_nothing_of_the_checkers() -> None:
    """Its frames hold the tensors of the GPU, for as long as somebody holds the error."""
    engine = Echo(ToyChecker())
    assert isinstance(engine.checker, ToyChecker)
    engine.checker.error = ZeroDivisionError()
    check = safety_check(engine, CHECKED)
    failure = check.look_at(red()).exception(30)  # nobody has loaded a checker
    assert isinstance(failure, Failed)
    assert (failure.__cause__, failure.__context__) == (None, None)
    check.close()


async def test_the_next_image_is_made_while_one_is_looked_at() -> None:
    checker = ToyChecker()
    engine = Echo(checker)
    async with checking(engine) as runtime:
        checker.may_look.clear()
        first = asyncio.create_task(runtime.post(encoded(red())))
        assert await asyncio.to_thread(checker.in_look.wait, 30)
        assert flags(await runtime.post(encoded(red()), safety_check="false")) == [False]
        assert not first.done()
        checker.may_look.set()
        assert flags(await first) == [True]


# The checker --------------------------------------------------------------------------------------------------------


async def test_it_is_loaded_once_however_many_ask_and_nobody_waits_who_does_not() -> None:
    engine = Echo(ToyChecker())
    engine.may_load_checker.clear()
    async with checking(engine) as runtime:
        asking = [asyncio.create_task(runtime.post(encoded(red()))) for _ in range(3)]
        await runtime.until_in_flight(3)
        assert flags(await runtime.post(encoded(red()), safety_check="false")) == [False]
        assert (await runtime.status())["status"] == "OK"
        engine.may_load_checker.set()
        assert [flags(answer) for answer in await asyncio.gather(*asking)] == [[True]] * 3
    assert engine.checker_loads == 1


async def test_who_leaves_while_it_is_loaded_takes_nobody_along() -> None:
    engine = Echo(ToyChecker())
    engine.may_load_checker.clear()
    check = safety_check(engine, CHECKED)
    asked = replace(generation(), safety_check=True)
    leaving, *staying = (asyncio.create_task(check.decide(asked)) for _ in range(3))
    await asyncio.sleep(0)  # to where each of them waits
    leaving.cancel()
    await asyncio.gather(leaving, return_exceptions=True)
    engine.may_load_checker.set()
    assert [each.safety_check for each in await asyncio.gather(*staying)] == [True, True]
    assert (leaving.cancelled(), engine.checker_loads) == (True, 1)
    check.close()


async def test_who_leaves_while_it_is_loaded_leaves_no_work() -> None:
    engine = Echo(ToyChecker())
    engine.may_load_checker.clear()
    async with checking(engine) as runtime:
        leaving, staying = (asyncio.create_task(runtime.post(encoded(red()))) for _ in range(2))
        await runtime.until_in_flight(2)
        leaving.cancel()
        await runtime.until_in_flight(1)
        engine.may_load_checker.set()
        assert flags(await staying) == [True]
    assert len(engine.generations) == 1


async def test_the_wait_for_it_has_a_deadline() -> None:
    engine = Echo(ToyChecker())
    engine.may_load_checker.clear()
    async with checking(engine, deadline_seconds=0.01) as runtime:
        answer = await runtime.post(encoded(red()))
    msg = "the safety checker was not loaded within 0.01 seconds"
    assert (answer.status_code, answer.json()) == (504, {"detail": {"msg": msg}})
    assert engine.generations == []


async def test_a_request_for_a_check_that_cannot_be_done_is_refused_before_any_work() -> None:
    engine = Echo()
    async with checking(engine) as runtime:
        for headers in ({}, {"accept": "text/event-stream"}):
            answer = await runtime.post(encoded(red()), headers=headers)
            assert answer.status_code == 503
            assert answer.json() == {"detail": {"msg": MISSING, "field": "safety_check"}}
            assert 1 <= int(answer.headers["retry-after"]) <= 60
        assert flags(await runtime.post(encoded(red()), safety_check="false")) == [False]
        assert (await runtime.status())["in_flight"] == 0
    assert (engine.checker_loads, len(engine.generations)) == (1, 1)


async def test_what_could_not_be_loaded_is_tried_again_after_a_minute() -> None:
    engine, now = Echo(), [1000.0]
    check = safety_check(engine, CHECKED, clock=lambda: now[0])
    asked = replace(generation(), safety_check=True)
    for seconds, loads, retry_after in ((0, 1, "60"), (59, 1, "1"), (1, 2, "60")):
        now[0] += seconds
        with pytest.raises(Unavailable) as refused:
            await check.decide(asked)
        assert (engine.checker_loads, refused.value.headers["Retry-After"]) == (loads, retry_after)
    now[0] += 60
    engine.checker = ToyChecker()
    assert (await check.decide(asked)).safety_check
    now[0] += 1e6
    assert (await check.decide(asked)).safety_check
    assert engine.checker_loads == 3
    assert check.look_at(red()).result(30)
    check.close()


async def test_what_nobody_foresaw_is_no_checker_either(caplog: pytest.LogCaptureFixture) -> None:
    class Odd(Echo):
        def load_checker(self) -> ToyChecker:
            raise ZeroDivisionError("scale is 0")

    async with checking(Odd()) as runtime:
        answer = await runtime.post(encoded(red()))
    assert answer.status_code == 503
    assert "the safety checker cannot be loaded: ZeroDivisionError: scale is 0; send" in answer.json()["detail"]["msg"]
    assert "loading the safety checker failed" in caplog.text


async def test_images_are_given_out_unchecked_only_where_the_policy_says_so() -> None:
    engine = Echo()
    async with checking(engine, Safety(checker="a/checker", unavailable="serve")) as runtime:
        silent = await runtime.post(encoded(red()))
        asking = await runtime.post(encoded(red()), safety_check="true")
        streamed = await runtime.post(encoded(red()), safety_check="true", headers={"accept": "text/event-stream"})
    assert flags(silent) == flags(asking) == [False]
    assert "x-easel-ignored" not in silent.headers
    assert [answer.headers["x-easel-ignored"] for answer in (asking, streamed)] == ["safety_check"] * 2
    assert '"nsfw":false' in streamed.text
    assert engine.checker_loads == 1


async def test_a_runtime_that_must_check_is_not_ready_before_it_can() -> None:
    engine = Echo(ToyChecker())
    engine.may_load_checker.clear()
    async with running(engine, loaded=False, safety=Safety(checker="a/checker", enforce=True)) as runtime:
        async with asyncio.timeout(30):
            while not engine.checker_loads:  # noqa: ASYNC110 (it tells nobody)
                await asyncio.sleep(0)
        assert (await runtime.status())["status"] == "LOADING"
        assert (await runtime.post()).status_code == 503
        engine.may_load_checker.set()
        await runtime.until_loaded()
        assert flags(await runtime.post(encoded(red()))) == [True]
    assert engine.checker_loads == 1


async def test_a_runtime_that_must_check_and_cannot_does_not_start() -> None:
    async with running(Echo(), safety=Safety(checker="a/checker", enforce=True)) as runtime:
        assert (await runtime.status())["status"] == "ERROR"
        assert runtime.failures == ["the safety checker cannot be loaded: there is no checker for toys"]


async def test_work_goes_on_on_other_threads_than_the_models() -> None:
    seen: dict[str, str] = {}

    class Telling(Echo):
        def load_checker(self) -> ToyChecker:
            seen["loading"] = threading.current_thread().name
            return ToyChecker()

        def edit(self, *arguments: Any) -> Image.Image:
            seen["editing"] = threading.current_thread().name
            return super().edit(*arguments)

    async with checking(Telling()) as runtime:
        assert flags(await runtime.post(encoded(red()))) == [True]
    assert seen == {"loading": "safety_0", "editing": "model_0"}
