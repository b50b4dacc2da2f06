"""`GET /health` of the gateway itself, and the probes of its pod."""

from fastapi import APIRouter, Request

from easel_crds import __version__
from easel_http.errors import Unavailable

router = APIRouter(tags=["health"])


@router.get("/health", operation_id="health")
async def health() -> dict[str, str]:
    """OK as long as the gateway answers; the models' states are in `/v1/models`."""
    return {"status": "OK", "version": __version__}


@router.get("/livez", include_in_schema=False)
async def livez() -> dict[str, str]:
    """Whether the process is alive, which it is if it answers."""
    return {"status": "OK"}


@router.get("/readyz", include_in_schema=False)
async def readyz(request: Request) -> dict[str, str]:
    """Whether requests should come here: not before the models are known, and not while the gateway stops."""
    if not request.app.state.ready:
        raise Unavailable("the gateway has not read the models yet, or is stopping")
    return {"status": "OK"}
