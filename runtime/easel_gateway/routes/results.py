"""`/stream/`: the images of earlier answers. Whoever has an address may fetch the image, and delete it."""

from typing import Final

from fastapi import APIRouter, Request, Response
from fastapi.responses import FileResponse

from easel_gateway.intake import Intake
from easel_gateway.settings import Settings
from easel_http.errors import NotFound, Unavailable
from easel_http.openapi import errors

router = APIRouter(tags=["generate"])

_ERRORS: Final = errors(
    {NotFound: "there is no such image, or it has expired", Unavailable: "the results cannot be reached at present"}
)
_GONE: Final = "there is no such image, or it has expired"


@router.head("/stream/{request_id}/{image_id}.png", include_in_schema=False)
@router.get("/stream/{request_id}/{image_id}.png", response_class=FileResponse, responses=_ERRORS)
async def stream(request: Request, request_id: str, image_id: str) -> Response:
    """One image of an earlier answer. Ranges and conditions work as for any file."""
    intake: Intake = request.app.state.intake
    settings: Settings = request.app.state.settings
    try:
        found = await intake.serving.results.respond(request_id, image_id, request.headers, settings.result_seconds)
    except OSError as error:
        raise Unavailable(f"the result cannot be read: {error.strerror}", retry_after=10) from error
    if found is None:
        raise NotFound(_GONE)
    return found


@router.delete("/stream/{request_id}/{image_id}.png", status_code=204, responses=_ERRORS)
async def delete(request: Request, request_id: str, image_id: str) -> Response:
    """Delete an image before its time is over."""
    intake: Intake = request.app.state.intake
    try:
        found = await intake.serving.results.delete(request_id, image_id)
    except OSError as error:
        raise Unavailable(f"the result cannot be deleted: {error.strerror}", retry_after=10) from error
    if not found:
        raise NotFound(_GONE)
    return Response(status_code=204)
