"""Callers of the gateway's bench: what they take for an answer, and what they count."""

import asyncio
import statistics
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from bench.gateway.callers import LOST, connect, rate, run, scheduled, seconds_of, whole_length
from bench.gateway.holding import resident
from bench.gateway.latency import statuses
from bench.gateway.page import page
from bench.gateway.sides import SMALL, Stage, upload
from bench.table import Finding, NotMeasured, at_most
from bench.wire import request

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


@asynccontextmanager
async def listening(*answers: bytes) -> AsyncIterator[int]:
    """A server that gives these answers in turn, over and over, on each connection; an empty one: it hangs up."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number = 0
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                if not (answer := answers[number % len(answers)]):
                    break
                writer.write(answer)
                number += 1
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


@pytest.mark.parametrize(
    ("received", "length"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n", -1),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", 43),
        (b"HTTP/1.1 200 OK\r\nx: y\r\ncontent-length:12\r\n\r\nhello", 56),
    ],
)
def test_the_length_of_an_answer_is_known_from_its_head(received: bytes, length: int) -> None:
    assert whole_length(received) == length


def test_an_answer_that_does_not_say_its_length_is_not_measured() -> None:
    with pytest.raises(NotMeasured, match="without Content-Length"):
        whole_length(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")


async def test_every_arrival_is_an_answer_or_an_error() -> None:
    refusal = b"HTTP/1.1 429 Too Many\r\ncontent-length: 0\r\n\r\n"
    async with listening(OK, refusal) as port:
        found = await scheduled(port, request("/"), 1000, 0.02, 1)
    assert len(found.latencies) == 10
    assert found.errors == [429] * 10
    assert min(found.latencies) > 0


async def test_who_waits_for_a_connection_has_it_counted() -> None:
    async with listening(OK) as port:
        alone = await scheduled(port, request("/"), 1e9, 100e-9, 1)
    assert len(alone.latencies) == 100
    assert alone.latencies == sorted(alone.latencies), "all were due at once, so each waited for those before"
    assert statistics.mean(alone.latencies) < alone.latencies[-1]


async def test_a_connection_that_ends_loses_its_request_and_those_after_it() -> None:
    async with listening(OK, OK, b"") as port:  # the first is to the request before the clock runs
        found = await scheduled(port, request("/"), 1000, 0.005, 1)
    assert (len(found.latencies), found.errors) == (1, [LOST] * 4)


async def test_a_rate_counts_answers_with_200_alone() -> None:
    async with listening(OK) as port:
        assert await rate(port, request("/"), 2, 0.05) > 0
    async with listening(b"HTTP/1.1 503 No\r\ncontent-length: 0\r\n\r\n") as port:
        with pytest.raises(NotMeasured, match="503"):
            await rate(port, request("/"), 2, 0.05)


async def test_one_request_is_timed_if_it_is_answered_well() -> None:
    async with listening(OK, b"HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n") as port:
        caller = await connect(port)
        assert await seconds_of(caller, request("/")) > 0
        with pytest.raises(NotMeasured, match="500"):
            await seconds_of(caller, request("/"))
        caller.hang_up()


def test_nobody_who_listens_is_not_measured() -> None:
    async def nobody() -> None:
        raise ConnectionRefusedError

    with pytest.raises(NotMeasured, match="ConnectionRefusedError"):
        run(nobody())


def test_memory_is_read_in_bytes(tmp_path: Path) -> None:
    file = tmp_path / "status"
    file.write_text("Name:\tpython\nVmPeak:\t  900 kB\nVmHWM:\t     300 kB\nVmRSS:\t     200 kB\nThreads:\t1\n")
    assert resident(file) == {"VmHWM": 307_200, "VmRSS": 204_800}


def test_errors_are_listed_by_how_common_they_are() -> None:
    assert statuses([LOST, 429, 429]) == "2 x 429, 1 x lost"
    assert statuses([]) == ""


def test_uploads_have_the_size_that_they_are_called_by() -> None:
    assert 2_000 < len(upload(SMALL)) < 3_000


def test_a_tenth_of_the_rounds_is_at_least_one() -> None:
    assert [Stage(quick=True).rounds(number) for number in (100, 5)] == [10, 1]
    assert Stage().rounds(5) == 5


def test_the_page_of_the_gateway_says_where_everybody_ran() -> None:
    text = page([Finding("G3", "p99", "9 ms", "", 9, at_most(100))], {"G3": statuses}, {})
    assert text.startswith("# Benchmarks of the gateway")
    assert "callers share another" in text
