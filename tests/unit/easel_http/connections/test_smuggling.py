"""Requests that two servers in a row may read differently: none of them comes to an application."""

import pytest

from support.connections import CHUNKED, GET, HEAD, house
from support.runtimes import until

SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
LENGTH = b"Content-Length: %d\r\n" % len(SMUGGLED)
UPGRADE = b"Connection: upgrade\r\nUpgrade: h2c\r\n"
HEADS = {
    "two lengths": HEAD + LENGTH + b"Content-Length: 0\r\n",
    "one length twice": HEAD + LENGTH + LENGTH,
    "a list of lengths": HEAD + b"Content-Length: 0, 0\r\n",
    "a length with a sign": HEAD + b"Content-Length: +0\r\n",
    "a length below zero": HEAD + b"Content-Length: -1\r\n",
    "a length without an end": HEAD + b"Content-Length: 99999999999999999999999\r\n",
    "no length": HEAD + b"Content-Length:\r\n",
    "a length and chunks": HEAD + LENGTH + b"Transfer-Encoding: chunked\r\n",
    "chunks and a length": HEAD + b"Transfer-Encoding: chunked\r\n" + LENGTH,
    "an encoding that sounds like chunks": HEAD + b"Transfer-Encoding: xchunked\r\n",
    "an encoding before chunks": HEAD + b"Transfer-Encoding: gzip, chunked\r\n",
    "an encoding after chunks": HEAD + b"Transfer-Encoding: chunked, identity\r\n",
    "two encodings": HEAD + b"Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n",
    "chunks twice": HEAD + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
    "chunks behind a vertical tab": HEAD + b"Transfer-Encoding: \x0bchunked\r\n",
    "chunks in HTTP/1.0": HEAD.replace(b"1.1", b"1.0") + b"Transfer-Encoding: chunked\r\n",
    "a name with a space": HEAD + b"Content-Length : 0\r\n",
    "a name of nothing": HEAD + b": 0\r\n",
    "a line without a name": HEAD + b"nonsense\r\n",
    "a folded header": HEAD + b"X: y\r\n z\r\n",
    "a folded first header": b"POST /read HTTP/1.1\r\n X: y\r\nHost: x\r\n",
    "a bare line feed": HEAD + b"X: y\nContent-Length: 0\r\n",
    "bare line feeds": HEAD.replace(b"\r\n", b"\n"),
    "a bare carriage return": HEAD + b"X: y\rZ: 0\r\n",
    "a NUL": HEAD + b"X: y\0z\r\n",
    "a control character": HEAD + b"X: y\x01z\r\n",
    "two hosts": HEAD + b"Host: y\r\n",
    "no host": b"POST /read HTTP/1.1\r\n",
    "another version": HEAD.replace(b"1.1", b"2.0"),
    "an old version": HEAD.replace(b"1.1", b"0.9"),
    "the preface of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n",
    "a body and another protocol": HEAD + UPGRADE + LENGTH,
    "chunks and another protocol": HEAD + UPGRADE + b"Transfer-Encoding: chunked\r\n",
    "a tunnel": b"CONNECT x:80 HTTP/1.1\r\nHost: x:80\r\n",
    "a path that is not ASCII": HEAD.replace(b"/read", "/é".encode()),
    "a method of nobody": HEAD.replace(b"POST", b"SMUGGLE"),
}
BODIES = {
    "a size that is no number": b"xyz\r\n",
    "a size with a sign": b"+3\r\nabc\r\n0\r\n\r\n",
    "a size with a prefix": b"0x3\r\nabc\r\n0\r\n\r\n",
    "a size without an end": b"fffffffffffffffff\r\n",
    "a bare line feed after the size": b"3\nabc\r\n0\r\n\r\n",
    "a bare line feed after an extension": b"3;a\nabc\r\n0\r\n\r\n",
    "no line's end after the bytes": b"3\r\nabc0\r\n\r\n",
}


@pytest.mark.parametrize("in_pieces", [False, True])
@pytest.mark.parametrize("head", [pytest.param(head, id=name) for name, head in HEADS.items()])
async def test_a_head_of_two_meanings_is_refused(head: bytes, *, in_pieces: bool) -> None:
    async with house() as server:
        caller = await server.call()
        sent = head + b"\r\n" + SMUGGLED
        for piece in (sent[i : i + 1] for i in range(len(sent))) if in_pieces else (sent,):
            caller.writer.write(piece)
            await caller.writer.drain()
        assert (await caller.refused())[0] == 400
        assert server.app.seen == []


@pytest.mark.parametrize("body", [pytest.param(body, id=name) for name, body in BODIES.items()])
async def test_a_body_of_two_meanings_is_refused(body: bytes) -> None:
    async with house() as server:
        caller = await server.call()
        assert (await caller.refused(CHUNKED + body + SMUGGLED))[0] == 400
        await until(lambda: server.app.left == ["/read"])
        assert server.app.seen == ["/read"]


async def test_a_body_is_never_read_as_a_request() -> None:
    async with house() as server:
        caller = await server.call()
        for head in (HEAD + LENGTH, GET[:-2] + LENGTH):
            assert (await caller.ask(head + b"\r\n" + SMUGGLED))[0] == 200
        chunk = b"%x\r\n%s\r\n0\r\n\r\n" % (len(SMUGGLED), SMUGGLED)
        assert (await caller.ask(CHUNKED + chunk))[2] == b"%d" % len(SMUGGLED)
        assert server.app.seen == ["/read", "/answer", "/read"]


@pytest.mark.parametrize("close", [UPGRADE, b"Connection: close\r\n"])
async def test_what_follows_the_last_request_of_a_connection_is_not_read(close: bytes) -> None:
    async with house() as server:
        caller = await server.call()
        assert (await caller.ask(GET[:-2] + close + b"\r\n" + SMUGGLED))[0] == 200
        await caller.ended()
        assert server.app.seen == ["/answer"]
