"""How LoRAs come to a request: beside the event loop, each once however many want it, and only while somebody waits."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from easel_http.errors import BadRequest, TimedOut, Unavailable
from easel_runtime.engine import GenerationError, Lora, LoraUnavailable
from easel_runtime.fetching import Fetching
from easel_runtime.hardware import Hardware
from easel_runtime.metrics import Metrics
from support.engines import ToyEngine
from support.in_process import Runtime, running
from support.runtimes import toy_settings

FILE = Path("no-such-file")


class Library(ToyEngine):
    """A toy that has every LoRA once `may_fetch` is set, but those in `failures`, which it refuses at once."""

    def __init__(self) -> None:
        super().__init__()
        self.may_fetch = threading.Event()
        self.may_fetch.set()
        self.failures: dict[str, Exception] = {}
        self.fetched: list[str] = []
        self.begun = threading.Semaphore(0)

    def fetch(self, loras: Mapping[str, float]) -> tuple[Lora, ...]:
        (repo_id,) = loras
        self.fetched.append(repo_id)
        self.begun.release()
        if repo_id in self.failures:
            raise self.failures[repo_id]
        assert self.may_fetch.wait(30)
        return (Lora(repo_id, loras[repo_id], FILE),)

    async def until_begun(self, count: int = 1) -> None:
        for _ in range(count):
            assert await asyncio.to_thread(self.begun.acquire, timeout=30)


@asynccontextmanager
async def fetching(**settings: Any) -> AsyncIterator[tuple[Fetching, Library]]:
    library = Library()
    chosen = toy_settings(**settings)
    fetching = Fetching(library, chosen, Metrics(chosen.model_id, Hardware()))
    try:
        yield fetching, library
    finally:
        library.may_fetch.set()
        fetching.close()


async def settled(done: Callable[[], bool]) -> None:
    """What is under way on this loop has come so far."""
    async with asyncio.timeout(30):
        while not done():  # noqa: ASYNC110 (there is no event)
            await asyncio.sleep(0)


async def test_loras_come_by_name_with_their_weights_and_without_those_of_0() -> None:
    async with fetching() as (desk, library):
        found = await desk.fetch({"b/b": -0.5, "c/c": 0.0, "a/a.b": 2.0})
    assert found == (Lora("a/a.b", 2.0, FILE), Lora("b/b", -0.5, FILE))
    assert sorted(library.fetched) == ["a/a.b", "b/b"]


async def test_what_the_policy_refuses_is_not_looked_for() -> None:
    async with fetching(loras={"allow": ("a/*",)}) as (desk, library):
        with pytest.raises(BadRequest, match="LoRA b/b: not allowed"):
            await desk.fetch({"a/a": 1.0, "b/b": 1.0})
    assert library.fetched == []


async def test_requests_for_the_same_lora_share_one_fetch_and_keep_their_weights() -> None:
    async with fetching() as (desk, library):
        library.may_fetch.clear()
        both = asyncio.gather(desk.fetch({"a/a": 1.0}), desk.fetch({"a/a": -1.0}))
        await library.until_begun()
        library.may_fetch.set()
        assert list(await both) == [(Lora("a/a", 1.0, FILE),), (Lora("a/a", -1.0, FILE),)]
        assert library.fetched == ["a/a"]
        await desk.fetch({"a/a": 1.0})
        assert library.fetched == ["a/a", "a/a"]  # how long an answer holds, the engine knows


@pytest.mark.parametrize("before", [0, 4], ids=["begun", "not begun"])
async def test_who_leaves_stops_waiting_and_the_others_do_not(before: int) -> None:
    async with fetching() as (desk, library):
        library.may_fetch.clear()
        others = asyncio.create_task(desk.fetch({f"b/{number}": 1.0 for number in range(before)}))
        await library.until_begun(before)
        leaver, stayer = (asyncio.create_task(desk.fetch({"a/a": 1.0})) for _ in range(2))
        await settled(lambda: "a/a" in desk._fetches and desk._fetches["a/a"].waiting == 2)
        leaver.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaver
        library.may_fetch.set()
        assert await stayer == (Lora("a/a", 1.0, FILE),)
        await others


async def test_what_nobody_waits_for_any_more_is_not_begun() -> None:
    async with fetching(loras={"maxPerRequest": 16}) as (desk, library):
        library.may_fetch.clear()
        first = asyncio.create_task(desk.fetch({f"a/{number}": 1.0 for number in range(4)}))
        await library.until_begun(4)
        second = asyncio.create_task(desk.fetch({f"b/{number}": 1.0 for number in range(16)}))
        await settled(lambda: len(desk._fetches) == 20)
        second.cancel()
        await asyncio.gather(second, return_exceptions=True)
        library.may_fetch.set()
        await first
        assert await desk.fetch({"c/c": 1.0})
    assert [repo_id for repo_id in library.fetched if repo_id.startswith("b/")] == []


async def test_a_refusal_ends_the_wait_for_the_other_loras() -> None:
    async with fetching(loras={"maxPerRequest": 16}) as (desk, library):
        library.failures["a/0"] = GenerationError("LoRA a/0: no")
        library.may_fetch.clear()
        with pytest.raises(BadRequest, match="LoRA a/0: no"):
            await desk.fetch({f"a/{number}": 1.0 for number in range(10)})
        await settled(lambda: not any(fetch.waiting for fetch in desk._fetches.values()))
        library.may_fetch.set()
        assert await desk.fetch({"b/b": 1.0})
    # Those after the first five were waiting for a thread.
    assert sorted(library.fetched) in (
        ["a/0", "a/1", "a/2", "a/3", "a/4", "b/b"],
        ["a/0", "a/1", "a/2", "a/3", "b/b"],
    )


async def test_what_cannot_be_had_at_present_is_not_the_callers_mistake() -> None:
    async with fetching() as (desk, library):
        library.failures["a/a"] = LoraUnavailable("the Hub cannot be reached")
        with pytest.raises(Unavailable, match="the Hub cannot be reached") as caught:
            await desk.fetch({"a/a": 1.0})
        assert caught.value.headers == {"Retry-After": "10"}
        library.failures.clear()
        assert await desk.fetch({"a/a": 1.0})


async def test_a_download_that_outlasts_the_request_is_there_for_a_later_one() -> None:
    async with fetching(deadline_seconds=0.01) as (desk, library):
        library.may_fetch.clear()
        with pytest.raises(TimedOut, match="the LoRAs of this request are still being downloaded; send it again later"):
            await desk.fetch({"a/a": 1.0})


# By HTTP ------------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def runtime(**settings: Any) -> AsyncIterator[tuple[Runtime, Library]]:
    library = Library()
    try:
        async with running(library, **settings) as found:
            yield found, library
    finally:
        library.may_fetch.set()


async def test_a_request_reaches_the_model_with_its_loras() -> None:
    async with runtime() as (served, library):
        answer = await served.post(loras='{"b/b": 2, "a/a.b": -0.5, "c/c": 0}')
        assert answer.status_code == 200
        await served.post()
    assert [generation.loras for generation in library.generations] == [
        (Lora("a/a.b", -0.5, FILE), Lora("b/b", 2.0, FILE)),
        (),
    ]


@pytest.mark.parametrize(
    ("loras", "settings", "msg"),
    [
        (
            '{"../x": 1}',
            {},
            "LoRA ../x: not a repository of the Hub; send an id such as nerijs/pixel-art-xl, no path or URL",
        ),
        ('{"b/b": 1}', {"loras": {"allow": ("a/*",)}}, "LoRA b/b: not allowed with this model; allowed: a/*"),
        ('{"a/a": 11}', {}, "LoRA a/a: its weight must be from -10 to 10, not 11"),
        ('{"a/a": 1}', {"loras": {"allow": ()}}, "this model does not take LoRAs; leave `loras` out"),
        ('{"a/missing": 1}', {}, "LoRA a/missing: there is none"),
    ],
    ids=["a path", "not allowed", "weight", "none", "missing"],
)
@pytest.mark.parametrize("accept", ["*/*", "text/event-stream"])
async def test_what_is_wrong_with_loras_is_a_bad_request(
    loras: str, settings: dict[str, Any], msg: str, accept: str
) -> None:
    async with runtime(**settings) as (served, library):
        library.failures["a/missing"] = GenerationError("LoRA a/missing: there is none")
        answer = await served.post(loras=loras, headers={"accept": accept})
        assert (answer.status_code, answer.json()) == (400, {"detail": {"msg": msg}})
        assert library.generations == []
        assert (await served.status())["in_flight"] == 0


async def test_without_the_hub_the_answer_is_503_and_when_to_try_again() -> None:
    async with runtime() as (served, library):
        library.failures["a/a"] = LoraUnavailable("LoRA a/a: the Hub cannot be reached; try again later")
        answer = await served.post(loras='{"a/a": 1}')
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "10")
        msg = "LoRA a/a: the Hub cannot be reached; try again later"
        assert answer.json() == {"detail": {"msg": msg, "field": "loras"}}


async def test_a_file_that_is_gone_when_the_model_wants_it_is_a_503_and_no_fault_of_the_model() -> None:
    async with runtime() as (served, library):
        library.errors.append(LoraUnavailable("LoRA a/a is not on this machine any more; send the request again"))
        answer = await served.post(loras='{"a/a": 1}')
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        assert (await served.post(loras='{"a/a": 1}')).status_code == 200
        assert len(library.generations) == 2
        assert served.failures == []


async def test_while_one_request_waits_for_a_download_others_are_served_and_health_answers() -> None:
    async with runtime() as (served, library):
        library.may_fetch.clear()
        waiting = asyncio.create_task(served.post(loras='{"a/a": 1}'))
        await library.until_begun()
        assert (await served.post()).status_code == 200
        assert (await served.status())["in_flight"] == 1
        library.may_fetch.set()
        assert (await waiting).status_code == 200


async def test_pictures_and_bounds_are_looked_at_before_loras_are_fetched() -> None:
    async with runtime(parameters={"maxImages": 1}) as (served, library):
        for answer in (
            await served.post(b"no picture", loras='{"a/a": 1}'),
            await served.post(loras='{"a/a": 1}', num_images_per_prompt="2"),
        ):
            assert answer.status_code in (400, 422)
    assert library.fetched == []


async def test_the_wait_for_loras_is_measured() -> None:
    async with runtime() as (served, _):
        await served.post(loras='{"a/a": 1}')
        text = (await served.client.get("/metrics")).text
    assert "easel_runtime_lora_wait_seconds_count 1.0" in text
