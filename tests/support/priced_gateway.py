"""The gateway's application called in the test's own process: what it says of prices and models, without a runtime."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from httpx2 import ASGITransport, AsyncClient

from easel_gateway import document
from easel_gateway.app import create_app
from easel_gateway.results.folder import FolderStore
from easel_gateway.settings import Settings
from support.directory import MemoryDirectory


def priced_app(directory: MemoryDirectory, folder: Path, *, keys_required: bool = False, **settings: Any) -> FastAPI:
    """A gateway for the models of `directory`."""
    app = create_app(Settings(**settings), directory, FolderStore(folder, 3600))
    if keys_required:
        document.install(app, directory, keys_required=True)
    return app


@asynccontextmanager
async def client_of(app: FastAPI) -> AsyncIterator[AsyncClient]:
    """A client of `app`."""
    async with (
        app.router.lifespan_context(app),
        AsyncClient(transport=ASGITransport(app), base_url="http://gateway") as client,
    ):
        yield client
