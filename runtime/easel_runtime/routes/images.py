"""`POST /image-to-image`: read the form, make the images, answer."""

import asyncio
import secrets
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from typing import Any, Final

from fastapi import APIRouter, Request, Response

from easel_http.disconnect import while_connected
from easel_http.errors import (
    BadRequest,
    BodyTooLarge,
    Busy,
    Failed,
    InvalidForm,
    TimedOut,
    Unauthorized,
    Unavailable,
)
from easel_http.event_stream import EVENTS, PROGRESS, event_schema
from easel_http.fields import MAX_SEED, ImageToImageFields, form_schema
from easel_http.form import Form, FormLimits, read_form
from easel_http.image_headers import ADJUSTED, IGNORED, NSFW, SEED, WORKED
from easel_http.logs import noted
from easel_http.openapi import ImageResponse, errors, header
from easel_runtime.answers import JSON, MULTIPART, answer, form_of
from easel_runtime.encoding import ENCODERS, encode_png
from easel_runtime.engine import Generation, Loaded
from easel_runtime.events import FORMS, EventStream
from easel_runtime.fetching import Fetching
from easel_runtime.generation import resolve
from easel_runtime.images import decode
from easel_runtime.settings import Settings
from easel_runtime.worker import Worker

_FORMS: Final[dict[str, Any]] = {
    JSON: {},  # FastAPI puts the model's schema there
    MULTIPART: {"schema": {"type": "string", "format": "binary", "description": "One part per image."}},
    EVENTS: {"schema": event_schema("queued", "step", "result", "error")},
    PROGRESS: {"schema": {"type": "string", "format": "binary", "description": "A part per event, one per image."}},
    **{kind: {"schema": {"type": "string", "format": "binary"}} for kind in ENCODERS},
}
_ANSWERS: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "model": ImageResponse,
        "description": "The images, in the form that the Accept header likes best",
        "content": _FORMS,
        "headers": {
            ADJUSTED: header("Values that were moved to a bound, as `num_inference_steps=4, guidance_scale=0`."),
            IGNORED: header("Fields that were sent and that this model, or this request, has no use for."),
            WORKED: header("Seconds that the model worked on the request.", type="number", minimum=0),
            SEED: header("Seed of the image that is the answer.", type="integer", minimum=0, maximum=MAX_SEED),
            NSFW: header("Whether the image that is the answer was found to be not safe for work.", type="boolean"),
        },
    },
    **errors(
        {
            BadRequest: "the body or the image cannot be read, or the model refuses what is asked",
            Unauthorized: "the bearer token is missing or wrong",
            BodyTooLarge: "the body has too many bytes, or too many parts",
            InvalidForm: "fields are missing or wrong, or the image has too many pixels; each is named",
            Busy: "all places in the queue are taken",
            Failed: "the model failed; `max_pixels` if for want of memory",
            Unavailable: "the model is not loaded yet, or needs a restart, or the runtime is stopping",
            TimedOut: "the upload or the work took too long",
        }
    ),
}
_IMAGE_BYTES: Final = 8 << 20
"""Of an upload that stay in memory: no more than its pixels take, which wait in memory for their turn."""

router = APIRouter()


@router.post(
    "/image-to-image",
    operation_id="genImageToImage",
    tags=["generate"],
    responses=_ANSWERS,
    openapi_extra={"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": form_schema()}}}},
)
@router.post("/image-to-image/", include_in_schema=False)
async def image_to_image(request: Request) -> Response:
    """Edit one image; errors are those of `easel_http.errors`."""
    settings: Settings = request.app.state.settings
    worker: Worker = request.app.state.worker
    _check_token(settings, request.headers.get("authorization", ""))
    with ExitStack() as held:
        # Before the body is read: what cannot be worked on is not worth an upload, and takes no memory.
        loaded = held.enter_context(worker.admit())
        limits = FormLimits(body_bytes=settings.body_bytes, memory_bytes=_IMAGE_BYTES)
        async with read_form(request.headers, request.stream(), limits) as form:
            _check_model(settings, form.fields)
            async with request.app.state.decoding:
                generation = await _generation(form, settings, loaded)
            loras = form.fields.loras
        generation = await while_connected(request, _prepared(generation, loras, request))
        accept = ",".join(request.headers.getlist("accept"))
        kind = form_of(accept, len(generation.seeds), generation.image.size)
        headers = _notes(generation, loaded)
        if (telling := FORMS.get(kind)) is not None:
            return EventStream(worker, generation, telling(), headers, held.pop_all())
        work = worker.generate(generation, encode=ENCODERS.get(kind, encode_png))
        outputs = await while_connected(request, work)
        headers[WORKED] = str(noted("worked"))
        return answer(outputs, kind, headers, held.pop_all())


async def _prepared(generation: Generation, loras: Mapping[str, float], request: Request) -> Generation:
    """`generation` with all on this machine that it needs besides the model: its LoRAs, and who looks at its images."""
    fetching: Fetching = request.app.state.fetching
    worker: Worker = request.app.state.worker
    generation = replace(generation, loras=await fetching.fetch(loras))
    return await worker.safety.decide(generation)


def _notes(generation: Generation, loaded: Loaded) -> dict[str, str]:
    """Headers that say what of the request was changed or had no effect."""
    headers = {}
    if generation.adjusted:
        headers[ADJUSTED] = ", ".join(generation.adjusted)
    if ignored := sorted(loaded.ignores & generation.explicit | generation.ignored):
        headers[IGNORED] = ", ".join(ignored)
    return headers


def _check_token(settings: Settings, authorization: str) -> None:
    """Before the body is read, and in constant time."""
    if settings.auth_token is None:
        return
    expected = f"Bearer {settings.auth_token.get_secret_value()}"
    if not secrets.compare_digest(authorization.encode(), expected.encode()):
        raise Unauthorized("the bearer token is missing or wrong")


def _check_model(settings: Settings, fields: ImageToImageFields) -> None:
    if fields.model_id and fields.model_id != settings.model_id:
        raise BadRequest(f"this runtime serves {settings.model_id}, not {fields.model_id}")


async def _generation(form: Form, settings: Settings, loaded: Loaded) -> Generation:
    picture = await asyncio.to_thread(decode, form.image.rewound(), settings.parameters.max_pixels)
    return resolve(form.fields, picture, settings.parameters, loaded.defaults)
