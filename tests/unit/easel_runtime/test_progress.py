"""How far a download is, from the files in the Hub's cache."""

import asyncio
import logging
import os
from pathlib import Path
from typing import Any

import pytest

from easel_runtime import progress
from easel_runtime.engine import Loaded
from easel_runtime.progress import Download, hub_cache
from support.engines import ToyEngine
from support.hub import add_repository, holding
from support.hub_endpoint import serving
from support.in_process import running

REPO = "org/model"
SIZE = 24_000_000
"""Bytes: the Hub's client writes ten million at a time."""


class Cache:
    """A Hub cache that grows by hand, and a clock beside it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.now = 0.0
        self.download = Download(folder, clock=lambda: self.now)

    def blob(self, name: str, size: int, repo: str = REPO) -> Path:
        path = self.folder / f"models--{repo.replace('/', '--')}" / "blobs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        os.truncate(path, size)
        return path

    def look(self, *, after: float = 1.0) -> None:
        self.now += after
        self.download.look()


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path)


def test_with_all_there_nothing_is_downloaded(cache: Cache) -> None:
    assert cache.download.state is None
    cache.blob("abc", 500)
    cache.look()
    cache.look()
    assert (cache.download.state, cache.download.active) == (None, False)


def test_growing_and_renamed_files_count_alike(cache: Cache) -> None:
    cache.look()
    growing = cache.blob("abc.0f.incomplete", 100)
    cache.look()
    os.truncate(growing, 300)
    cache.look()
    assert cache.download.state is not None
    assert (cache.download.state.bytes, cache.download.state.total, cache.download.active) == (300, None, True)
    growing.rename(growing.with_name("abc"))
    cache.blob("def.1e.incomplete", 50)
    cache.look()
    assert cache.download.state.as_json() == {
        "bytes": 350,
        "total": None,
        "bytes_per_second": 117,
        "seconds_left": None,
    }


def test_what_was_there_before_counts_only_as_far_as_it_grows(cache: Cache) -> None:
    left_over = cache.blob("abc.0f.incomplete", 1000)
    cache.blob("def", 1000)
    cache.look()
    os.truncate(left_over, 1010)
    cache.look()
    assert cache.download.state is not None
    assert cache.download.state.bytes == 10


def test_with_a_total_the_rest_of_the_time_is_known(cache: Cache) -> None:
    with cache.download.announced():
        progress.expect(REPO, 600)
        progress.expect(REPO, 400)
    cache.look()
    assert str(cache.download.state) == "0.00 of 0.00 GB at 0.0 MB/s"
    cache.blob("abc.0f.incomplete", 250)
    cache.look(after=5)
    assert cache.download.state is not None
    assert cache.download.state.as_json() == {
        "bytes": 250,
        "total": 1000,
        "bytes_per_second": 50,
        "seconds_left": 15.0,
    }
    cache.blob("abc.0f.incomplete", 1000)
    cache.look()
    assert cache.download.state.seconds_left == 0
    for _ in range(30):
        cache.look()
    assert not cache.download.active


def test_only_the_repositories_that_were_announced_count(cache: Cache) -> None:
    cache.look()
    cache.download.expect(REPO, 100)
    cache.blob("abc", 70)
    cache.blob("abc", 5000, repo="org/another")
    cache.look()
    assert cache.download.state is not None
    assert cache.download.state.bytes == 70


def test_the_rate_is_that_of_the_last_seconds(cache: Cache) -> None:
    cache.look()
    cache.blob("abc", 1_000_000)
    for _ in range(30):
        cache.look()
    assert cache.download.state is not None
    assert cache.download.state.bytes_per_second == 0


def test_an_announcement_without_a_watcher_is_no_failure() -> None:
    progress.expect(REPO, 100)


@pytest.mark.parametrize(
    ("variables", "folder"),
    [
        ({"HF_HUB_CACHE": "/a", "HF_HOME": "/b"}, "/a"),
        ({"HUGGINGFACE_HUB_CACHE": "/a", "HF_HOME": "/b"}, "/a"),
        ({"HF_HOME": "/b", "XDG_CACHE_HOME": "/c"}, "/b/hub"),
        ({"XDG_CACHE_HOME": "/c"}, "/c/huggingface/hub"),
        ({"HOME": "/d"}, "/d/.cache/huggingface/hub"),
    ],
    ids=str,
)
def test_the_cache_is_where_the_hubs_client_has_it(
    variables: dict[str, str], folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert hub_cache(None) == Path(folder)
    assert hub_cache(Path("/models")) == Path("/models")


async def test_a_real_download_is_seen_in_health_and_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The Hub's own client, which waits half-way through a file."""
    monkeypatch.setattr(progress, "_LOOK_SECONDS", 0.01)
    add_repository(tmp_path / "hub", REPO, holding({"weights": "x" * SIZE}), "0" * 40)

    class Downloading(ToyEngine):
        def load(self) -> Loaded:
            from huggingface_hub import hf_hub_download

            progress.expect(REPO, SIZE)
            hf_hub_download(REPO, "weights", endpoint=hub.url, cache_dir=tmp_path / "cache")
            return super().load()

    async def health() -> Any:
        return (await toy.client.get("/health")).json()

    caplog.set_level(logging.INFO)
    with serving(tmp_path / "hub") as hub:
        hub.may_send.clear()
        async with running(Downloading(), loaded=False, model_dir=tmp_path / "cache") as toy:
            async with asyncio.timeout(30):
                while (seen := await health()).get("download", {}).get("bytes", 0) < SIZE // 4:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)  # the file grows, and tells nobody
            assert (seen["status"], seen["phase"], seen["download"]["total"]) == ("LOADING", "downloading", SIZE)
            hub.may_send.set()
            await toy.until_loaded()
            assert "download" not in await health()
    assert any(record.message.startswith("downloaded 0.0") for record in caplog.records)
