"""The runtime's application around a toy engine, called in the test's own process without a socket."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from httpx2 import ASGITransport, AsyncClient, Response

from easel_runtime.app import create_app
from support.engines import ToyEngine
from support.pictures import form, png
from support.runtimes import toy_settings

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

TEXTS = {"prompt": "a cat", "seed": "7", "num_inference_steps": "2"}
PNG = png()
NOTHING: Mapping[str, str] = MappingProxyType({})


@dataclass
class Runtime:
    """A running runtime and a client of it."""

    app: Any
    client: AsyncClient
    engine: ToyEngine
    failures: list[str] = field(default_factory=list)

    async def post(
        self, image: bytes = PNG, *, path: str = "/image-to-image", headers: Mapping[str, str] = NOTHING, **texts: str
    ) -> Response:
        content_type, body = form({**TEXTS, **texts}, image)
        return await self.client.post(path, content=body, headers={"content-type": content_type, **headers})

    async def status(self) -> Any:
        return (await self.client.get("/health")).json()

    async def until_loaded(self) -> None:
        """The model's state has left LOADING; it tells nobody, so it is asked."""
        async with asyncio.timeout(30):
            while (await self.status())["status"] == "LOADING":  # noqa: ASYNC110 (there is no event)
                await asyncio.sleep(0)

    async def until_in_flight(self, count: int) -> None:
        """So many requests hold a place."""
        async with asyncio.timeout(30):
            while (await self.status())["in_flight"] != count:  # noqa: ASYNC110
                await asyncio.sleep(0)


@asynccontextmanager
async def running(
    engine: ToyEngine | None = None, *, loaded: bool = True, traces: "TracerProvider | None" = None, **settings: Any
) -> AsyncIterator[Runtime]:
    """A runtime that serves `engine`; whatever that holds back is let go in the end."""
    engine = engine or ToyEngine()
    failures: list[str] = []
    app = create_app(toy_settings(**settings), engine, failures.append, traces)
    try:
        async with (
            app.router.lifespan_context(app),
            AsyncClient(transport=ASGITransport(app), base_url="http://runtime") as client,
        ):
            runtime = Runtime(app, client, engine, failures)
            if loaded:
                await runtime.until_loaded()
            yield runtime
    finally:
        engine.may_load.set()
        engine.may_step.set()
        engine.may_load_checker.set()


async def until_in_step(engine: ToyEngine) -> None:
    assert await asyncio.to_thread(engine.in_step.wait, 30)
