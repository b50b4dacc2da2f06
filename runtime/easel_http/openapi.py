"""What the OpenAPI documents of both servers say alike: the answers of the seed contract, good ones and errors."""

from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field

from easel_http.errors import ApiError, Busy, InvalidForm, Unauthorized, Unavailable
from easel_http.fields import MAX_SEED


class Image(BaseModel):
    """One image of an answer."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    url: str
    """The gateway: where to fetch it, for a limited time. A runtime: the image itself, as a data URL."""
    seed: int = Field(ge=0, le=MAX_SEED)
    """Seed that makes it again."""
    nsfw: bool
    """Whether it was found to be not safe for work."""


class ImageResponse(BaseModel):
    """The answer to `POST /image-to-image`."""

    images: list[Image]


class GivenImage(Image):
    """One image of an answer of the gateway, in the form that was asked for."""

    url: str = ""
    """Where to fetch it, for a limited time, or the image itself as a data URL; absent if it is in `b64_json`."""
    b64_json: str = ""
    """The image's file in base64; absent unless `response_format` is b64_json."""


class GivenResponse(BaseModel):
    """The answer of the gateway to `POST /image-to-image`."""

    images: list[GivenImage]


class Message(BaseModel):
    """What is wrong; some errors say more beside the sentence."""

    model_config = ConfigDict(extra="allow")

    msg: str


class Error(BaseModel):
    """Every error but those of fields."""

    detail: Message


class Problem(BaseModel):
    """A wrong field."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    type: str
    """Kind of the problem, one of pydantic's words."""
    loc: list[str | int]
    """Where it is: "body", the field, and where in it."""
    msg: str
    """What is wrong."""
    input: str | int | None
    """What was sent; null if nothing was."""


class Problems(BaseModel):
    """Every wrong field of a form, at once."""

    detail: list[Problem]


RETRY_AFTER: Final = "Retry-After"
_SECONDS: Final[dict[str, Any]] = {"type": "integer", "minimum": 1}
_RETRY: Final = {RETRY_AFTER: {"description": "Seconds after which it may work.", "schema": _SECONDS}}
_CHALLENGE: Final = {"WWW-Authenticate": {"required": True, "schema": {"type": "string", "enum": ["Bearer"]}}}


def errors(said: dict[type[ApiError], str]) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a route that raises these errors, each for the reason that stands beside it."""
    return {error.status: _answer(error, reason) for error, reason in said.items()}


def header(description: str, **schema: Any) -> dict[str, Any]:
    """A header of an answer, text unless `schema` says otherwise."""
    return {"description": description, "schema": {"type": "string", **schema}}


def _answer(error: type[ApiError], reason: str) -> dict[str, Any]:
    answer: dict[str, Any] = {"model": Problems if error is InvalidForm else Error, "description": reason}
    if error is Unauthorized:
        answer["headers"] = _CHALLENGE
    if error in (Busy, Unavailable):
        answer["headers"] = _RETRY
    return answer
