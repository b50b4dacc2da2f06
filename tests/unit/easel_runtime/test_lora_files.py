"""LoRAs from a Hub on the loopback interface to files on this machine: which, how large, how often, how many."""

import os
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest

from easel_runtime.engine import GenerationError, LoraUnavailable
from easel_runtime.pipelines.lora_files import LoraFiles
from support import hub
from support.hub_endpoint import HubEndpoint, serving
from support.tiny_engines import NOISE_OF_LIBRARIES, nothing

pytestmark = NOISE_OF_LIBRARIES

USUAL = "pytorch_lora_weights.safetensors"
HUB = "huggingface_hub.constants"


@pytest.fixture
def upstream(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubEndpoint]:
    with serving(tmp_path / "upstream") as endpoint:
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        monkeypatch.setattr(f"{HUB}.HF_HUB_OFFLINE", False)
        monkeypatch.setattr(f"{HUB}.ENDPOINT", endpoint.url)
        monkeypatch.setattr(
            f"{HUB}.HUGGINGFACE_CO_URL_TEMPLATE", endpoint.url + "/{repo_id}/resolve/{revision}/{filename}"
        )
        yield endpoint


def add(upstream: HubEndpoint, repo_id: str, files: Mapping[str, str], commit: str = hub.COMMIT) -> None:
    hub.add_repository(upstream.root, repo_id, hub.holding(files), commit)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def files_in(tmp_path: Path, room: int = 1000, most: int = 1000, clock: Clock | None = None) -> LoraFiles:
    return LoraFiles(tmp_path / "cache" / "loras", room, most, clock or Clock())


def refusal(files: LoraFiles, repo_id: str) -> str:
    with pytest.raises(GenerationError) as caught:
        files.fetch(repo_id)
    return str(caught.value)


# Which file ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("files", "chosen"),
    [
        ({"pixel-art-xl.safetensors": "x", "README.md": "", "images/1.safetensors": "y"}, "pixel-art-xl.safetensors"),
        ({"style.v1.5.safetensors": "x", "style.bin": "y"}, "style.v1.5.safetensors"),
        ({USUAL: "x", "other.safetensors": "y"}, USUAL),
    ],
    ids=["the only one at the root", "dots and a pickle beside it", "the usual name of several"],
)
def test_the_lora_of_a_repository_is_found(
    files: dict[str, str], chosen: str, upstream: HubEndpoint, tmp_path: Path
) -> None:
    add(upstream, "an.org/v1.5-style", files)
    file = files_in(tmp_path).fetch("an.org/v1.5-style")
    assert (file.name, file.read_text()) == (chosen, "x")
    assert upstream.files == [f"an.org/v1.5-style/{chosen}"]
    assert file.is_relative_to(tmp_path / "cache" / "loras")


def test_an_id_of_one_name_works(upstream: HubEndpoint, tmp_path: Path) -> None:
    add(upstream, "legacy", {USUAL: "x"})
    assert files_in(tmp_path).fetch("legacy").read_text() == "x"


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        (
            {"a.safetensors": "", "b.safetensors": ""},
            f"holds several files and none is called {USUAL}: a.safetensors, b.safetensors; name a repository",
        ),
        ({f"{number}.safetensors": "" for number in range(9)}, "3.safetensors, 4.safetensors, ...; name"),
        ({"pytorch_lora_weights.bin": ""}, "has its weights as pickle only, which can hold programs; only safetensors"),
        ({"style.pt": ""}, "has its weights as pickle only"),
        ({"README.md": "", "unet/a.safetensors": ""}, "holds no *.safetensors file at its root"),
    ],
    ids=["several", "many", "bin", "pt", "none"],
)
def test_what_is_no_lora_is_refused_and_not_downloaded(
    files: dict[str, str], sentence: str, upstream: HubEndpoint, tmp_path: Path
) -> None:
    add(upstream, "a/b", files)
    said = refusal(files_in(tmp_path), "a/b")
    assert said.startswith("LoRA a/b ")
    assert sentence in said
    assert upstream.files == []


def test_a_file_that_is_too_large_is_refused_before_any_byte_of_it(upstream: HubEndpoint, tmp_path: Path) -> None:
    add(upstream, "a/b", {USUAL: "x" * 101})
    files = files_in(tmp_path, most=100)
    assert refusal(files, "a/b") == "LoRA a/b: its file has 101 bytes, more than the 100 that are taken"
    assert upstream.files == []
    add(upstream, "a/c", {USUAL: "x" * 100})
    assert files.fetch("a/c").stat().st_size == 100
    assert "more than the 50 that are taken" in refusal(files_in(tmp_path, room=50), "a/c")


def test_what_is_missing_private_or_gated_is_said(
    upstream: HubEndpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(upstream, "a/private", {USUAL: "x"})
    add(upstream, "a/gated", {USUAL: "x"})
    upstream.hidden["a/private"] = "hf_secret"
    upstream.gated.add("a/gated")
    files = files_in(tmp_path)
    for name in ("a/missing", "a/private"):
        assert refusal(files, name) == f"LoRA {name}: there is no such repository on the Hub, or it is private"
    assert refusal(files, "a/gated") == (
        "LoRA a/gated is gated: whoever runs this model must accept its terms on the Hub and set HF_TOKEN"
    )
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    assert files_in(tmp_path).fetch("a/private").read_text() == "x"


# How often ----------------------------------------------------------------------------------------------------------


def test_the_hub_is_asked_once_in_five_minutes(upstream: HubEndpoint, tmp_path: Path) -> None:
    add(upstream, "a/b", {USUAL: "old"})
    clock = Clock()
    files = files_in(tmp_path, clock=clock)
    first = files.fetch("a/b")
    refusal(files, "a/missing")
    clock.now = 299
    assert files.fetch("a/b") == first
    refusal(files, "a/missing")
    assert (upstream.asked, len(upstream.files)) == (["a/b", "a/missing"], 1)
    clock.now = 300
    assert files.fetch("a/b") == first
    assert (upstream.asked[2:], len(upstream.files)) == (["a/b"], 1)


def test_a_lora_that_was_changed_is_downloaded_anew_and_the_old_one_goes(upstream: HubEndpoint, tmp_path: Path) -> None:
    add(upstream, "a/b", {USUAL: "old"})
    clock = Clock()
    files = files_in(tmp_path, clock=clock)
    old = files.fetch("a/b")
    home = upstream.root / "models--a--b"
    (home / "refs" / "main").write_text("f" * 40)
    (home / "snapshots" / hub.COMMIT).rename(home / "snapshots" / ("f" * 40))
    (home / "snapshots" / ("f" * 40) / USUAL).write_text("new")
    clock.now = 300
    new = files.fetch("a/b")
    assert (new.read_text(), old.exists()) == ("new", False)


def test_a_file_that_was_deleted_is_downloaded_again(upstream: HubEndpoint, tmp_path: Path) -> None:
    add(upstream, "a/b", {USUAL: "x"})
    files = files_in(tmp_path)
    files.fetch("a/b").unlink()
    assert files.fetch("a/b").read_text() == "x"


def test_two_runtimes_that_want_the_same_lora_download_it_once(upstream: HubEndpoint, tmp_path: Path) -> None:
    add(upstream, "a/b", {USUAL: "x" * 500})
    upstream.may_send.clear()
    upstream.asked = asked = _Counted()
    with ThreadPoolExecutor(4) as threads:
        fetches = [threads.submit(files_in(tmp_path).fetch, "a/b") for _ in range(4)]
        for _ in fetches:
            assert asked.added.acquire(timeout=30)
        upstream.may_send.set()
        assert {fetch.result(30).read_text() for fetch in fetches} == {"x" * 500}
    assert len(upstream.files) == 1


class _Counted(list[str]):
    """A list that says when something is put into it."""

    def __init__(self) -> None:
        super().__init__()
        self.added = threading.Semaphore(0)

    def append(self, one: str) -> None:
        super().append(one)
        self.added.release()


def test_what_is_remembered_has_an_end(upstream: HubEndpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("easel_runtime.pipelines.lora_files._REMEMBERED", 2)
    files = files_in(tmp_path)
    for name in ("a/1", "a/2", "a/3", "a/3", "a/2", "a/1"):
        refusal(files, name)
    assert upstream.asked == ["a/1", "a/2", "a/3", "a/1"]


# How many -----------------------------------------------------------------------------------------------------------


def held(tmp_path: Path) -> list[str]:
    return sorted(path.name.removeprefix("models--a--") for path in (tmp_path / "cache" / "loras").glob("models--*"))


def age(tmp_path: Path, *names: str) -> None:
    """They were last asked for in this order, long ago."""
    for seconds, name in enumerate(names):
        os.utime(tmp_path / "cache" / "loras" / f"models--a--{name}", (seconds, seconds))


def test_those_that_were_asked_for_longest_ago_make_room(upstream: HubEndpoint, tmp_path: Path) -> None:
    for name in "1234":
        add(upstream, f"a/{name}", {USUAL: name * 300})
    files = files_in(tmp_path, room=1000)
    for name in "123":
        files.fetch(f"a/{name}")
    assert held(tmp_path) == ["1", "2", "3"]
    age(tmp_path, "1", "2", "3")
    files.fetch("a/1")
    files.fetch("a/4")
    assert held(tmp_path) == ["1", "3", "4"]
    assert files.fetch("a/2").read_text() == "2" * 300
    assert len(upstream.files) == 5


def test_models_are_never_deleted_for_a_lora(upstream: HubEndpoint, tmp_path: Path) -> None:
    hub.add_repository(tmp_path / "cache", "a/model", hub.holding({"unet.safetensors": "x" * 5000}))
    add(upstream, "a/1", {USUAL: "x" * 900})
    add(upstream, "a/2", {USUAL: "x" * 900})
    files = files_in(tmp_path, room=1000)
    files.fetch("a/1")
    files.fetch("a/2")
    assert held(tmp_path) == ["2"]
    assert (tmp_path / "cache" / "models--a--model" / "snapshots" / hub.COMMIT / "unet.safetensors").is_file()


def test_what_another_runtime_is_downloading_is_not_deleted(upstream: HubEndpoint, tmp_path: Path) -> None:
    from huggingface_hub.utils import WeakFileLock  # type: ignore[attr-defined]

    for name in "123":
        add(upstream, f"a/{name}", {USUAL: name * 400})
    files = files_in(tmp_path, room=1000)
    files.fetch("a/1")
    files.fetch("a/2")
    age(tmp_path, "1", "2")
    with WeakFileLock(tmp_path / "cache" / "loras" / ".in-use" / "models--a--1"):
        files.fetch("a/3")
        assert held(tmp_path) == ["1", "3"]
        with WeakFileLock(tmp_path / "cache" / "loras" / ".in-use" / "models--a--3"), pytest.raises(LoraUnavailable):
            files.fetch("a/2")
    assert files.fetch("a/2").read_text() == "2" * 400


# What goes wrong ----------------------------------------------------------------------------------------------------


def test_offline_what_was_downloaded_is_served_and_nothing_else(
    upstream: HubEndpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(upstream, "a/b", {USUAL: "x"})
    file = files_in(tmp_path).fetch("a/b")
    upstream.asked.clear()
    monkeypatch.setattr(f"{HUB}.HF_HUB_OFFLINE", True)
    assert files_in(tmp_path).fetch("a/b") == file
    assert refusal(files_in(tmp_path), "a/c") == "LoRA a/c is not on this machine, which works without the Hub"
    assert upstream.asked == []


def test_offline_the_size_counts_too(upstream: HubEndpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add(upstream, "a/b", {USUAL: "xx"})
    files_in(tmp_path).fetch("a/b")
    monkeypatch.setattr(f"{HUB}.HF_HUB_OFFLINE", True)
    assert "more than the 1 that are taken" in refusal(files_in(tmp_path, most=1), "a/b")


def test_without_the_hub_what_is_here_is_served_and_the_rest_is_for_later(
    upstream: HubEndpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(upstream, "a/b", {USUAL: "x"})
    file = files_in(tmp_path).fetch("a/b")
    monkeypatch.setattr(f"{HUB}.ENDPOINT", "http://127.0.0.1:9")  # discard: nobody answers
    assert files_in(tmp_path).fetch("a/b") == file
    files = files_in(tmp_path)
    with pytest.raises(LoraUnavailable, match="LoRA a/c: the Hub cannot be reached; try again later"):
        files.fetch("a/c")
    add(upstream, "a/c", {USUAL: "y"})
    monkeypatch.setattr(f"{HUB}.ENDPOINT", upstream.url)
    assert files.fetch("a/c").read_text() == "y"


def test_a_download_that_breaks_off_is_for_later_and_leaves_nothing_that_is_taken_for_whole(
    upstream: HubEndpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The Hub's client waits a second before it tries again.
    monkeypatch.setattr("huggingface_hub.file_download.time", SimpleNamespace(sleep=nothing))
    add(upstream, "a/b", {USUAL: "x" * 500})
    upstream.cut_short.add(USUAL)
    files = files_in(tmp_path)
    with pytest.raises(LoraUnavailable, match="LoRA a/b cannot be downloaded at present; try again later"):
        files.fetch("a/b")
    upstream.cut_short.clear()
    assert files.fetch("a/b").read_text() == "x" * 500
    blobs = tmp_path / "cache" / "loras" / "models--a--b" / "blobs"
    assert [blob.stat().st_size for blob in blobs.iterdir()] == [500]


def test_a_download_that_takes_too_long_ends(upstream: HubEndpoint, tmp_path: Path) -> None:
    add(upstream, "a/b", {USUAL: "x" * 500})
    clock = Clock()

    class Late(Clock):
        def __call__(self) -> float:
            self.now += 4000
            return self.now

    with pytest.raises(LoraUnavailable, match="cannot be downloaded at present"):
        files_in(tmp_path, clock=Late()).fetch("a/b")
    assert files_in(tmp_path, clock=clock).fetch("a/b").read_text() == "x" * 500


def test_a_folder_that_cannot_be_written_is_for_later(upstream: HubEndpoint, tmp_path: Path) -> None:
    add(upstream, "a/b", {USUAL: "x"})
    (tmp_path / "cache").write_text("a file where a folder is needed")
    with pytest.raises(LoraUnavailable):
        files_in(tmp_path).fetch("a/b")
