"""The whole gateway behind a real socket, with runtimes behind it and an ordinary HTTP client in front."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
from fastapi import FastAPI

from easel_gateway.app import create_app
from easel_gateway.directory import Endpoint, Entry
from easel_gateway.keys import KeyRing
from easel_gateway.ledger import Ledger
from easel_gateway.results import ResultStore
from easel_gateway.results.folder import FolderStore
from easel_gateway.settings import Settings
from support.directory import MemoryDirectory, entry
from support.engines import ToyEngine
from support.event_stream import Stream
from support.pictures import form, png
from support.runtimes import Runtime, runtime, serving

SEED_CALL = {"model_id": "easel/demo", "prompt": "make it night"}
IMAGE = png(64, 48)


class House:
    """A gateway, its directory, the runtimes behind it, and a client."""

    def __init__(self, stack: AsyncExitStack, folder: Path) -> None:
        self.directory = MemoryDirectory()
        self.folder = folder
        self.url = ""
        self._stack = stack
        self.app: FastAPI
        self._client: aiohttp.ClientSession

    async def open(
        self,
        *entries: Entry,
        ledger: Ledger | None = None,
        keys: KeyRing | None = None,
        results: ResultStore | None = None,
        **settings: Any,
    ) -> None:
        """Start the gateway."""
        self.directory.put(*entries)
        results = results or FolderStore(self.folder, 3600)
        self.app = create_app(Settings(**settings), self.directory, results, ledger, keys)
        self.url = (await self._stack.enter_async_context(serving(self.app, "gateway"))).url
        # Entered last and so left first: the gateway ends at once when nobody is connected to it.
        self._client = await self._stack.enter_async_context(aiohttp.ClientSession())

    def on_end(self, call: Callable[[], Awaitable[None]]) -> None:
        """Have `call` called when all that was started since has ended."""
        self._stack.push_async_callback(call)

    async def runtime(self, engine: ToyEngine | None = None, name: str = "demo-1", **settings: Any) -> Runtime:
        """Start a runtime."""
        return await self._stack.enter_async_context(runtime(engine or ToyEngine(), name, **settings))

    async def get(self, path: str, **options: Any) -> "Answer":
        async with self._client.get(path if "://" in path else self.url + path, **options) as response:
            return Answer(response.status, dict(response.headers), await response.read())

    async def send(self, content_type: str, body: Any, path: str = "/image-to-image", **headers: str) -> "Answer":
        sent = {"Content-Type": content_type, **headers}
        async with self._client.post(self.url + path, data=body, headers=sent) as response:
            return Answer(response.status, dict(response.headers), await response.read())

    async def ask(self, image: bytes = IMAGE, /, **texts: str) -> "Answer":
        """The seed call, with more or other fields."""
        return await self.send(*form({**SEED_CALL, **texts}, image))

    @asynccontextmanager
    async def told(self, image: bytes = IMAGE, /, *, headers: Any = None, **texts: str) -> AsyncIterator[Stream]:
        """The seed call, its answer asked for as events; the caller has left when the context ends."""
        content_type, body = form({**SEED_CALL, **texts}, image)
        sent = {"Content-Type": content_type, "Accept": "text/event-stream", **(headers or {})}
        async with self._client.post(f"{self.url}/image-to-image", data=body, headers=sent) as response:
            named = {name.lower(): value for name, value in response.headers.items()}
            lines = (line.decode().rstrip("\n") async for line in response.content)
            yield Stream(response.status, named, lines)
            response.close()


class Answer:
    """What a client received."""

    def __init__(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.status = status
        self.headers = {name.lower(): value for name, value in headers.items()}
        self.body = body

    @property
    def json(self) -> Any:
        assert self.headers["content-type"] == "application/json"
        return json.loads(self.body)

    @property
    def urls(self) -> list[str]:
        assert self.status == 200, self.body
        return [image["url"] for image in self.json["images"]]

    @property
    def msg(self) -> str:
        """The reason of an error."""
        msg: str = self.json["detail"]["msg"]
        return msg

    @property
    def wrong(self) -> set[str]:
        """Names of the fields that a 422 is about."""
        assert self.status == 422, self.body
        assert all(problem.keys() == {"type", "loc", "msg", "input"} for problem in self.json["detail"])
        return {problem["loc"][-1] for problem in self.json["detail"] if problem["loc"][0] == "body"}


def ready(*endpoints: Endpoint) -> Entry:
    return replace(entry(), endpoints=endpoints)


async def open_with(house: House, *engines: ToyEngine, **settings: Any) -> list[Runtime]:
    """A gateway with one model, and a runtime around each engine."""
    runtimes = [await house.runtime(engine, f"demo-{number}") for number, engine in enumerate(engines, 1)]
    await house.open(ready(*(each.endpoint for each in runtimes)), **settings)
    return runtimes
