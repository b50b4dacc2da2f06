"""Probes and facts: `/health` for Livepeer's worker, `/livez` and `/readyz` for kubelets, `/version`."""

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from easel_crds import __version__
from easel_runtime.settings import Settings
from easel_runtime.worker import Health, Worker

router = APIRouter(tags=["health"])


@router.get("/health", operation_id="health")
@router.get("/health/", include_in_schema=False)
async def health(request: Request) -> dict[str, object]:
    """LOADING, IDLE, OK (working) or ERROR; answers at once whatever the model does."""
    worker: Worker = request.app.state.worker
    status: dict[str, object] = {"status": worker.health, "in_flight": worker.in_flight}
    if worker.loaded is not None:
        status["device"] = worker.loaded.device
    elif not worker.error:
        status["phase"] = _phase(worker)
    if worker.loaded is None and (state := worker.download.state) is not None:
        status["download"] = state.as_json()
    if worker.error:
        status["detail"] = {"msg": worker.error}
    return status


def _phase(worker: Worker) -> str:
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
async def version(request: Request) -> dict[str, str]:
    """Pipeline, model and Easel's version (semver)."""
    settings: Settings = request.app.state.settings
    return {"pipeline": settings.pipeline, "model_id": settings.model_id, "version": __version__}
