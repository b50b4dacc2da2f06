"""Connections as a server gets them: raw bytes on loopback sockets, on asyncio's own event loop and on uvloop."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from easel_http import protocol
from easel_http.entrance import ConnectionLimits, Entrance
from support.runtimes import HOST, serving, until

HEAD = b"POST /read HTTP/1.1\r\nHost: x\r\n"
GET = b"GET /answer HTTP/1.1\r\nHost: x\r\n\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
SHORT = 0.05
"""Seconds; a limit that is waited for."""


@dataclass
class App:
    """/answer: at once; /read: with the length of the body; /wait: when it may; /flood: without an end."""

    may_answer: asyncio.Event = field(default_factory=asyncio.Event)
    seen: list[str] = field(default_factory=list)
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        self.seen.append(request.url.path)
        self.headers = list(scope["headers"])
        try:
            await (await self._answer(request))(scope, receive, send)
        except ClientDisconnect:
            self.left.append(request.url.path)
        finally:
            self.ended.append(request.url.path)

    async def _answer(self, request: Request) -> Response:
        match request.url.path:
            case "/read":
                return PlainTextResponse(str(len(await request.body())))
            case "/wait":
                await self.may_answer.wait()
            case "/flood":
                return StreamingResponse(_flood())
        return PlainTextResponse("ok")


async def _flood() -> AsyncIterator[bytes]:
    while True:
        yield b"x" * 65536


@dataclass
class Caller:
    """One connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def ask(self, data: bytes) -> tuple[int, dict[str, str], bytes]:
        """Send `data`; the answer."""
        self.writer.write(data)
        return await self.answer()

    async def answer(self) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body of the next answer."""
        async with asyncio.timeout(10):
            first, *lines = (await self.reader.readuntil(b"\r\n\r\n")).decode().rstrip().split("\r\n")
            headers = dict(line.lower().split(": ", 1) for line in lines)
            body = await self.reader.readexactly(int(headers.get("content-length", 0)))
        return int(first.split()[1]), headers, body

    async def refused(self, data: bytes = b"") -> tuple[int, str]:
        """Send `data`; the status and reason of the answer, after which the connection must end."""
        status, headers, body = await self.ask(data)
        assert headers["connection"] == "close"
        assert headers["content-type"] == "application/json"
        await self.ended()
        return status, json.loads(body)["detail"]["msg"]

    async def ended(self) -> None:
        """Return when the server has ended the connection; nothing more must come."""
        async with asyncio.timeout(10):
            assert await self.reader.read() == b""

    async def trickle(self, data: bytes) -> None:
        """Send `data` again and again until the server has had enough."""
        async with asyncio.timeout(10):
            while not (self.reader.at_eof() or self.reader.exception()):
                self.writer.write(data)
                await asyncio.sleep(0)

    async def gone(self) -> None:
        """The same where the connection may be reset."""
        async with asyncio.timeout(10):
            try:
                while await self.reader.read(65536):
                    pass
            except ConnectionError:
                pass


@dataclass
class House:
    """A server and those who call it."""

    app: App
    entrance: Entrance
    port: int
    callers: list[Caller] = field(default_factory=list)

    async def call(self) -> Caller:
        caller = Caller(*await asyncio.open_connection(HOST, self.port))
        self.callers.append(caller)
        return caller


@asynccontextmanager
async def house(**limits: Any) -> AsyncIterator[House]:
    app, entrance = App(), Entrance(ConnectionLimits(**limits))
    async with serving(app, entrance=entrance) as endpoint:
        opened = House(app, entrance, int(endpoint.url.rpartition(":")[2]))
        try:
            yield opened
        finally:
            app.may_answer.set()
            for caller in opened.callers:
                caller.writer.transport.abort()


# What goes through --------------------------------------------------------------------------------------------------


async def test_a_connection_is_kept_from_answer_to_answer() -> None:
    async with house() as server:
        caller = await server.call()
        for body in (b"", b"abc", b"x" * 300_000):
            status, headers, answer = await caller.ask(HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body)
            assert (status, answer) == (200, b"%d" % len(body))
            assert "connection" not in headers
        assert (await caller.ask(CHUNKED + b"3;a=b\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"))[2] == b"5"


async def test_it_ends_where_the_caller_says_so_or_speaks_http_1_0() -> None:
    async with house() as server:
        for head in (b"GET /answer HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", b"GET /answer HTTP/1.0\r\n\r\n"):
            caller = await server.call()
            status, headers, _ = await caller.ask(head + GET)
            assert (status, headers["connection"]) == (200, "close")
            await caller.ended()
        assert server.app.seen == ["/answer"] * 2, "nothing is read after the last request"


async def test_the_body_is_asked_for_when_it_is_read() -> None:
    async with house() as server:
        caller = await server.call()
        caller.writer.write(HEAD + b"Expect: 100-continue\r\nContent-Length: 3\r\n\r\n")
        assert await caller.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        assert (await caller.ask(b"abc"))[2] == b"3"
        asked = GET[:-2] + b"Expect: 100-continue\r\nContent-Length: 3\r\n\r\n"
        assert (await caller.ask(asked))[0] == 200, "and not where nobody reads it"


async def test_values_lose_the_space_around_them_and_nothing_else() -> None:
    async with house() as server:
        caller = await server.call()
        await caller.ask(b"GET /answer HTTP/1.1\r\nHOST: x \r\nX-Some:  a b\t\r\n\r\n")
        assert server.app.headers == [(b"host", b"x"), (b"x-some", b"a b")]


async def test_trailers_are_no_headers() -> None:
    async with house() as server:
        caller = await server.call()
        caller.writer.write(CHUNKED + b"1\r\na\r\n")
        await until(lambda: bool(server.app.seen))
        before = list(server.app.headers)
        assert (await caller.ask(b"0\r\nAuthorization: Bearer x\r\n\r\n"))[2] == b"1"
        assert server.app.headers == before


async def test_another_protocol_is_not_spoken() -> None:
    async with house() as server:
        caller = await server.call()
        ask = GET[:-2] + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
        status, headers, _ = await caller.ask(ask)
        assert (status, headers["connection"]) == (200, "close")
        await caller.ended()


# One after the other ------------------------------------------------------------------------------------------------


async def test_requests_that_are_sent_at_once_are_answered_in_turn() -> None:
    async with house() as server:
        caller = await server.call()
        caller.writer.write(GET + HEAD + b"Content-Length: 3\r\n\r\nabc" + GET.replace(b"/answer", b"/wait") + GET)
        assert [(await caller.answer())[2] for _ in range(2)] == [b"ok", b"3"]
        await until(lambda: server.app.seen == ["/answer", "/read", "/wait"])
        server.app.may_answer.set()
        assert [(await caller.answer())[2] for _ in range(2)] == [b"ok", b"ok"]
        assert (await caller.ask(GET))[0] == 200


async def test_a_body_that_waits_for_its_turn_is_not_read_without_end() -> None:
    async with house() as server:
        caller = await server.call()
        caller.writer.write(GET.replace(b"/answer", b"/wait") + HEAD + b"Content-Length: 30000000\r\n\r\n")
        await until(lambda: server.app.seen == ["/wait"])
        caller.writer.write(b"x" * 30_000_000)
        with pytest.raises(TimeoutError):  # what fills every buffer between the two ends does not leave
            await asyncio.wait_for(caller.writer.drain(), SHORT)
        server.app.may_answer.set()
        assert [(await caller.answer())[2] for _ in range(2)] == [b"ok", b"30000000"]


async def test_of_very_many_the_first_are_answered() -> None:
    async with house() as server:
        caller = await server.call()
        caller.writer.write(GET.replace(b"/answer", b"/wait") + GET * 1000)
        await until(lambda: server.app.seen == ["/wait"])
        server.app.may_answer.set()
        answers = [await caller.answer() for _ in range(1 + protocol._PIPELINED)]
        assert [headers.get("connection") for _, headers, _ in answers] == [None] * protocol._PIPELINED + ["close"]
        await caller.ended()


@pytest.mark.parametrize("wrong", [b"GET / HTTP/3.7\r\n\r\n", CHUNKED + b"nonsense\r\n"], ids=["head", "body"])
async def test_what_makes_no_sense_does_not_disturb_the_answers_before_it(wrong: bytes) -> None:
    async with house() as server:
        caller = await server.call()
        caller.writer.write(GET.replace(b"/answer", b"/wait") + wrong)
        await until(lambda: server.entrance.refused.total() == 1)
        server.app.may_answer.set()
        status, headers, body = await caller.answer()
        assert (status, headers["connection"], body) == (200, "close", b"ok")
        await caller.ended()
        assert server.app.seen == ["/wait"]


# Sizes --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "head",
    [
        pytest.param(GET[:-2] + b"X: " + b"x" * 2000 + b"\r\n\r\n", id="one header"),
        pytest.param(GET[:-2] + b"X: " + b"x" * 2000, id="one that does not end"),
        pytest.param(GET[:-2] + b"X: xxxxxxxxxxxxxxxxxxxx\r\n" * 90, id="many"),
        pytest.param(GET[:-2] + b"X: y\r\n" * 101, id="very many"),
        pytest.param(b"GET /" + b"x" * 2000, id="line"),
        pytest.param(GET[:-2] + b"x" * 2000, id="name"),
    ],
)
@pytest.mark.parametrize("pieces", [1, 7])
async def test_a_head_is_bounded(head: bytes, pieces: int) -> None:
    async with house(head_bytes=1024) as server:
        caller = await server.call()
        size = -(-len(head) // pieces)
        for start in range(0, len(head), size):
            caller.writer.write(head[start : start + size])
            await caller.writer.drain()
        status, msg = await caller.refused()
        assert status == 431
        assert "headers" in msg
        assert server.app.seen == []


async def test_a_head_within_the_bounds_is_taken_whole() -> None:
    async with house(head_bytes=2048) as server:
        caller = await server.call()
        assert (await caller.ask(GET[:-2] + b"X: y\r\n" * 99 + b"Y: " + b"x" * 1000 + b"\r\n\r\n"))[0] == 431
        caller = await server.call()
        assert (await caller.ask(GET[:-2] + b"X: y\r\n" * 98 + b"Y: " + b"x" * 1000 + b"\r\n\r\n"))[0] == 200


@pytest.mark.parametrize(
    "rest",
    [
        pytest.param(b"0\r\nX: " + b"x" * 300_000, id="trailer"),
        pytest.param(b"0\r\n" + b"X: y\r\n" * 50_000, id="trailers"),
        pytest.param(b"3;" + b"x" * 300_000, id="extension"),
    ],
)
async def test_what_comes_between_and_after_chunks_is_bounded(rest: bytes) -> None:
    async with house(head_bytes=1024) as server:
        caller = await server.call()
        caller.writer.write(CHUNKED + b"1\r\na\r\n" + rest)
        status, _ = await caller.refused()
        assert status in (400, 431)
        await until(lambda: server.app.left == ["/read"])


async def test_line_feeds_without_a_request_are_bounded() -> None:
    async with house(head_bytes=1024) as server:
        caller = await server.call()
        assert (await caller.refused(b"\r\n" * 100_000))[0] == 400


@pytest.mark.parametrize("head", [CHUNKED + b"ffffffff\r\n", HEAD + b"Content-Length: 999999999\r\n\r\n"])
async def test_a_body_that_is_read_is_bounded_whatever_the_route(head: bytes) -> None:
    async with house(body_bytes=1000) as server:
        caller = await server.call()
        caller.writer.write(head + b"x" * (1000 + protocol_read_ahead() + 1))
        assert await caller.refused() == (413, "the body is larger than the 1000 bytes that are taken")
        await until(lambda: server.app.left == ["/read"])


def protocol_read_ahead() -> int:
    from easel_http import parsing

    return parsing._READ_AHEAD


async def test_a_body_that_nobody_reads_is_not_kept() -> None:
    async with house(body_bytes=1000) as server:
        caller = await server.call()
        head = GET[:-2] + b"Content-Length: 20000000\r\n\r\n"
        assert (await caller.ask(head + b"x" * 20_000_000 + GET))[0] == 200
        assert (await caller.answer())[0] == 200


# Times --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sent", [b"GET /answer HT", GET[:-2], HEAD + b"Content-Le"])
async def test_a_head_that_does_not_end_is_not_waited_for(sent: bytes) -> None:
    async with house(head_seconds=SHORT) as server:
        caller = await server.call()
        assert await caller.refused(sent) == (408, f"the head of the request did not arrive within {SHORT} seconds")


async def test_a_head_that_comes_byte_by_byte_is_not_waited_for_either() -> None:
    async with house(head_seconds=SHORT, head_bytes=1 << 40) as server:
        caller = await server.call()
        caller.writer.write(GET[:-2] + b"X: ")
        async with asyncio.timeout(10):
            while not server.entrance.refused:
                caller.writer.write(b"x")
                await asyncio.sleep(0)
        assert (await caller.refused())[0] == 408


async def test_the_time_of_a_head_runs_for_each_request_of_a_connection() -> None:
    async with house(head_seconds=SHORT, idle_seconds=600) as server:
        caller = await server.call()
        assert (await caller.ask(GET))[0] == 200
        assert (await caller.refused(GET[:-2]))[0] == 408


async def test_a_connection_without_a_request_is_closed() -> None:
    async with house(head_seconds=SHORT) as server:
        await (await server.call()).ended()


async def test_a_connection_without_a_next_request_is_closed() -> None:
    async with house(idle_seconds=SHORT) as server:
        caller = await server.call()
        assert (await caller.ask(GET))[0] == 200
        await caller.ended()


async def test_line_feeds_do_not_keep_a_connection() -> None:
    async with house(idle_seconds=SHORT, head_bytes=1 << 40) as server:
        caller = await server.call()
        assert (await caller.ask(GET))[0] == 200
        await caller.trickle(b"\r\n")


async def test_work_has_no_limit_here() -> None:
    async with house(head_seconds=SHORT, idle_seconds=SHORT, rest_seconds=SHORT, send_seconds=SHORT) as server:
        caller, other = await server.call(), await server.call()
        caller.writer.write(GET.replace(b"/answer", b"/wait"))
        await other.ended()  # whose time began no earlier
        server.app.may_answer.set()
        assert (await caller.answer())[0] == 200


@pytest.mark.parametrize("is_trickled", [True, False])
async def test_the_rest_of_a_body_that_nobody_reads_is_not_waited_for(*, is_trickled: bool) -> None:
    async with house(rest_seconds=SHORT, idle_seconds=600) as server:
        caller = await server.call()
        assert (await caller.ask(GET[:-2] + b"Content-Length: 999999999\r\n\r\n"))[0] == 200
        if is_trickled:
            await caller.trickle(b"x")
        await caller.gone()


async def test_a_caller_who_takes_nothing_is_let_go() -> None:
    async with house(send_seconds=SHORT) as server:
        caller = await server.call()
        caller.writer.write(GET.replace(b"/answer", b"/flood"))
        caller.writer.transport.pause_reading()  # type: ignore[attr-defined]
        async with asyncio.timeout(10):
            await until(lambda: server.app.seen == ["/flood"])
            await until(lambda: server.app.ended == ["/flood"])


# Who comes beyond ---------------------------------------------------------------------------------------------------


async def test_of_too_many_connections_the_later_ones_are_told_so() -> None:
    async with house(connections=1) as server:
        first, second = await server.call(), None
        assert (await first.ask(GET))[0] == 200
        second = await server.call()
        status, headers, _ = await second.ask(GET.replace(b"/answer", b"/livez"))
        assert (status, headers["connection"]) == (200, "close")
        third = await server.call()
        assert await third.refused(GET) == (503, "1 connections are open already")
        assert (await first.ask(GET))[0] == 200
        assert server.app.seen == ["/answer", "/livez", "/answer"]


async def test_of_far_too_many_the_last_are_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "_SPARE", 0)
    async with house(connections=1) as server:
        first = await server.call()
        assert (await first.ask(GET))[0] == 200
        await (await server.call()).gone()
        assert server.entrance.refused[0] == 1
        assert (await first.ask(GET))[0] == 200


async def test_who_comes_while_the_server_leaves_is_answered_and_sent_elsewhere() -> None:
    async with house() as server:
        caller = await server.call()
        assert "connection" not in (await caller.ask(GET))[1]
        server.entrance.leaving = True
        status, headers, _ = await caller.ask(GET)
        assert (status, headers["connection"]) == (200, "close")
        await caller.ended()


# Answers that come before the end of the request ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "sent",
    [
        GET[:-2] + b"Connection: close\r\nContent-Length: 20000000\r\n\r\n",
        b"GET /answer HTTP/1.0\r\nContent-Length: 20000000\r\n\r\n",
    ],
)
async def test_who_sends_all_before_it_reads_gets_the_answer(sent: bytes) -> None:
    async with house() as server:
        caller = await server.call()
        caller.writer.write(sent + b"x" * 20_000_000)
        async with asyncio.timeout(10):
            await caller.writer.drain()
        assert (await caller.answer())[0] == 200
        await caller.ended()


async def test_who_sends_far_too_many_headers_gets_the_refusal() -> None:
    async with house() as server:
        caller = await server.call()
        caller.writer.write(GET[:-2] + b"X: yyyyyyyyyyyyyyyyyyy\r\n" * 500_000)
        async with asyncio.timeout(10):
            await caller.writer.drain()
        assert (await caller.refused())[0] == 431
