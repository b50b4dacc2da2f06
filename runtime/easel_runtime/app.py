"""The runtime's application: settings and an engine in, an ASGI application out."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from fastapi import FastAPI

from easel_crds import __version__
from easel_http import errors
from easel_runtime.engine import Engine
from easel_runtime.routes import health, images
from easel_runtime.settings import Settings
from easel_runtime.worker import Worker


def _nothing(_: str) -> None:
    pass


def create_app(settings: Settings, engine: Engine, on_load_failure: Callable[[str], None] = _nothing) -> FastAPI:
    """The application. The model is loaded after start-up, while `/health` already says LOADING.

    A function, not a module-level object: each test gets its own, with an engine of its own.
    """
    worker = Worker(engine, queue=settings.queue, deadline_seconds=settings.deadline_seconds)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        loading = asyncio.create_task(worker.load(on_load_failure))
        yield
        loading.cancel()
        await asyncio.gather(loading, return_exceptions=True)
        await worker.close()

    app = FastAPI(title="Easel runtime", version=__version__, lifespan=lifespan)
    app.state.settings = settings
    app.state.worker = worker
    app.include_router(images.router)
    app.include_router(health.router)
    errors.install(app)
    return app
