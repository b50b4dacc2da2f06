"""`Spool`: what was written comes back, whether it stayed in memory or went to disk."""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from easel_http.spool import Spool, SpoolFull


@pytest.fixture
async def spool() -> AsyncIterator[Spool]:
    spool = Spool(memory_bytes=10)
    yield spool
    spool.close()


async def content(spool: Spool) -> bytes:
    await spool.finish()
    return b"".join([data async for data in spool.chunks()])


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 (a Path would be no shorter)


@given(writes=st.lists(st.binary(max_size=20), max_size=10))
async def test_what_was_written_comes_back_twice_and_as_a_file(writes: list[bytes]) -> None:
    spool = Spool(memory_bytes=30)
    for data in writes:
        await spool.write(data)
    await spool.finish()
    whole = b"".join(writes)
    assert (spool.size, await content(spool), await content(spool), spool.rewound().read()) == (
        len(whole),
        *[whole] * 3,
    )
    spool.close()


async def test_few_bytes_stay_in_memory(spool: Spool) -> None:
    before = open_files()
    await spool.write(b"x" * 10)
    assert open_files() == before


async def test_many_bytes_go_to_a_file_without_a_name(
    spool: Spool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    before = open_files()
    await spool.write(b"x" * 10)
    await spool.write(b"y")
    assert open_files() == before + 1
    assert os.listdir(tmp_path) == []  # noqa: PTH208
    assert await content(spool) == b"x" * 10 + b"y"


async def test_closing_gives_the_disk_back(spool: Spool) -> None:
    before = open_files()
    await spool.write(b"x" * 100)
    spool.close()
    assert open_files() == before


async def test_closing_twice_does_no_harm(spool: Spool) -> None:
    spool.close()
    spool.close()


async def test_large_content_comes_in_pieces() -> None:
    spool = Spool()
    await spool.write(bytes(1_000_000))
    await spool.finish()
    sizes = [len(data) async for data in spool.chunks()]
    spool.close()
    assert sum(sizes) == 1_000_000
    assert max(sizes) <= 1 << 18


@pytest.mark.parametrize("memory_bytes", [1 << 20, 0], ids=["in memory", "on disk"])
async def test_a_reader_that_is_abandoned_does_not_disturb_another(memory_bytes: int) -> None:
    spool = Spool(memory_bytes)
    whole = bytes(range(256)) * 4000
    await spool.write(whole)
    await spool.finish()
    first, second = spool.chunks(), spool.chunks()
    start = await anext(first)
    assert await anext(second) == start == whole[: len(start)]
    assert await content(spool) == whole
    assert start + b"".join([data async for data in second]) == whole
    spool.close()


@pytest.mark.parametrize("memory_bytes", [1 << 20, 0], ids=["in memory", "on disk"])
async def test_a_reader_follows_the_writer(memory_bytes: int) -> None:
    spool = Spool(memory_bytes)
    reading = asyncio.create_task(content_as_it_comes(spool))
    pieces = [bytes([number]) * 100_000 for number in range(9)]
    for piece in pieces:
        await spool.write(piece)
        await asyncio.sleep(0)
    assert not reading.done()
    await spool.finish()
    assert await reading == b"".join(pieces)
    spool.close()


async def content_as_it_comes(spool: Spool) -> bytes:
    return b"".join([data async for data in spool.chunks()])


async def test_what_was_let_into_memory_can_be_sent_to_disk_after_all(spool: Spool) -> None:
    before = open_files()
    spool.memory_bytes = 1000
    await spool.write(b"x" * 500)
    assert open_files() == before
    await spool.shrink(10)
    assert open_files() == before + 1
    assert await content(spool) == b"x" * 500


@pytest.mark.parametrize("memory_bytes", [1 << 20, 0], ids=["in memory", "on disk"])
async def test_the_beginning_is_known_wherever_the_rest_is(memory_bytes: int) -> None:
    spool = Spool(memory_bytes)
    whole = bytes(range(256)) * 2000
    await spool.write(whole)
    assert spool.beginning() == whole[: len(spool.beginning())]
    assert len(spool.beginning()) >= 1 << 16
    spool.close()


async def test_a_disk_without_room_to_spare_is_not_filled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    spool = Spool(memory_bytes=10, spare_bytes=1 << 60)
    await spool.write(b"x" * 10)
    with pytest.raises(SpoolFull, match="too little room"):
        await spool.write(b"y")
    spool.close()


async def test_a_spool_that_is_closed_while_it_is_written_leaves_nothing_open() -> None:
    before = open_files()
    spool = Spool(memory_bytes=0)
    writing = asyncio.create_task(spool.write(b"x" * 10_000_000))
    await asyncio.sleep(0)
    writing.cancel()
    spool.close()
    await asyncio.gather(writing, return_exceptions=True)
    await asyncio.get_running_loop().shutdown_default_executor()
    assert open_files() == before
