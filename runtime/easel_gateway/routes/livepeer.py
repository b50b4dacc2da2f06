"""The seed contract: `POST /image-to-image` and the `/stream/` addresses in its answers."""

import base64
from collections.abc import Mapping
from functools import partial
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from easel_gateway.events import EventStream, wants_events
from easel_gateway.intake import Intake
from easel_gateway.order import Reply
from easel_gateway.routes import StreamRoute
from easel_gateway.serving import STOPPING
from easel_gateway.upload import Watch
from easel_http.errors import (
    BadRequest,
    BodyTooLarge,
    Busy,
    Conflict,
    Failed,
    InvalidForm,
    NotFound,
    PaymentRequired,
    TimedOut,
    Unavailable,
    UpstreamFailed,
)
from easel_http.event_stream import EVENTS, event_schema
from easel_http.fields import form_schema
from easel_http.openapi import GivenResponse, errors

router = APIRouter(route_class=StreamRoute)


_ERRORS = errors(
    {
        BadRequest: "the body or the image cannot be read",
        PaymentRequired: "the price is above what the caller pays at most; the body has it",
        Conflict: "a request with this Idempotency-Key is being worked on",
        NotFound: "there is no such model; the known ones are listed",
        BodyTooLarge: "the body has too many bytes, or too many parts",
        InvalidForm: "fields are missing or wrong; each is named",
        Busy: "too many requests wait already",
        Failed: "the model failed at this request",
        UpstreamFailed: "the runtime went away while it worked",
        Unavailable: "the model cannot start (no Retry-After), or not in time (Retry-After)",
        TimedOut: "the work took too long",
    }
)
_EVENTS = ("accepted", "queued", "starting", "step", "result", "error")


@router.post(
    "/image-to-image",
    operation_id="genImageToImage",
    tags=["generate"],
    response_model=GivenResponse,
    responses={**_ERRORS, 200: {"content": {EVENTS: {"schema": event_schema(*_EVENTS)}}}},
    openapi_extra={
        "requestBody": {"required": True, "content": {"multipart/form-data": {"schema": form_schema("model_id")}}}
    },
)
@router.post("/image-to-image/", include_in_schema=False)
async def image_to_image(request: Request) -> Response:
    """Edit an image as the prompt says. A cold model is started; the request is held meanwhile."""
    if wants_events(request):
        return EventStream(partial(_made, request), STOPPING)
    document, headers = await _made(request)
    return JSONResponse(document, headers=dict(headers))


async def _made(request: Request, watch: Watch | None = None) -> tuple[dict[str, Any], Mapping[str, str]]:
    """What is asked for, as it is answered, and headers that tell of it."""
    intake: Intake = request.app.state.intake
    async with intake.form(request) as upload:
        upload.watch = watch
        reply = await intake.serve(request, upload)
        form = upload.content.so_far("response_format")
    images = [
        {**await _given_out(intake, request, reply, index, form), "seed": image.seed, "nsfw": image.nsfw}
        for index, image in enumerate(reply.images)
    ]
    return {"images": images}, reply.headers


async def _given_out(intake: Intake, request: Request, reply: Reply, index: int, form: str) -> dict[str, str]:
    """One image in the `form` that its caller wants."""
    if not reply.files:
        return {"url": await intake.url(request, reply.images[index].path)}
    text = base64.b64encode(reply.files[index]).decode()
    return {"b64_json": text} if form == "b64_json" else {"url": f"data:image/png;base64,{text}"}
