"""The gateway's server at its end: who is answered, who is sent elsewhere, and that there is one."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest
from fastapi import FastAPI
from fastapi.responses import StreamingResponse

from easel_gateway.events import EventStream, Untold
from easel_gateway.metrics import Metrics
from easel_gateway.server import Server, listen, new_server, run
from easel_gateway.settings import Settings
from easel_http.requests import Requests
from support.orders import order
from support.runtimes import HOST, until


@dataclass
class House:
    """A server, its end, and a client."""

    server: Server
    client: aiohttp.ClientSession
    serving: asyncio.Task[None]
    url: str
    may_end: asyncio.Event = field(default_factory=asyncio.Event)
    working: asyncio.Event = field(default_factory=asyncio.Event)

    async def end(self) -> None:
        self.server.should_exit = True
        async with asyncio.timeout(10):
            await self.serving


@asynccontextmanager
async def house(drain_seconds: int = 60, **settings: float) -> AsyncIterator[House]:
    app = FastAPI()
    app.add_middleware(Requests, tell=lambda _: None, stopping="the gateway is stopping")
    server = new_server(app, Settings(**settings), drain_seconds)  # type: ignore[arg-type]
    with listen(HOST, 0) as listening:
        serving = asyncio.create_task(server.serve(sockets=[listening]))
        async with aiohttp.ClientSession() as client:
            opened = House(server, client, serving, f"http://{HOST}:{listening.getsockname()[1]}")

            @app.get("/")
            async def at_once() -> str:
                return "ok"

            @app.get("/slow")
            async def slow() -> str:
                opened.working.set()
                await opened.may_end.wait()
                return "ok"

            @app.get("/pieces")
            async def pieces() -> StreamingResponse:
                async def all_of_them() -> AsyncIterator[bytes]:
                    yield b"one "
                    opened.working.set()
                    await opened.may_end.wait()
                    yield b"two"

                return StreamingResponse(all_of_them())

            @app.get("/told")
            async def told() -> EventStream:
                async def work(untold: Untold) -> tuple[dict[str, Any], dict[str, str]]:
                    untold.accepted(order())
                    opened.working.set()
                    await asyncio.Event().wait()
                    raise AssertionError

                return EventStream(work, "the gateway is stopping")

            try:
                yield opened
            finally:
                opened.may_end.set()
                await opened.end()


async def test_before_its_end_callers_are_answered_and_sent_elsewhere() -> None:
    async with house() as opened:
        slow = asyncio.create_task(opened.client.get(opened.url + "/slow"))
        await opened.working.wait()
        async with opened.client.get(opened.url) as answer:
            assert answer.headers.get("connection") is None
        opened.server.leave()
        async with opened.client.get(opened.url) as answer:
            assert (answer.status, answer.headers["connection"]) == (200, "close")
        opened.may_end.set()
        async with await slow as answer:
            assert (answer.status, answer.headers["connection"]) == (200, "close")


@pytest.mark.parametrize("path", ["/slow", "/pieces"])
async def test_what_is_being_answered_ends_well(path: str) -> None:
    async with house() as opened:
        asking = asyncio.create_task(opened.client.get(opened.url + path))
        await opened.working.wait()
        opened.server.should_exit = True
        await until(lambda: not opened.server.servers[0].is_serving())
        opened.may_end.set()
        async with await asking as answer:
            assert (await answer.text()).strip('"') in ("ok", "one two")
        await opened.end()


async def test_kept_connections_do_not_hold_up_the_end() -> None:
    async with house(idle_seconds=600) as opened:
        async with opened.client.get(opened.url) as answer:
            assert answer.status == 200
        assert opened.server.connections == 1
        await opened.end()


async def test_work_that_does_not_end_is_ended_with_an_answer() -> None:
    async with house(drain_seconds=1) as opened:
        asking = asyncio.create_task(opened.client.get(opened.url + "/slow"))
        await opened.working.wait()
        await opened.end()
        async with await asking as answer:
            assert (answer.status, answer.headers["connection"]) == (503, "close")
            assert await answer.json() == {"detail": {"msg": "the gateway is stopping"}}


async def test_work_that_does_not_end_and_is_told_of_is_ended_with_an_event() -> None:
    async with house(drain_seconds=1) as opened, opened.client.get(opened.url + "/told") as answer:
        await opened.working.wait()
        await opened.end()
        last = (await answer.text()).splitlines()[-3:-1]
    assert last[0] == "event: error"
    assert json.loads(last[1].removeprefix("data: ")) == {
        "status": 503,
        "detail": {"msg": "the gateway is stopping"},
        "retry_after": 1,
    }


async def test_an_upload_that_does_not_end_does_not_hold_up_the_end() -> None:
    async with house(drain_seconds=1) as opened:
        reader, writer = await asyncio.open_connection(HOST, int(opened.url.rpartition(":")[2]))
        writer.write(b"POST /slow HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc")
        await reader.readuntil(b"\r\n\r\n")
        await opened.end()
        writer.close()


async def test_its_settings_hold_and_its_numbers_can_be_followed() -> None:
    async with house(connections=1) as opened:
        metrics = Metrics(dict)
        metrics.follow_server(lambda: opened.server.connections, opened.server.entrance.refused)
        async with opened.client.get(opened.url) as answer:
            assert answer.status == 200
        async with aiohttp.ClientSession() as other, other.get(opened.url) as answer:
            assert (answer.status, answer.headers["retry-after"]) == (503, "1")
        text, _ = await metrics.exposition("")
        assert b'easel_gateway_refused_total{status="503"} 1.0' in text


def test_it_runs_on_uvloop() -> None:
    async def loop() -> str:
        return type(asyncio.get_running_loop()).__module__

    assert run(loop()) == "uvloop"
