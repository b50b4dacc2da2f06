"""The dialect of Hugging Face's `InferenceClient.image_to_image`: `POST /models/{id}`, or `POST /` for a base URL.

The body is the picture's file, or JSON with the file as base64 and the parameters beside it; the answer is a file.
"""

import asyncio
import base64
import binascii
import json
from collections.abc import Collection, Mapping
from typing import Any, Final

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from easel_gateway.directory import Directory
from easel_gateway.intake import Intake
from easel_gateway.routes import StreamRoute
from easel_gateway.settings import Settings
from easel_http.errors import ApiError, BadRequest, BodyTooLarge, InvalidForm, TimedOut

router = APIRouter(route_class=StreamRoute, tags=["generate"])

_JSON: Final = {
    "type": "object",
    "required": ["inputs"],
    "properties": {
        "inputs": {"type": "string", "description": "The image's file as base64, or as a data URL."},
        "parameters": {
            "type": "object",
            "description": "prompt, negative_prompt, guidance_scale, num_inference_steps, strength, seed, ...",
        },
    },
}
_BODY: Final = {
    "required": True,
    "content": {
        "application/json": {"schema": _JSON},
        "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
    },
}
_FILE: Final[dict[int | str, dict[str, Any]]] = {
    200: {"description": "The image.", "content": {"image/png": {"schema": {"type": "string", "format": "binary"}}}}
}


def chosen_model(default: str, known: Collection[str]) -> str:
    """The model of a request that names none: the default, or the only one that there is.

    Raises:
        InvalidForm: there are several.
    """
    if default or len(known) == 1:
        return default or next(iter(known))
    raise InvalidForm.at("model", f"name one in the path, /models/ID; there are: {', '.join(sorted(known)) or 'none'}")


@router.post("/models/{model_id:path}", responses=_FILE, openapi_extra={"requestBody": _BODY}, name="edit_by_model")
async def by_model(request: Request) -> Response:
    """Edit an image with the model that the path names, in the form of Hugging Face's client."""
    return await _answer(request, request.path_params["model_id"].rstrip("/"))


@router.post("/", responses=_FILE, openapi_extra={"requestBody": _BODY}, name="edit_by_base_url")
async def by_base_url(request: Request) -> Response:
    """Edit an image with the default model, in the form of Hugging Face's client."""
    return await _answer(request, "")


async def _answer(request: Request, model_id: str) -> Response:
    intake: Intake = request.app.state.intake
    settings: Settings = request.app.state.settings
    directory: Directory = request.app.state.directory
    try:
        model_id = model_id or chosen_model(settings.default_model, directory.entries())
        body = await _read(request, settings)
        texts: dict[str, str] = {"prompt": ""}
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() == "application/json":
            texts, body = await asyncio.to_thread(_parsed, body)
        if texts.get("num_images_per_prompt", "1") != "1":
            raise InvalidForm.at("num_images_per_prompt", "the answer is one image: leave it out, or ask elsewhere")
        async with intake.whole(request, {**texts, "model_id": model_id}, body) as upload:
            del body
            reply = await intake.serve(request, upload)
        (image,) = reply.images
        facts = {"X-Easel-Seed": str(image.seed), "X-Easel-Nsfw": str(image.nsfw).lower()}
        return Response(await intake.image(image.path), media_type="image/png", headers={**reply.headers, **facts})
    except ApiError as error:
        return JSONResponse({"error": _words(error), **error.body()}, error.status, error.headers)


def _words(error: ApiError) -> str:
    detail = error.body()["detail"]
    return str(detail["msg"]) if isinstance(detail, Mapping) else error.msg


async def _read(request: Request, settings: Settings) -> bytes:
    """The whole body. JSON may have a third more bytes than the image that is in it."""
    most = settings.body_bytes * 4 // 3 + 4096
    body = bytearray()
    try:
        async with asyncio.timeout(settings.upload_seconds):
            async for chunk in request.stream():
                body += chunk
                if len(body) > most:
                    raise BodyTooLarge(f"the body is larger than the {most} bytes that are taken")
    except TimeoutError:
        raise TimedOut(f"the body did not arrive within {settings.upload_seconds:g} seconds") from None
    return bytes(body)


def _parsed(body: bytes) -> tuple[dict[str, str], bytes]:
    """The fields by our names, and the image."""
    try:
        said = json.loads(body)
        inputs = said["inputs"]
        parameters = said.get("parameters") or {}
        encoded = inputs.partition(",")[2] if inputs.startswith("data:") else inputs
        image = base64.b64decode(encoded, validate=True)
        texts = {str(name): _text(value) for name, value in parameters.items() if value is not None}
    except (binascii.Error, UnicodeEncodeError) as error:
        raise InvalidForm.at("inputs", "must be the image's file as base64") from error
    except (ValueError, RecursionError, LookupError, TypeError, AttributeError) as error:
        msg = (
            'the body must be an image\'s file, or JSON such as {"inputs": "<base64>", "parameters": {"prompt": "..."}}'
        )
        raise BadRequest(msg) from error
    return {"prompt": "", **texts}, image


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
