"""The gateway's OpenAPI document, true of the models that there are at the moment, with examples that work."""

import json
from collections.abc import Iterator, Mapping
from copy import deepcopy
from typing import Any, Final

from fastapi import FastAPI

from easel_gateway.directory import Directory, Entry
from easel_gateway.pricing import (
    AMOUNT_HEADER,
    GENERATION_HEADER,
    MAX_PRICE_HEADER,
    PIXELS_HEADER,
    PRICE_HEADER,
)
from easel_gateway.quotes import QUOTE_HEADER
from easel_gateway.routes.catalogue import described
from easel_http.errors import PaymentRequired
from easel_http.image_headers import ADJUSTED, IGNORED
from easel_http.max_price import SCHEMA
from easel_http.openapi import header

Json = dict[str, Any]

WORK_PATH: Final = "/image-to-image"
CHARGED_PATHS: Final = (WORK_PATH, "/v1/images/edits", "/models/{model_id}")
"""Where a POST is work that is paid for, in whichever dialect."""
_FORM: Final = "multipart/form-data"
_BEARER: Final = "HTTPBearer"
_CHANGING: Final = ("state", "reason", "ready_replicas", "start_seconds")
"""What `GET /models` is asked for and not the document."""
_PLACEHOLDER: Final = "stabilityai/sdxl-turbo"
"""For examples while there is no model."""

_CHARGED_HEADERS: Final[Json] = {
    PRICE_HEADER: {
        "required": True,
        **header("The price that applied.", examples=["1.9073484e-08 USD per pixel"]),
    },
    AMOUNT_HEADER: {
        "required": True,
        **header("What the request cost, exactly.", examples=["0.019999997558784 USD"]),
    },
    PIXELS_HEADER: {
        "required": True,
        "description": "Pixels that were charged: height x width of the input picture x images.",
        "schema": {"type": "integer", "minimum": 0},
    },
    GENERATION_HEADER: {
        "required": True,
        **header("The ImageModel whose price applied.", examples=["default/sdxl-turbo@3"]),
    },
    ADJUSTED: header("Values that were moved into the model's bounds."),
    IGNORED: header("Fields that the model had no use for."),
}
_PARAMETERS: Final[tuple[Json, ...]] = (
    {
        "name": MAX_PRICE_HEADER,
        "in": "header",
        "required": False,
        "description": "The most that this request may cost, or a pixel of it; above it the answer is 402.",
        "schema": SCHEMA,
    },
    {
        "name": QUOTE_HEADER,
        "in": "header",
        "required": False,
        "description": "A `quote` of POST /quote, whose price is to apply.",
        "schema": {"type": "string", "maxLength": 1024},
    },
)


class Document:
    """The document, made when it is asked for and kept until the models change."""

    def __init__(self, app: FastAPI, directory: Directory, *, keys_required: bool = False) -> None:
        """`keys_required`: whether callers must have a key."""
        self._plain = app.openapi
        self._directory = directory
        self._keys_required = keys_required
        self._served: Json | None = None
        directory.on_change(self._forget)

    def __call__(self) -> Json:
        """The document as of now."""
        if self._served is None:
            entries = self._directory.entries()
            self._served = as_served(self._plain(), entries, keys_required=self._keys_required)
        return self._served

    def _forget(self) -> None:
        self._served = None


def install(app: FastAPI, directory: Directory, *, keys_required: bool = False) -> None:
    """Have `app` serve this document at `/openapi.json`. To be called when every route is there."""
    app.openapi = Document(app, directory, keys_required=keys_required)  # type: ignore[method-assign]


def as_served(document: Mapping[str, Any], entries: Mapping[str, Entry], *, keys_required: bool) -> Json:
    """`document` with the models' bounds, what is charged and how, examples, and keys where they are required."""
    served: Json = deepcopy(dict(document))
    served["x-easel-models"] = {model_id: _model(entry) for model_id, entry in sorted(entries.items())}
    for path in CHARGED_PATHS:
        if operation := served["paths"].get(path, {}).get("post"):
            _charge(operation)
    for operation in _operations(served):
        _bound(operation, entries)
    example = min(entries, default=_PLACEHOLDER)
    served["paths"][WORK_PATH]["post"]["x-codeSamples"] = [
        _curl(f"{WORK_PATH} -F model_id={example} -F image=@cat.png {_PROMPT}")
    ]
    if quote := served["paths"].get("/quote", {}).get("post"):
        _example_of_quote(quote, example)
    if keys_required:
        _require_keys(served)
    return served


def _operations(document: Mapping[str, Any]) -> Iterator[Json]:
    for methods in document["paths"].values():
        yield from methods.values()


def _model(entry: Entry) -> Json:
    return described(entry).model_dump(mode="json", exclude=set(_CHANGING))


def _charge(work: Json) -> None:
    """The price: how it is bounded, what is said of it, and the answer that it is too high."""
    work.setdefault("parameters", []).extend(deepcopy(_PARAMETERS))
    work["responses"]["200"].setdefault("headers", {}).update(deepcopy(_CHARGED_HEADERS))
    refused = {
        "description": "the price is above what the caller pays at most; the body has it",
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
    }
    work["responses"].setdefault(str(PaymentRequired.status), refused)


def _bound(operation: Json, entries: Mapping[str, Entry]) -> None:
    """What no model takes is not allowed; what only some take, `x-easel-models` tells."""
    content = operation.get("requestBody", {}).get("content", {})
    for body in content.values():
        fields = body.get("schema", {}).get("properties", {})
        if not entries or "model_id" not in fields:
            continue
        fields["model_id"] |= {"enum": sorted(entries), "examples": sorted(entries)[:3]}
        bounds = [entry.model.spec.parameters for entry in entries.values()]
        for name in fields.keys() & {"num_images_per_prompt", "images"}:
            fields[name]["maximum"] = max(each.max_images for each in bounds)
        for name in fields.keys() & {"pixels"}:
            fields[name]["maximum"] = max(each.max_pixels for each in bounds)


_PROMPT: Final = '-F prompt="make it night"'


def _curl(rest: str) -> Json:
    return {"lang": "Shell", "label": "curl", "source": f"curl http://127.0.0.1:8080{rest}"}


def _example_of_quote(quote: Json, model_id: str) -> None:
    schema = quote["requestBody"]["content"]["application/json"]["schema"]
    schema["examples"] = [{**example, "model_id": model_id} for example in schema["examples"]]
    said = json.dumps(schema["examples"][0])
    quote["x-codeSamples"] = [
        _curl(f"/quote --json '{said}'"),
        _curl(f"/quote -F model_id={model_id} -F image=@cat.png {_PROMPT}"),
    ]


def _require_keys(document: Json) -> None:
    """Every operation but the health wants a bearer token; who may fetch a result knows its address."""
    document["components"]["securitySchemes"] = {_BEARER: {"type": "http", "scheme": "bearer"}}
    error = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    challenge = {"WWW-Authenticate": {"required": True, "schema": {"type": "string"}}}
    for path, methods in document["paths"].items():
        if path == "/health" or path.startswith("/stream/"):
            continue
        for operation in methods.values():
            operation["security"] = [{_BEARER: []}]
            unknown = {"description": "the key is missing or unknown", "content": error, "headers": challenge}
            operation["responses"].setdefault("401", unknown)
            operation["responses"].setdefault("403", {"description": "the key may not do this", "content": error})
