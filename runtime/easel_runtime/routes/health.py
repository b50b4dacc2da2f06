"""Probes and facts: `/health` for Livepeer's worker, `/livez` and `/readyz` for kubelets, `/version`."""

from typing import Literal

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict

from easel_crds import __version__
from easel_http.openapi import Message
from easel_runtime.settings import Settings
from easel_runtime.worker import Health, Worker

router = APIRouter(tags=["health"])


Phase = Literal["downloading", "loading", "warming up"]


class Downloading(BaseModel):
    """How far a download is."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    bytes: int
    total: int | None
    """Null until it is known."""
    bytes_per_second: int
    seconds_left: float | None


class State(BaseModel):
    """How the runtime is; what does not apply is left out."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    status: Health
    in_flight: int
    """Requests that hold a place."""
    device: str | None = None
    """What the model is on, once it is loaded."""
    phase: Phase | None = None
    """What goes on while it is not."""
    download: Downloading | None = None
    """If something is downloaded."""
    detail: Message | None = None
    """Why only a restart can help."""


class Version(BaseModel):
    """What runs."""

    pipeline: str
    model_id: str
    version: str


@router.get("/health", operation_id="health", response_model_exclude_unset=True)
@router.get("/health/", include_in_schema=False, response_model_exclude_unset=True)
async def health(request: Request) -> State:
    """LOADING, IDLE, OK (working) or ERROR; answers at once whatever the model does."""
    worker: Worker = request.app.state.worker
    state = State(status=worker.health, in_flight=worker.in_flight)
    if worker.loaded is not None:
        state.device = worker.loaded.device
    elif not worker.error:
        state.phase = _phase(worker)
    if worker.loaded is None and (download := worker.download.state) is not None:
        state.download = Downloading.model_validate(download.as_json())
    if worker.error:
        state.detail = Message(msg=worker.error)
    return state


def _phase(worker: Worker) -> Phase:
    if worker.warming_up:
        return "warming up"
    return "downloading" if worker.download.active else "loading"


@router.get("/livez", include_in_schema=False)
async def livez(request: Request) -> Response:
    """200 unless only a restart can help."""
    worker: Worker = request.app.state.worker
    return JSONResponse({"status": worker.health}, 503 if worker.health is Health.ERROR else 200)


@router.get("/readyz", include_in_schema=False)
async def readyz(request: Request) -> Response:
    """200 when requests are taken."""
    worker: Worker = request.app.state.worker
    ready = worker.loaded is not None and worker.health is not Health.ERROR
    return JSONResponse({"status": worker.health}, 200 if ready else 503)


@router.get("/version", operation_id="version")
@router.get("/version/", include_in_schema=False)
async def version(request: Request) -> Version:
    """Pipeline, model and Easel's version (semver)."""
    settings: Settings = request.app.state.settings
    return Version(pipeline=settings.pipeline, model_id=settings.model_id, version=__version__)
