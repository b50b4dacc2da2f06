"""The dialect of OpenAI's clients: `POST /v1/images/edits`. Their list of models is in `models`."""

import base64
import time
from collections.abc import Mapping
from typing import Any, Final

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from easel_gateway.intake import Intake
from easel_gateway.routes import StreamRoute
from easel_http.errors import ApiError, InvalidForm
from easel_http.fields import form_schema
from easel_http.parts import Names

router = APIRouter(route_class=StreamRoute, tags=["generate"])

_OURS: Final = {"model": "model_id", "n": "num_images_per_prompt"}
_THEIRS: Final = {ours: theirs for theirs, ours in _OURS.items()}
_IGNORED: Final = frozenset(
    {"size", "user", "quality", "background", "output_compression", "input_fidelity", "moderation", "style"}
)
"""Of no meaning for these models: the result has the size of the picture, and is a PNG."""
_KINDS: Final[Mapping[int, str]] = {
    401: "authentication_error",
    402: "insufficient_quota",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
}


def _check(texts: Mapping[str, str]) -> None:
    """Refuse what would be a lie to ignore."""
    if "mask" in texts:
        raise InvalidForm.at("mask", "these models edit the whole picture; leave the mask out")
    if texts.get("stream", "false").lower() not in ("", "false", "0"):
        raise InvalidForm.at("stream", "images are given out when they are whole; leave it out", given=texts["stream"])
    if texts.get("output_format", "png") not in ("", "png"):
        raise InvalidForm.at("output_format", "must be png", given=texts["output_format"])
    if texts.get("response_format", "url") not in ("", "url", "b64_json"):
        raise InvalidForm.at("response_format", "must be url or b64_json", given=texts["response_format"])


_OTHERS: Final = ("mask", "stream", "output_format", "partial_images")
_NAMES: Final = Names(
    texts={**_OURS, **dict.fromkeys([*_IGNORED, *_OTHERS], "")}, files=("image", "image[]"), check=_check
)


def _schema() -> dict[str, Any]:
    """OpenAPI schema of the form: ours, with their names."""
    schema = form_schema()
    properties = {_THEIRS.get(name, name): part for name, part in schema["properties"].items()}
    return {**schema, "properties": properties, "required": ["image", "model", "prompt"], "title": "ImagesEdit"}


@router.post(
    "/v1/images/edits",
    operation_id="editImage",
    openapi_extra={"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": _schema()}}}},
)
@router.post("/v1/images/edits/", include_in_schema=False)
async def edit(request: Request) -> JSONResponse:
    """Edit an image, in the form of OpenAI's clients."""
    intake: Intake = request.app.state.intake
    try:
        async with intake.form(request, _NAMES) as upload:
            reply = await intake.serve(request, upload)
            sent = upload.content.sent()
        data: list[dict[str, Any]] = []
        for image in reply.images:
            if sent.get("response_format") == "b64_json":
                file = {"b64_json": base64.b64encode(await intake.image(image.path)).decode()}
            else:
                file = {"url": await intake.url(request, image.path)}
            data.append({**file, "seed": image.seed, "nsfw": image.nsfw})
    except ApiError as error:
        return JSONResponse(_error(error), error.status, error.headers)
    headers = dict(reply.headers)
    if ignored := sorted(_IGNORED & sent.keys()):
        headers["X-Easel-Ignored"] = ", ".join([*filter(None, [headers.get("X-Easel-Ignored")]), *ignored])
    return JSONResponse({"created": int(time.time()), "data": data}, headers=headers)


def _error(error: ApiError) -> dict[str, Any]:
    """The error in OpenAI's form; `param` is the first field that is wrong, by the name that it has there."""
    detail = error.body()["detail"]
    param = None
    if isinstance(detail, (list, tuple)) and detail:
        param = next((_THEIRS.get(str(each), str(each)) for each in reversed(detail[0]["loc"])), None)
        message = "; ".join(f"{_THEIRS.get(str(each['loc'][-1]), each['loc'][-1])}: {each['msg']}" for each in detail)
    else:
        message = detail["msg"] if isinstance(detail, Mapping) else str(detail)
    kind = _KINDS.get(error.status, "invalid_request_error" if error.status < 500 else "server_error")
    return {"error": {"message": message, "type": kind, "param": param, "code": None}, "detail": detail}
