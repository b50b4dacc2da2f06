"""Results in a folder: whole or not at all, found by those who know their names, swept when old."""

import os
import re
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from easel_gateway.results.folder import FolderStore
from easel_http.ids import new_id

HOUR = 3600


async def chunks(*data: bytes) -> AsyncIterator[bytes]:
    for each in data:
        yield each


async def broken(*data: bytes) -> AsyncIterator[bytes]:
    for each in data:
        yield each
    raise ConnectionResetError("the runtime is gone")


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "results", HOUR)


def ids(path: str) -> tuple[str, str]:
    request_id, _, file = path.partition("/")
    return request_id, file.removesuffix(".png")


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def file_of(folder: Path, path: str) -> Path:
    return folder / path.replace("/", "-")


def age(path: Path, seconds: float) -> None:
    then = time.time() - seconds
    os.utime(path, (then, then))


def test_ids_are_128_random_bits() -> None:
    made = {new_id() for _ in range(1000)}
    assert len(made) == 1000
    assert all(re.fullmatch("[0-9a-f]{32}", each) for each in made)


async def test_what_was_put_is_found_with_the_same_bytes(store: FolderStore) -> None:
    request_id = new_id()
    path = await store.put(request_id, chunks(b"one ", b"", b"two"))
    assert re.fullmatch(f"{request_id}/[0-9a-f]{{32}}[.]png", path)
    found = store.find(*ids(path))
    assert found is not None
    assert found.read_bytes() == b"one two"


async def test_images_of_one_request_share_its_id_but_no_name(store: FolderStore) -> None:
    request_id = new_id()
    first, second = [await store.put(request_id, chunks(data)) for data in (b"1", b"2")]
    assert first != second
    assert [path.read_bytes() for path in map(store.find, *zip(ids(first), ids(second), strict=True)) if path] == [
        b"1",
        b"2",
    ]


async def test_nothing_is_left_of_a_stream_that_fails(store: FolderStore, tmp_path: Path) -> None:
    with pytest.raises(ConnectionResetError):
        await store.put(new_id(), broken(b"half of "))
    assert files(tmp_path) == []


async def test_nothing_can_be_found_before_the_stream_has_ended(store: FolderStore, tmp_path: Path) -> None:
    async def looking() -> AsyncIterator[bytes]:
        yield b"half"
        (draft,) = files(tmp_path)
        request_id, _, file = draft.name.lstrip(".").partition("-")
        assert store.find(request_id, file.removesuffix(".png")) is None
        yield b"whole"

    await store.put(new_id(), looking())


@pytest.mark.parametrize(
    ("request_id", "image_id"),
    [
        ("..", "secret"),
        ("../..", "secret"),
        ("a" * 32, "../../secret"),
        ("a" * 32, "../secret"),
        ("%2e%2e", "secret"),
        (".", "secret"),
        ("/", "secret"),
        ("", "secret"),
        ("a" * 32 + "/..", "secret"),
        ("a" * 32 + "/..", "c" * 32),
        ("a" * 32, "b" * 32 + "/../../../secret"),
        ("a" * 32, ""),
        ("a" * 31, "b" * 32),
        ("A" * 32, "b" * 32),
        ("a" * 32 + "\n", "b" * 32),
        ("a" * 32, "b" * 32 + "\0"),
        ("\uff41" * 32, "b" * 32),
    ],
)
def test_anything_but_two_ids_is_not_found(store: FolderStore, tmp_path: Path, request_id: str, image_id: str) -> None:
    results = tmp_path / "results"
    (results / ("a" * 32) / ("b" * 32)).mkdir(parents=True)
    for folder in (tmp_path, results, results / ("a" * 32)):
        (folder / "secret.png").write_bytes(b"not for you")
    (results / ("c" * 32)).with_suffix(".png").write_bytes(b"not for you")
    assert store.find(request_id, image_id) is None


async def test_another_request_does_not_find_the_image(store: FolderStore) -> None:
    _, image_id = ids(await store.put(new_id(), chunks(b"mine")))
    assert store.find(new_id(), image_id) is None


async def test_a_draft_is_not_found_by_its_name(store: FolderStore, tmp_path: Path) -> None:
    request_id, image_id = new_id(), new_id()
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / f".{request_id}-{image_id}.png").write_bytes(b"half")
    assert store.find(request_id, image_id) is None
    assert store.find(request_id, f".{image_id}") is None


async def test_the_sweep_takes_what_is_old_and_nothing_else(store: FolderStore, tmp_path: Path) -> None:
    old, new = [await store.put(new_id(), chunks(b"image")) for _ in range(2)]
    age(file_of(tmp_path / "results", old), HOUR + 60)
    age(file_of(tmp_path / "results", new), HOUR - 60)
    assert await store.sweep() == 1
    assert store.find(*ids(old)) is None
    assert store.find(*ids(new)) is not None
    assert not file_of(tmp_path / "results", old).exists()


async def test_the_sweep_takes_old_drafts_too(store: FolderStore, tmp_path: Path) -> None:
    draft = tmp_path / "results" / f".{new_id()}-{new_id()}.png"
    draft.parent.mkdir()
    draft.write_bytes(b"half")
    age(draft, HOUR + 60)
    assert await store.sweep() == 1


async def test_a_caller_can_delete_an_image(store: FolderStore) -> None:
    path = await store.put(new_id(), b"image")
    assert await store.delete(*ids(path))
    assert not await store.delete(*ids(path))
    assert not await store.delete("..", "secret")
    assert store.find(*ids(path)) is None


async def test_images_whose_answer_is_not_given_are_dropped(store: FolderStore, tmp_path: Path) -> None:
    request_id = new_id()
    paths = [await store.put(request_id, data) for data in (b"one", chunks(b"two"))]
    other = await store.put(new_id(), b"other")
    await store.drop([*paths, f"{new_id()}/{new_id()}.png"])
    assert files(tmp_path) == [file_of(tmp_path / "results", other)]


@pytest.mark.parametrize("streamed", [True, False])
async def test_what_is_beyond_the_room_is_refused_and_what_is_there_stays(tmp_path: Path, *, streamed: bool) -> None:
    store = FolderStore(tmp_path, HOUR, most_bytes=10)
    path = await store.put(new_id(), b"12345678")
    with pytest.raises(OSError, match="the room for results is used up"):
        await store.put(new_id(), chunks(b"12", b"3") if streamed else b"123")
    assert files(tmp_path) == [file_of(tmp_path, path)]
    assert await store.put(new_id(), b"12")
    await store.delete(*ids(path))
    assert await store.put(new_id(), b"12345678")
    later = FolderStore(tmp_path, HOUR, most_bytes=10)
    later.prepare()
    with pytest.raises(OSError, match="used up"):
        await later.put(new_id(), b"1")


async def test_a_disk_that_is_nearly_full_is_not_filled(tmp_path: Path) -> None:
    store = FolderStore(tmp_path, HOUR, spare_bytes=1 << 60)
    with pytest.raises(OSError, match="nearly full"):
        await store.put(new_id(), b"image")
    assert files(tmp_path) == []


async def test_the_sweep_leaves_what_is_not_its_own(store: FolderStore, tmp_path: Path) -> None:
    folder = tmp_path / "results"
    strangers = [folder / "holiday", folder / "notes.txt", folder / ("A" * 32), folder / ("a" * 33)]
    for path in strangers:
        path.mkdir(parents=True)
        (path / "file").write_bytes(b"precious")
        age(path, 100 * HOUR)
    assert await store.sweep() == 0
    assert all((path / "file").read_bytes() == b"precious" for path in strangers)


async def test_a_sweep_before_the_first_result_finds_nothing(store: FolderStore) -> None:
    assert await store.sweep() == 0


async def test_results_of_an_earlier_run_are_found_and_swept(store: FolderStore, tmp_path: Path) -> None:
    path = await store.put(new_id(), chunks(b"image"))
    later = FolderStore(tmp_path / "results", HOUR)
    assert later.find(*ids(path)) is not None
    age(file_of(tmp_path / "results", path), HOUR + 1)
    assert await later.sweep() == 1


async def test_a_folder_that_takes_long_keeps_nobody_else_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("easel_gateway.results.folder._QUICK_SECONDS", -1.0)  # whatever it takes is long
    wrote: list[threading.Thread] = []

    class Watched(FolderStore):
        def _write(self, name: str, data: bytes) -> None:
            wrote.append(threading.current_thread())
            super()._write(name, data)

    store = Watched(tmp_path / "results", HOUR)
    paths = [await store.put(new_id(), b"a picture") for _ in range(3)]
    assert [thread is threading.main_thread() for thread in wrote] == [True, False, False]
    assert [await store.read(path) for path in paths] == [b"a picture"] * 3
