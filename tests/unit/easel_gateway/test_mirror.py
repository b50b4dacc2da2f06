"""Following a collection of an API server that cuts, forgets, refuses and goes away; the client is the real one."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from itertools import pairwise
from pathlib import Path

import pytest

from easel_gateway.cluster import mirror
from easel_gateway.cluster.backoff import FIRST_SECONDS, LONGEST_SECONDS, Backoff
from easel_gateway.cluster.mirror import Key, Mirror
from easel_kube.client import ApiError, Json, Kube, connected
from easel_kube.kinds import ENDPOINT_SLICES, IMAGE_MODELS, Kind
from support.kube_api import MODELS, SLICES, KubeApi, endpoint_slice, kube_api, model
from support.runtimes import until


class Copy:
    """Keeps everything that it is told, and the order."""

    def __init__(self) -> None:
        self.objects: dict[Key, Json] = {}
        self.told: list[str] = []
        self.lists = 0
        self.mirror: Mirror | None = None

    def put(self, document: Json) -> None:
        metadata = document["metadata"]
        self.objects[metadata["namespace"], metadata["name"]] = document
        self.told.append(f"+{metadata['name']}")

    def drop(self, key: Key) -> None:
        self.objects.pop(key, None)
        self.told.append(f"-{key[1]}")

    def retain(self, keys: set[Key]) -> None:
        self.objects = {key: document for key, document in self.objects.items() if key in keys}
        self.lists += 1

    @property
    def names(self) -> set[str]:
        return {name for _, name in self.objects}


@pytest.fixture
async def api() -> AsyncIterator[KubeApi]:
    async with kube_api() as running:
        yield running


@pytest.fixture
async def kube(api: KubeApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Kube]:
    monkeypatch.setenv("KUBECONFIG", str(api.kubeconfig(tmp_path)))
    async with connected("tests") as client:
        yield client


@pytest.fixture
async def follow(kube: Kube) -> AsyncIterator[Callable[..., Copy]]:
    running: list[asyncio.Task[None]] = []

    def start(kind: Kind = IMAGE_MODELS, labels: str = "", **options: float) -> Copy:
        copy = Copy()
        copy.mirror = Mirror(kube, kind, copy, labels, **options)
        running.append(asyncio.create_task(copy.mirror.run()))
        return copy

    yield start
    for task in running:
        task.cancel()
    results = await asyncio.gather(*running, return_exceptions=True)
    assert all(isinstance(result, asyncio.CancelledError) for result in results), results


Follow = Callable[..., Copy]


def lists(api: KubeApi) -> int:
    return sum(not request.watches for request in api.requests)


async def test_what_is_there_is_listed_and_what_happens_is_watched(api: KubeApi, follow: Follow) -> None:
    api.put(MODELS, model("one"))
    copy = follow()
    await until(lambda: api.watches == 1)
    assert copy.names == {"one"}
    assert copy.lists == 1
    api.put(MODELS, model("two"))
    api.drop(MODELS, "one")
    await until(lambda: copy.names == {"two"})
    assert lists(api) == 1
    watch = api.requests[-1].query
    assert watch["allowWatchBookmarks"] == "true"
    assert 240 <= int(watch["timeoutSeconds"]) <= 300


async def test_a_long_list_comes_in_pages(api: KubeApi, follow: Follow, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mirror, "_PAGE", 2)
    for number in range(5):
        api.put(MODELS, model(f"m{number}"))
    copy = follow()
    await until(lambda: copy.lists == 1)
    assert copy.names == {f"m{number}" for number in range(5)}
    assert lists(api) == 3


async def test_only_slices_of_models_are_asked_for(api: KubeApi, follow: Follow) -> None:
    copy = follow(ENDPOINT_SLICES, "easel.dev/model")
    await until(lambda: api.watches == 1)
    assert {request.query["labelSelector"] for request in api.requests} == {"easel.dev/model"}
    api.put(SLICES, endpoint_slice())
    await until(lambda: copy.names == {"easel-demo-1"})


@pytest.mark.parametrize("piece", [1, 7, 1000])
async def test_events_arrive_in_pieces_of_any_size(api: KubeApi, follow: Follow, piece: int) -> None:
    api.piece = piece
    copy = follow()
    await until(lambda: api.watches == 1)
    for name in ("one", "two"):
        api.put(MODELS, model(name))
    await until(lambda: copy.names == {"one", "two"})


async def test_one_event_may_be_larger_than_any_buffer(api: KubeApi, follow: Follow) -> None:
    copy = follow()
    await until(lambda: api.watches == 1)
    api.put(MODELS, model("large", metadata={"annotations": {"a": "x" * (6 << 20)}}))
    await until(lambda: copy.names == {"large"})


async def test_a_watch_that_is_cut_goes_on_from_where_it_was(api: KubeApi, follow: Follow) -> None:
    copy = follow()
    await until(lambda: api.watches == 1)
    api.put(MODELS, model("one"))
    await until(lambda: copy.names == {"one"})
    api.cut()
    await until(lambda: api.watches == 0)
    api.put(MODELS, model("two"))
    await until(lambda: copy.names == {"one", "two"})
    assert copy.told == ["+one", "+two"]
    assert lists(api) == 1


async def test_after_a_bookmark_a_quiet_watch_need_not_list_again(api: KubeApi, follow: Follow) -> None:
    copy = follow()
    await until(lambda: api.watches == 1)
    api.put(SLICES, endpoint_slice())  # time goes on elsewhere
    api.bookmark()
    await until(lambda: copy.mirror is not None and copy.mirror._version == api.version)
    api.forget()
    api.cut()
    await until(lambda: api.watches == 0)
    await until(lambda: api.watches == 1 and api.requests[-1].query.get("resourceVersion") == api.version)
    assert lists(api) == 1
    assert copy.told == []


@pytest.mark.parametrize("as_status", [True, False])
async def test_where_the_version_is_gone_all_is_listed_again_without_a_gap(
    api: KubeApi, follow: Follow, caplog: pytest.LogCaptureFixture, *, as_status: bool
) -> None:
    caplog.set_level(logging.WARNING)
    api.gone_as_status = as_status
    for name in ("kept", "gone"):
        api.put(MODELS, model(name))
    copy = follow()
    await until(lambda: api.watches == 1)
    api.answering.clear()
    api.cut()
    await until(lambda: api.watches == 0)
    api.drop(MODELS, "gone")
    api.put(MODELS, model("new"))
    api.forget()
    assert copy.names == {"kept", "gone"}
    api.answering.set()
    await until(lambda: copy.lists == 2)
    assert copy.names == {"kept", "new"}
    assert "-kept" not in copy.told
    await until(lambda: api.watches == 1)


@pytest.mark.parametrize("fault", ["refuses", "answers 500", "answers 403", "closes"])
async def test_while_the_api_server_is_away_what_is_known_stays_and_one_line_says_so(
    api: KubeApi, follow: Follow, caplog: pytest.LogCaptureFixture, fault: str
) -> None:
    caplog.set_level(logging.INFO, "easel_gateway.cluster.mirror")
    api.put(MODELS, model("one"))
    copy = follow()
    await until(lambda: api.watches == 1)
    asked = len(api.requests)
    match fault:
        case "refuses":
            await api.stop()
        case "closes":
            api.goes_away = True
        case _:
            api.status = int(fault.split()[1])
    if fault != "refuses":
        api.cut()
        await until(lambda: len(api.requests) >= asked + 2)
    await until(lambda: len(caplog.messages) == 1)
    assert "imagemodels cannot be followed, what is known stays in force" in caplog.messages[0]
    assert copy.names == {"one"}
    if fault == "refuses":
        await api.start()
    api.status, api.goes_away = 0, False
    api.put(MODELS, model("two"))
    await until(lambda: copy.names == {"one", "two"})
    await until(lambda: len(caplog.messages) == 2)
    assert caplog.messages[1] == "imagemodels are followed again"


async def test_an_api_server_that_is_not_there_yet_is_waited_for(api: KubeApi, follow: Follow) -> None:
    api.put(MODELS, model("one"))
    await api.stop()
    copy = follow()
    await asyncio.sleep(0)
    await api.start()
    await until(lambda: copy.names == {"one"})


async def test_a_connection_that_is_dead_is_noticed_by_its_silence(api: KubeApi, follow: Follow) -> None:
    copy = follow(silence_seconds=0.05)
    await until(lambda: sum(request.watches for request in api.requests) >= 2)
    assert copy.lists == 1
    api.put(MODELS, model("one"))
    await until(lambda: copy.names == {"one"})


async def test_now_and_then_all_is_listed_again_whatever_the_watch_says(api: KubeApi, follow: Follow) -> None:
    copy = follow(relist_seconds=0)
    await until(lambda: api.watches == 1)
    key = ("default", "never-told")
    api.objects[MODELS][key] = {**model("never-told"), "metadata": {"namespace": "default", "name": "never-told"}}
    api.cut()
    await until(lambda: copy.names == {"never-told"})
    assert copy.lists == 2


async def test_an_api_server_that_ends_every_watch_at_once_is_asked_ever_less_often(
    api: KubeApi, follow: Follow
) -> None:
    copy = follow()
    for count in range(1, 6):
        await until(lambda: api.watches == 1 and sum(request.watches for request in api.requests) == count)  # noqa: B023
        api.cut()
    times = [request.at for request in api.requests if request.watches]
    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert all(gap >= FIRST_SECONDS / 2 * 2**number for number, gap in enumerate(gaps))
    assert copy.lists == 1


@pytest.mark.parametrize("line", [b"nonsense\n", b"[]\n", b'{"type": "ADDED"}\n', b'{"type": "ADDED", "object": []}\n'])
async def test_an_event_that_makes_no_sense_is_an_error_like_others(
    api: KubeApi, kube: Kube, monkeypatch: pytest.MonkeyPatch, line: bytes
) -> None:
    async def write(response: object, event: object) -> None:
        await response.write(line)  # type: ignore[attr-defined]

    monkeypatch.setattr(api, "_write", write)
    api.put(MODELS, model())
    with pytest.raises(ApiError) as caught:
        async with kube.watch(IMAGE_MODELS, "", "100", 300, 10) as events:
            await anext(events)
    assert caught.value.status == 500


def test_waits_double_are_bounded_and_differ_and_end_with_an_attempt_that_lasted() -> None:
    backoff = Backoff()
    waits = [backoff.pause() for _ in range(50)]
    bounds = [min(LONGEST_SECONDS, FIRST_SECONDS * 2**number) for number in range(50)]
    assert all(bound / 2 <= wait <= bound for wait, bound in zip(waits, bounds, strict=True))
    assert len(set(waits)) > 25
    assert backoff.pause(LONGEST_SECONDS + 1) <= FIRST_SECONDS
