"""A full runtime refuses before it reads: its answer must reach callers who are still sending."""

import asyncio
import http.client
import os
from contextlib import closing
from urllib.parse import urlsplit

import pytest

from easel_http import lingering
from support.engines import ToyEngine
from support.pictures import form, png
from support.runtimes import Runtime, runtime, until

TEXTS = {"prompt": "a cat", "seed": "7", "num_inference_steps": "1"}
LARGE = 32 << 20
"""Bytes, more than the two ends of a connection hold for each other."""


def connection(toy: Runtime) -> http.client.HTTPConnection:
    return http.client.HTTPConnection(urlsplit(toy.endpoint.url).netloc, timeout=30)


def post(client: http.client.HTTPConnection, body: bytes, content_type: str, **headers: str) -> int:
    """Send all of the body, and only then read the answer; its status."""
    client.request("POST", "/image-to-image", body, {"Content-Type": content_type, **headers})
    answer = client.getresponse()
    answer.read()
    return answer.status


@pytest.mark.parametrize("headers", [{}, {"Connection": "close"}], ids=["kept", "closed"])
async def test_a_caller_who_sends_all_before_it_reads_gets_the_refusal(headers: dict[str, str]) -> None:
    content_type, body = form(TEXTS, os.urandom(LARGE))
    async with runtime(ToyEngine(), queue=1) as toy:
        with closing(connection(toy)) as client, toy.worker.admit():
            assert await asyncio.to_thread(post, client, body, content_type, **headers) == 429
            assert toy.worker.in_flight == 1


async def test_a_connection_goes_on_after_a_refusal() -> None:
    content_type, body = form(TEXTS, os.urandom(LARGE))
    async with runtime(ToyEngine(), queue=1) as toy:
        with closing(connection(toy)) as client:
            with toy.worker.admit():
                assert await asyncio.to_thread(post, client, body, content_type) == 429
            first = client.sock
            assert await asyncio.to_thread(post, client, form(TEXTS, png())[1], content_type) == 200
            assert client.sock is first


async def test_the_answer_comes_before_the_upload() -> None:
    async with runtime(ToyEngine(), queue=1) as toy, asyncio.timeout(30):
        with toy.worker.admit():
            reader, writer = await asyncio.open_connection("127.0.0.1", urlsplit(toy.endpoint.url).port)
            writer.write(b"POST /image-to-image HTTP/1.0\r\nContent-Length: 1000000\r\n\r\n")
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
            assert b" 429 " in head
            assert b"all 1 places" in await reader.readexactly(length)
            writer.close()


async def test_a_caller_who_never_sends_the_rest_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lingering, "_SECONDS", 0.05)
    async with runtime(ToyEngine(), queue=1) as toy:
        with toy.worker.admit():
            reader, writer = await asyncio.open_connection("127.0.0.1", urlsplit(toy.endpoint.url).port)
            writer.write(b"POST /image-to-image HTTP/1.0\r\nContent-Length: 1000000\r\n\r\n")
            async with asyncio.timeout(30):
                assert b" 429 " in await reader.read()
            writer.close()


async def test_a_caller_who_waits_to_be_asked_for_the_body_is_not_asked() -> None:
    content_type, body = form(TEXTS, png())
    async with runtime(ToyEngine(), queue=1) as toy:
        with toy.worker.admit():
            reader, writer = await asyncio.open_connection("127.0.0.1", urlsplit(toy.endpoint.url).port)
            head = f"Content-Type: {content_type}\r\nContent-Length: {len(body)}\r\nExpect: 100-continue\r\n"
            writer.write(f"POST /image-to-image HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{head}\r\n".encode())
            assert (await reader.readline()).startswith(b"HTTP/1.1 429 ")
            writer.close()
        await until(lambda: toy.worker.in_flight == 0)
