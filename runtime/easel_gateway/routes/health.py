"""`GET /health` of the gateway itself."""

from fastapi import APIRouter

from easel_crds import __version__

router = APIRouter(tags=["health"])


@router.get("/health", operation_id="health")
async def health() -> dict[str, str]:
    """OK as long as the gateway answers; the models' states are in `/v1/models`."""
    return {"status": "OK", "version": __version__}
