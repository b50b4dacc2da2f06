"""`POST /quote`: what a request would cost, as a quote that binds for a while."""

import json
import time
from datetime import datetime
from typing import Annotated, Any, Final, Self

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from easel_gateway.admission import admit
from easel_gateway.directory import Directory, State, entry_of
from easel_gateway.pricing import Quote, offer_of
from easel_gateway.quotes import Quotes
from easel_gateway.routes.models import Price
from easel_gateway.settings import Settings
from easel_http.errors import BadRequest, BodyTooLarge, InvalidForm, NotFound, TimedOut
from easel_http.fields import MAX_IMAGES, form_schema
from easel_http.form import FormLimits, read_form
from easel_http.openapi import errors
from easel_http.plain_body import read_body
from easel_http.spool import Spool

router = APIRouter(tags=["models"])

_JSON_BYTES: Final = 64 << 10
_FORM: Final = "multipart/form-data"
_MOST_PIXELS: Final = 67_108_864
"""That an ImageModel can allow."""

EXAMPLES: Final[tuple[dict[str, Any], ...]] = (
    {"model_id": "stabilityai/sdxl-turbo", "width": 1024, "height": 1024},
    {"model_id": "stabilityai/sdxl-turbo", "pixels": 1048576, "images": 4},
)
_Side = Annotated[int, Field(ge=1, le=_MOST_PIXELS)]


class QuoteRequest(BaseModel):
    """What is to be made of how large a picture."""

    model_config = ConfigDict(
        frozen=True,
        strict=True,
        extra="forbid",
        use_attribute_docstrings=True,
        json_schema_extra={"examples": list(EXAMPLES)},
    )

    model_id: Annotated[str, Field(min_length=1, max_length=96)]
    """Which model."""
    width: _Side | None = None
    """Width of the input picture in pixels."""
    height: _Side | None = None
    """Its height."""
    pixels: _Side | None = None
    """Height x width of the input picture, in the place of both."""
    images: Annotated[int, Field(ge=1, le=MAX_IMAGES)] = 1
    """How many images to make of it (`num_images_per_prompt`)."""

    @model_validator(mode="after")
    def _has_one_size(self) -> Self:
        sides = (self.width, self.height)
        complete = None not in sides if self.pixels is None else sides == (None, None)
        if not complete:
            raise PydanticCustomError("size", "give either width and height, or pixels")
        return self

    @property
    def picture_pixels(self) -> int:
        """Height x width of the input picture."""
        return self.pixels or (self.width or 0) * (self.height or 0)


class QuoteAnswer(BaseModel):
    """A quote."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    model_id: str
    pixels: int
    """Pixels that are charged: height x width of the input picture x images."""
    images: int
    price: Price
    amount: str
    """What the request costs: exact decimal, in `currency`."""
    currency: str
    generation: str
    """Of the ImageModel: `namespace/name@generation`."""
    quote: str
    """To be sent as `X-Easel-Quote`: the price then applies to requests for this model until `valid_until`."""
    valid_until: datetime
    state: State
    start_seconds: float | None
    """Forecast of the seconds until the model takes a request: 0 if it is ready, null if it cannot start at present."""


_ERRORS: Final = errors(
    {
        BadRequest: "the body is neither JSON nor a form that can be read, or the image cannot be read",
        NotFound: "there is no such model; the known ones are listed",
        BodyTooLarge: "the body has too many bytes, or too many parts",
        InvalidForm: "fields are missing, wrong or beyond the model's bounds; each is named",
        TimedOut: "the upload took too long",
    }
)


def _request_body() -> dict[str, Any]:
    schema = QuoteRequest.model_json_schema()
    schema["properties"] = {name: _without_null(part) for name, part in schema["properties"].items()}
    schema["oneOf"] = [{"required": ["width", "height"]}, {"required": ["pixels"]}]
    return {
        "required": True,
        "content": {"application/json": {"schema": schema}, _FORM: {"schema": form_schema("model_id")}},
    }


def _without_null(part: dict[str, Any]) -> dict[str, Any]:
    options = [option for option in part.get("anyOf", ()) if option.get("type") != "null"]
    rest = {key: value for key, value in part.items() if key not in ("anyOf", "default" if options else "")}
    return {**rest, **options[0]} if options else rest


@router.post(
    "/quote",
    operation_id="quote",
    response_model=QuoteAnswer,
    responses=_ERRORS,
    openapi_extra={"requestBody": _request_body()},
)
async def quote(request: Request) -> dict[str, Any]:
    """What a request would cost. Takes JSON with the size, or the very form that would go to `/image-to-image`.

    The quote that comes with it binds: sent as `X-Easel-Quote`, its price applies until `valid_until`.
    """
    directory: Directory = request.app.state.directory
    quotes: Quotes = request.app.state.quotes
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() == _FORM:
        asked = await _of_form(request)
    else:
        asked = _of_json(await _body(request), directory)
    model_id, pixels, images = asked
    entry = entry_of(model_id, directory.entries())
    found = Quote(offer_of(entry.model), pixels * images, images)
    token, until = quotes.sign(found.offer, time.time())
    return {
        **found.document(),
        "quote": token,
        "valid_until": until,
        "state": entry.state,
        "start_seconds": entry.seconds_to_start,
    }


Asked = tuple[str, int, int]
"""Model id, pixels of the input picture, and number of images."""


async def _of_form(request: Request) -> Asked:
    settings: Settings = request.app.state.settings
    directory: Directory = request.app.state.directory
    limits = FormLimits(body_bytes=settings.body_bytes, seconds=settings.upload_seconds)
    async with read_form(request.headers, request.stream(), limits, required=("model_id",)) as form:
        model = entry_of(form.fields.model_id, directory.entries()).model
        job = await admit(form, model)
        return job.model_id, job.width * job.height, job.fields.num_images_per_prompt


def _of_json(body: bytes, directory: Directory) -> Asked:
    try:
        said = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise BadRequest(f"the body must be JSON such as {json.dumps(EXAMPLES[0])}, or a form with an image") from error
    try:
        asked = QuoteRequest.model_validate(said)
    except ValidationError as error:
        raise _problems(error) from error
    model = entry_of(asked.model_id, directory.entries()).model
    bounds = model.spec.parameters
    if asked.images > bounds.max_images:
        raise InvalidForm.at("images", f"must be at most {bounds.max_images} for this model", given=asked.images)
    if asked.picture_pixels > bounds.max_pixels:
        msg = f"this model takes pictures of at most {bounds.max_pixels} pixels"
        raise InvalidForm.at("width" if asked.pixels is None else "pixels", msg, given=asked.picture_pixels)
    return asked.model_id, asked.picture_pixels, asked.images


def _problems(error: ValidationError) -> InvalidForm:
    found = error.errors(include_url=False, include_context=False, include_input=False)
    return InvalidForm(
        [{"type": one["type"], "loc": ["body", *one["loc"]], "msg": one["msg"], "input": None} for one in found]
    )


async def _body(request: Request) -> bytes:
    settings: Settings = request.app.state.settings
    limits = FormLimits(body_bytes=_JSON_BYTES, seconds=settings.upload_seconds)
    body = Spool(memory_bytes=_JSON_BYTES)
    try:
        await read_body(request.headers, request.stream(), body, limits)
        return body.whole()
    finally:
        body.close()
