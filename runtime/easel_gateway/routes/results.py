"""`/stream/`: the images of earlier answers. Whoever has an address may fetch the image, and delete it."""

import asyncio
from typing import Final

from fastapi import APIRouter, Request, Response
from fastapi.responses import FileResponse

from easel_gateway.intake import Intake
from easel_gateway.settings import Settings
from easel_http.errors import NotFound
from easel_http.openapi import errors

router = APIRouter(tags=["generate"])

_GONE: Final = errors({NotFound: "there is no such image, or it has expired"})
_SAFE: Final = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "Cross-Origin-Resource-Policy": "cross-origin",
}
"""So that a browser shows it as the image that it is, and as nothing else."""


@router.head("/stream/{request_id}/{image_id}.png", include_in_schema=False)
@router.get("/stream/{request_id}/{image_id}.png", response_class=FileResponse, responses=_GONE)
async def stream(request: Request, request_id: str, image_id: str) -> FileResponse:
    """One image of an earlier answer. Ranges and conditions work as for any file."""
    intake: Intake = request.app.state.intake
    path = await asyncio.to_thread(intake.serving.results.find, request_id, image_id)
    if path is None:
        raise NotFound("there is no such image, or it has expired")
    settings: Settings = request.app.state.settings
    lifetime = f"private, max-age={settings.result_seconds:.0f}, immutable"
    return FileResponse(
        path,
        media_type="image/png",
        filename=f"{image_id}.png",
        content_disposition_type="inline",
        headers={**_SAFE, "Cache-Control": lifetime},
    )


@router.delete("/stream/{request_id}/{image_id}.png", status_code=204, responses=_GONE)
async def delete(request: Request, request_id: str, image_id: str) -> Response:
    """Delete an image before its time is over."""
    intake: Intake = request.app.state.intake
    if not await intake.serving.results.delete(request_id, image_id):
        raise NotFound("there is no such image, or it has expired")
    return Response(status_code=204)
