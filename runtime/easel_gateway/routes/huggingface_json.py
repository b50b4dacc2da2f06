"""The JSON of Hugging Face's client: an image's file as base64, and parameters beside it."""

import base64
import binascii
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from easel_gateway.settings import JSON_SPARE_BYTES
from easel_http.errors import BadRequest, BodyTooLarge, InvalidForm
from easel_http.fields import ImageToImageFields

_MEANT: Final = frozenset(ImageToImageFields.model_fields) - {"model_id", "response_format"}
"""Parameters that have a meaning: the model is named by the path, and the answer is a file."""
_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_NAMED: Final = 20
"""Most names of parameters that an answer says were ignored."""
_SUCH: Final = 'such as {"inputs": "<base64>", "parameters": {"prompt": "..."}}'


@dataclass(frozen=True)
class Said:
    """What a body says."""

    image: bytes
    texts: dict[str, str]
    """By our names."""
    ignored: tuple[str, ...]
    """Parameters that have no meaning here."""


def parsed(body: bytes) -> Said:
    """What `body` says; of a large one, that takes a thread's time.

    Raises:
        BadRequest: it is not such JSON.
        BodyTooLarge: there is too much beside the image.
        InvalidForm: the image is not base64, or a parameter is no text that could be sent on.
    """
    try:
        said = json.loads(body)
        image, parameters = said["inputs"], said.get("parameters") or {}
        texts = {str(name): _text(value) for name, value in parameters.items() if value is not None}
    except (ValueError, RecursionError, LookupError, TypeError, AttributeError) as error:
        raise BadRequest(f"the body must be an image's file, or JSON {_SUCH}") from error
    if not isinstance(image, str):
        raise BadRequest(f"inputs must be the image's file as base64, {_SUCH}")
    _check(texts)
    ignored = [name for name in texts if name not in _MEANT and _NAME.fullmatch(name)]
    meant = {name: text for name, text in texts.items() if name in _MEANT}
    return Said(_decoded(image), {"prompt": "", **meant}, tuple(ignored[:_NAMED]))


def _check(texts: Mapping[str, str]) -> None:
    if sum(len(name) + len(text) for name, text in texts.items()) > JSON_SPARE_BYTES:
        raise BodyTooLarge(f"the parameters are longer than {JSON_SPARE_BYTES} characters")
    for name, text in texts.items():
        try:
            f"{name}{text}".encode()
        except UnicodeEncodeError as error:
            known = name if name in _MEANT else "parameters"
            raise InvalidForm.at(known, "is not Unicode: it has one half of a surrogate pair") from error


def _decoded(inputs: str) -> bytes:
    encoded = inputs.partition(",")[2] if inputs.startswith("data:") else inputs
    try:
        return base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError) as error:  # ValueError: not ASCII
        raise InvalidForm.at("inputs", "must be the image's file as base64") from error


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
