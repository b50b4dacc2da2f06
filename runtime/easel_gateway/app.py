"""The gateway's application: settings, a directory and a store in, an ASGI application out."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware
from fastapi_offline import FastAPIOffline

from easel_crds import __version__
from easel_gateway import document, upstream
from easel_gateway.acceptance import Acceptance
from easel_gateway.access import Access
from easel_gateway.cors import cors
from easel_gateway.directory import Directory
from easel_gateway.intake import Intake
from easel_gateway.keys import KeyRing
from easel_gateway.ledger import Ledger
from easel_gateway.limits import Limits
from easel_gateway.metrics import Metrics
from easel_gateway.quotes import new_quotes
from easel_gateway.results import ResultStore
from easel_gateway.routes import catalogue, health, huggingface, livepeer, models, openai, quote, status, usage
from easel_gateway.routes import metrics as metrics_route
from easel_gateway.routes import page as page_route
from easel_gateway.routes import results as results_route
from easel_gateway.routes.refusals import refusal
from easel_gateway.serving import STOPPING, Serving
from easel_gateway.settings import Settings
from easel_gateway.standing import Standing
from easel_gateway.today import Today
from easel_gateway.waiting import WaitingRoom
from easel_http import errors
from easel_http.requests import Requests
from easel_http.tracing import Traced

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

_log = logging.getLogger(__name__)
_ROUTES = (livepeer, results_route, openai, huggingface, models, catalogue, quote, usage, status, health, metrics_route)


def create_app(
    settings: Settings,
    directory: Directory,
    results: ResultStore,
    ledger: Ledger | None = None,
    keys: KeyRing | None = None,
    traces: "TracerProvider | None" = None,
) -> FastAPI:
    """The application. `/docs` is served from its own files and asks no other host.

    `ledger` gets what is charged, if there is one; `keys` are those of callers; `traces` gets a span for each request
    for work.

    Its `state.waiting` is the waiting room, to be closed by whoever is about to stop the server; its `state.ready` is
    what `/readyz` says, true unless whoever runs the server knows better; its `state.metrics` can follow more numbers.
    """
    waiting = WaitingRoom(directory, settings)
    metrics = Metrics(directory.entries)
    metrics.follow("held_requests", "Requests that wait for an endpoint.", lambda: waiting.held)
    metrics.follow("held_bytes", "Bytes of their bodies.", lambda: waiting.held_bytes)
    standing = Standing(directory, waiting)
    quotes = new_quotes(settings)
    keys = KeyRing() if keys is None else keys
    limits = Limits(ledger)
    acceptance = Acceptance(directory, quotes, ledger, limits, settings.default_model)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with upstream.new_session(settings.work_seconds) as session:
            serving = Serving(waiting, standing, session, results, metrics, ledger, limits)
            app.state.intake = Intake(settings, directory, acceptance, serving, keys)
            sweeping = asyncio.create_task(_sweep_regularly(results, settings.result_seconds))
            keys.on_change(lambda: limits.retain(keys.names))
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
    app.state.quotes = quotes
    app.state.metrics = metrics
    app.state.ledger = ledger
    app.state.keys = keys
    app.state.today = Today(ledger)
    app.state.ready = True
    for route in _ROUTES:
        app.include_router(route.router)
    app.include_router(page_route.router)
    errors.install(app, refusal)
    document.install(app, directory, keys_required=settings.keys_required)
    _add_middleware(app, metrics, traces)
    return app


def _add_middleware(app: FastAPI, metrics: Metrics, traces: "TracerProvider | None") -> None:
    """From the inside to the outside: what is added last sees a request first."""
    settings: Settings = app.state.settings
    app.add_middleware(Requests, tell=Access(metrics), stopping=STOPPING, refusal=refusal)
    if traces is not None:
        app.add_middleware(Traced, provider=traces)
    if settings.cors_origins:
        app.add_middleware(CORSMiddleware, **cors(settings.cors_origins))


async def _sweep_regularly(results: ResultStore, seconds: float) -> None:
    while True:
        try:
            swept = await results.sweep()
        except OSError as error:
            _log.warning("old results could not be swept: %s", error)
        else:
            _log.debug("swept %d results", swept)
        await asyncio.sleep(max(1, seconds / 10))
