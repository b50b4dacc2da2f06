"""The gateway's application: settings, a directory and a store in, an ASGI application out."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline

from easel_crds import __version__
from easel_gateway import upstream
from easel_gateway.directory import Directory
from easel_gateway.intake import Intake
from easel_gateway.results import ResultStore
from easel_gateway.routes import Straight, health, livepeer, models
from easel_gateway.serving import Serving
from easel_gateway.settings import Settings
from easel_gateway.waiting import WaitingRoom
from easel_http import errors

_log = logging.getLogger(__name__)


def create_app(settings: Settings, directory: Directory, results: ResultStore) -> FastAPI:
    """The application. `/docs` is served from its own files and asks no other host.

    Its `state.waiting` is the waiting room, to be closed by whoever is about to stop the server; its `state.ready` is
    what `/readyz` says, true unless whoever runs the server knows better.
    """
    waiting = WaitingRoom(directory, settings)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with upstream.new_session(settings.work_seconds) as session:
            app.state.intake = Intake(settings, directory, Serving(waiting, session, results))
            sweeping = asyncio.create_task(_sweep_regularly(results, settings.result_seconds))
            yield
            sweeping.cancel()
            await asyncio.gather(sweeping, return_exceptions=True)

    app = FastAPIOffline(
        title="Easel",
        version=__version__,
        summary="Image-to-image diffusion models",
        lifespan=lifespan,
        telemetry={"tracing": False, "metrics": False, "logs": False},  # `easel_http.tracing` has it
    )
    app.state.settings = settings
    app.state.directory = directory
    app.state.waiting = waiting
    app.state.ready = True
    app.include_router(livepeer.router)
    app.include_router(models.router)
    app.include_router(health.router)
    errors.install(app)
    app.add_middleware(Straight, routers=[livepeer.router])
    return app


async def _sweep_regularly(results: ResultStore, seconds: float) -> None:
    while True:
        try:
            swept = await results.sweep()
        except OSError as error:
            _log.warning("old results could not be swept: %s", error)
        else:
            _log.debug("swept the results of %d requests", swept)
        await asyncio.sleep(max(1, seconds / 10))
