"""Results in S3, in a real server of it: kept, fetched in parts, signed, expired, swept; and when it is away."""

import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx2
import pytest

from easel_gateway.results.opening import open_store
from easel_gateway.results.ranges import RangeNotSatisfiable, byte_range
from easel_gateway.results.s3 import S3Store
from easel_gateway.settings import Settings
from easel_http.ids import new_id
from support.s3_server import S3Server, s3_server

HOUR = 3600
URL = "s3://results/images"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with s3_server(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture
def server(running: S3Server, monkeypatch: pytest.MonkeyPatch) -> S3Server:
    for name, value in running.environment.items():
        monkeypatch.setenv(name, value)
    return running


@pytest.fixture
def store(server: S3Server) -> S3Store:
    return S3Store(URL, HOUR)


def ids(path: str) -> tuple[str, str]:
    request_id, _, file = path.partition("/")
    return request_id, file.removesuffix(".png")


async def fetched(store: S3Store, path: str, **headers: str) -> tuple[int, bytes, dict[str, str]]:
    asked = {name.replace("_", "-"): value for name, value in headers.items()}
    answer = await store.respond(*ids(path), asked, HOUR)
    assert answer is not None
    body = b"".join([bytes(each) async for each in getattr(answer, "body_iterator", _nothing())])
    return answer.status_code, body, dict(answer.headers)


async def _nothing() -> AsyncIterator[bytes]:
    for each in list[bytes]():
        yield each


async def chunks(*data: bytes) -> AsyncIterator[bytes]:
    for each in data:
        yield each


@pytest.mark.parametrize("streamed", [True, False])
async def test_what_was_put_is_given_out_as_an_image(store: S3Store, *, streamed: bool) -> None:
    path = await store.put(new_id(), chunks(b"one ", b"two") if streamed else b"one two")
    assert re.fullmatch("[0-9a-f]{32}/[0-9a-f]{32}[.]png", path)
    status, body, headers = await fetched(store, path)
    assert (status, body, headers["content-type"], headers["content-length"]) == (200, b"one two", "image/png", "7")
    assert await store.read(path) == b"one two"


async def test_parts_and_conditions_work(store: S3Store) -> None:
    path = await store.put(new_id(), b"0123456789")
    status, body, headers = await fetched(store, path, range="bytes=2-4")
    assert (status, body, headers["content-range"]) == (206, b"234", "bytes 2-4/10")
    assert (await fetched(store, path, range="bytes=-3"))[1] == b"789"
    assert (await fetched(store, path, range="bytes=10-"))[0] == 416
    assert (await fetched(store, path, if_none_match=headers["etag"]))[0] == 304
    assert (await fetched(store, path, range="bytes=2-4", if_range='"another"'))[1] == b"0123456789"


@pytest.mark.parametrize(
    ("header", "part"),
    [
        ("", None),
        ("bytes=0-0", (0, 1)),
        ("bytes=5-", (5, 10)),
        ("bytes=5-99", (5, 10)),
        ("bytes=-99", (0, 10)),
        ("bytes=4-2", None),
        ("bytes=-", None),
        ("bytes=1-2,4-5", None),
        ("lines=1-2", None),
    ],
)
def test_ranges_are_read_as_the_standard_has_them(header: str, part: tuple[int, int] | None) -> None:
    assert byte_range(header, 10) == part


@pytest.mark.parametrize("header", ["bytes=10-", "bytes=99-100", "bytes=-0"])
def test_ranges_behind_the_end_are_not_satisfiable(header: str) -> None:
    with pytest.raises(RangeNotSatisfiable):
        byte_range(header, 10)


async def test_what_is_gone_is_not_found(store: S3Store) -> None:
    request_id = new_id()
    first, second, third = [await store.put(request_id, b"image") for _ in range(3)]
    assert await store.delete(*ids(first))
    assert not await store.delete(*ids(first))
    await store.drop([second, f"{new_id()}/{new_id()}.png"])
    assert await store.respond(*ids(first), {}, HOUR) is None
    assert await store.respond(*ids(second), {}, HOUR) is None
    assert (await fetched(store, third))[1] == b"image"
    for odd in (("..", "secret"), ("a" * 32, "../../secret"), ("", "")):
        assert await store.respond(*odd, {}, HOUR) is None


async def test_what_is_too_old_is_not_found_and_is_swept(store: S3Store) -> None:
    paths = [await store.put(new_id(), b"image") for _ in range(20)]
    brief = S3Store(URL, -60)
    assert await brief.respond(*ids(paths[0]), {}, HOUR) is None
    assert (await fetched(store, paths[0]))[0] == 200
    assert await store.sweep() == 0
    assert await brief.sweep() >= 20
    assert await store.respond(*ids(paths[0]), {}, HOUR) is None


async def test_signed_addresses_lead_to_the_bucket_itself(server: S3Server) -> None:
    store = S3Store(URL, HOUR, signed=True)
    path = await store.put(new_id(), b"image")
    url = await store.url(path)
    assert url.startswith(server.environment["AWS_ENDPOINT_URL"])
    answer = httpx2.get(url)
    assert (answer.status_code, answer.content, answer.headers["content-type"]) == (200, b"image", "image/png")
    assert httpx2.get(url.partition("?")[0]).status_code == 403
    assert await S3Store(URL, HOUR).url(path) == ""


async def test_a_bucket_that_cannot_be_used_is_told_in_one_line(
    server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert isinstance(await open_store(URL, Settings()), S3Store)
    with pytest.raises(OSError, match="cannot be kept in s3://nowhere") as missing:
        await open_store("s3://nowhere", Settings())
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    with pytest.raises(OSError, match="cannot be kept in s3://results/images") as refused:
        await open_store(URL, Settings())
    for caught in (missing, refused):
        assert "\n" not in str(caught.value)
        assert "wrong" not in str(caught.value)


async def test_a_server_that_is_away_is_an_error_and_comes_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("easel_gateway.results.s3._SECONDS", 2.0)
    monkeypatch.setattr("easel_gateway.results.s3._RETRIES", 1)
    with s3_server(tmp_path) as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        store = S3Store(URL, HOUR)
        path = await store.put(new_id(), b"image")
        server.kill()
        with pytest.raises(OSError, match="the bucket for results"):
            await store.put(new_id(), b"image")
        with pytest.raises(OSError, match="the bucket for results"):
            await store.read(path)
        server.start()
        assert await store.read(path) == b"image"
