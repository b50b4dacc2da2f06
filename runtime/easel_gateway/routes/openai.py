"""The dialect of OpenAI's clients: `POST /v1/images/edits`. Their list of models is in `models`."""

import base64
import time
from collections.abc import Mapping
from typing import Any, Final

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from easel_gateway.intake import Intake
from easel_gateway.order import Reply
from easel_gateway.routes import StreamRoute, with_ignored
from easel_gateway.routes.refusals import OPENAI_NAMES
from easel_http.errors import InvalidForm
from easel_http.fields import form_schema
from easel_http.parts import Names

router = APIRouter(route_class=StreamRoute, tags=["generate"])

_IGNORED: Final = (
    "background",
    "complexity",
    "frame_duration_ms",
    "input_fidelity",
    "moderation",
    "output_compression",
    "partial_images",
    "quality",
    "safety_identifier",
    "size",
    "style",
    "svg",
    "svg[model]",
    "svg[reasoning][effort]",
    "user",
)
"""Of no meaning for these models: the result has the size of the picture, and is a PNG."""


def _check(texts: Mapping[str, str]) -> None:
    """Refuse what would be a lie to ignore."""
    for name in ("mask", "markup"):
        if name in texts:
            raise InvalidForm.at(name, f"these models edit the whole picture; leave the {name} out")
    if texts.get("stream", "false").lower() not in ("", "false", "0"):
        raise InvalidForm.at("stream", "images are given out when they are whole; leave it out", given=texts["stream"])
    if texts.get("output_format", "png") not in ("", "png"):
        raise InvalidForm.at("output_format", "must be png", given=texts["output_format"])
    if texts.get("frame_count", "1") not in ("", "1"):
        raise InvalidForm.at("frame_count", "must be 1: the result is one picture", given=texts["frame_count"])
    if texts.get("response_format", "url") not in ("", "url", "b64_json"):
        raise InvalidForm.at("response_format", "must be url or b64_json", given=texts["response_format"])


_CHECKED: Final = ("mask", "markup", "stream", "output_format", "frame_count")
_OURS: Final = {theirs: ours for ours, theirs in OPENAI_NAMES.items()}
_NAMES: Final = Names(
    texts={**_OURS, **dict.fromkeys([*_IGNORED, *_CHECKED], "")}, files=("image", "image[]"), check=_check
)


def _schema() -> dict[str, Any]:
    """OpenAPI schema of the form: ours, with their names."""
    schema = form_schema()
    properties = {OPENAI_NAMES.get(name, name): part for name, part in schema["properties"].items()}
    return {**schema, "properties": properties, "required": ["image", "prompt"], "title": "ImagesEdit"}


@router.post(
    "/v1/images/edits",
    operation_id="editImage",
    openapi_extra={"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": _schema()}}}},
)
@router.post("/v1/images/edits/", include_in_schema=False)
async def edit(request: Request) -> JSONResponse:
    """Edit an image, in the form of OpenAI's clients."""
    intake: Intake = request.app.state.intake
    async with intake.form(request, _NAMES, any_model=True) as upload:
        reply = await intake.serve(request, upload)
        sent = upload.content.sent()
    data = [
        {**await _given_out(intake, request, reply, index), "seed": image.seed, "nsfw": image.nsfw}
        for index, image in enumerate(reply.images)
    ]
    headers = with_ignored(reply.headers, sorted({name.partition("[")[0] for name in _IGNORED if name in sent}))
    return JSONResponse({"created": int(time.time()), "data": data}, headers=headers)


async def _given_out(intake: Intake, request: Request, reply: Reply, index: int) -> dict[str, str]:
    if not reply.files:
        return {"url": await intake.url(request, reply.images[index].path)}
    return {"b64_json": base64.b64encode(reply.files[index]).decode()}
