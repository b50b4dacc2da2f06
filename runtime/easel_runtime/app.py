"""The runtime's application: settings and an engine in, an ASGI application out."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from fastapi import FastAPI

from easel_crds import __version__
from easel_http import errors
from easel_http.lingering import Lingering
from easel_http.requests import Requests
from easel_http.tracing import Traced
from easel_runtime.document import DocumentedApp
from easel_runtime.engine import Engine
from easel_runtime.fetching import Fetching
from easel_runtime.hardware import Hardware
from easel_runtime.images import DECODERS
from easel_runtime.metrics import Metrics
from easel_runtime.middleware import StrictStatuses, Told
from easel_runtime.progress import Download, hub_cache
from easel_runtime.routes import hardware, health, images
from easel_runtime.settings import Settings
from easel_runtime.worker import Worker

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider


def _nothing(_: str) -> None:
    pass


def create_app(
    settings: Settings,
    engine: Engine,
    on_failure: Callable[[str], None] = _nothing,
    traces: "TracerProvider | None" = None,
) -> FastAPI:
    """The application. The model is loaded after start-up, while `/health` already says LOADING.

    `on_failure` gets the reason when only a restart can help: the model cannot be loaded, or does not work any more.
    `traces` gets a span for each request, if there is one.

    A function, not a module-level object: each test gets its own, with an engine of its own.
    """
    gpus = Hardware()
    metrics = Metrics(settings.model_id, gpus)
    fetching = Fetching(engine, settings, metrics)
    worker = Worker(engine, settings, metrics, Download(hub_cache(settings.model_dir)))

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        loading = asyncio.create_task(worker.load(on_failure))
        yield
        loading.cancel()
        await asyncio.gather(loading, return_exceptions=True)
        await worker.close()
        fetching.close()

    app = DocumentedApp(title="Easel runtime", version=__version__, lifespan=lifespan)
    app.state.settings = settings
    app.state.worker = worker
    app.state.fetching = fetching
    app.state.decoding = asyncio.Semaphore(DECODERS)
    app.state.hardware = gpus
    app.state.metrics = metrics
    for router in (images.router, health.router, hardware.router):
        app.include_router(router)
    errors.install(app)
    app.add_middleware(Requests, tell=Told(metrics), stopping="the runtime is stopping")
    if traces is not None:
        app.add_middleware(Traced, provider=traces)
    if settings.livepeer_strict:
        app.add_middleware(StrictStatuses)  # outside of the others: log and metrics keep the statuses as meant
    app.add_middleware(Lingering)  # the last one is the outermost: nobody waits for it
    return app
