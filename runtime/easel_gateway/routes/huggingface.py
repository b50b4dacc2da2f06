"""The dialect of Hugging Face's `InferenceClient.image_to_image`: `POST /models/{id}`, or `POST /` for a base URL.

The body is the picture's file, or JSON with the file as base64 and the parameters beside it; the answer is a file.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from easel_gateway.intake import Intake
from easel_gateway.keys import Caller
from easel_gateway.routes import StreamRoute, with_ignored
from easel_gateway.routes.huggingface_json import parsed
from easel_gateway.settings import json_bytes
from easel_http.errors import ApiError, BodyTooLarge, InvalidForm
from easel_http.image_headers import NSFW, SEED
from easel_http.parts import FormLimits
from easel_http.plain_body import read_body
from easel_http.spool import Spool, not_kept

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
    body = _Body(request, intake, model_id)
    try:
        async with intake.whole(request, body.read) as upload:
            reply = await intake.serve(request, upload)
    except ApiError as error:
        return JSONResponse({"error": _words(error), **error.body()}, error.status, error.headers)
    (image,), (file,) = reply.images, reply.files
    facts = {SEED: str(image.seed), NSFW: str(image.nsfw).lower()}
    return Response(file, media_type="image/png", headers={**with_ignored(reply.headers, body.ignored), **facts})


def _words(error: ApiError) -> str:
    detail = error.body()["detail"]
    return str(detail["msg"]) if isinstance(detail, Mapping) else error.msg


@dataclass
class _Body:
    """The body of a request, in either of its two forms."""

    request: Request
    intake: Intake
    model_id: str
    """Empty: the one that requests are for which name none."""
    ignored: tuple[str, ...] = ()

    async def read(self, caller: Caller, image: Spool) -> dict[str, str]:
        """See `easel_gateway.intake.Read`."""
        model_id = self.model_id or self.intake.acceptance.model_for(caller)
        kind = self.request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind == "application/json":
            texts = await self._read_json(image)
        else:
            await self._read_into(image, self.intake.settings.body_bytes)
            texts = {"prompt": ""}
        if texts.get("num_images_per_prompt", "1") != "1":
            raise InvalidForm.at("num_images_per_prompt", "the answer is one image: leave it out, or ask elsewhere")
        return {**texts, "model_id": model_id, "response_format": "b64_json"}  # which keeps the file at hand

    async def _read_json(self, image: Spool) -> dict[str, str]:
        most, spool = self.intake.settings.body_bytes, Spool(spare_bytes=self.intake.settings.spare_bytes)
        try:
            await self._read_into(spool, json_bytes(most))
            async with self.intake.in_memory:
                said = await asyncio.to_thread(lambda: parsed(spool.rewound().read()))
                if len(said.image) > most:
                    raise BodyTooLarge(f"the image is larger than the {most} bytes that are taken")
                await image.write(said.image)
                await image.finish()
        except OSError as error:
            raise not_kept(error) from error
        finally:
            spool.close()
        self.ignored = said.ignored
        return said.texts

    async def _read_into(self, spool: Spool, most: int) -> None:
        limits = FormLimits(body_bytes=most, seconds=self.intake.settings.upload_seconds)
        await read_body(self.request.headers, self.request.stream(), spool, limits)
