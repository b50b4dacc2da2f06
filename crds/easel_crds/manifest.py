"""From a document to a resource, once: parsed strictly, refused with sentences that name the field.

Used for manifests on one machine and for objects read from the API server; behind it nobody handles raw dicts.
"""

import difflib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from easel_crds.imagemodel import ImageModel
from easel_crds.metadata import API_VERSION
from easel_crds.rules import Resource
from easel_crds.runtimeprofile import RuntimeProfile

KINDS: Final[Mapping[str, type[ImageModel] | type[RuntimeProfile]]] = {
    "ImageModel": ImageModel,
    "RuntimeProfile": RuntimeProfile,
}

Path = tuple[str | int, ...]


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with a document."""

    path: Path
    """Keys and list positions that lead to it."""
    message: str
    """What is wrong and what to do."""

    @property
    def field(self) -> str:
        """The path as people write it: `spec.loras.allow[0]`."""
        return "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in self.path).removeprefix(".")

    def __str__(self) -> str:
        return f"{self.field}: {self.message}" if self.path else self.message


class InvalidManifest(ValueError):
    """A document is not a valid resource; `problems` says why."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("; ".join(map(str, problems)))
        self.problems = problems


def parse(document: object) -> ImageModel | RuntimeProfile:
    """The resource that `document` (as YAML or JSON loads it) describes.

    Raises:
        InvalidManifest: it is none, or one of its fields is wrong.
    """
    if not isinstance(document, Mapping):
        raise InvalidManifest((Problem((), "a manifest must be a mapping with apiVersion, kind, metadata and spec"),))
    if document.get("apiVersion") != API_VERSION:
        raise InvalidManifest((Problem(("apiVersion",), f"must be {API_VERSION}"),))
    kind = KINDS.get(str(document.get("kind")))
    if kind is None:
        raise InvalidManifest((Problem(("kind",), f"must be one of {', '.join(KINDS)}"),))
    try:
        text = json.dumps(document, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InvalidManifest((Problem((), f"holds a value that JSON has no form for: {error}"),)) from error
    try:
        return kind.model_validate_json(text, by_alias=True, by_name=False)
    except ValidationError as error:
        found = error.errors()
        raise InvalidManifest(tuple(_problem(kind, one) for one in found if not _follows(one, found))) from error


def stored_model(document: Mapping[str, Any]) -> ImageModel:
    """The ImageModel that the API server has. A status that this version cannot read counts as none.

    It may have been written by a newer operator; what the user wants is clear all the same.

    Raises:
        InvalidManifest: this version cannot read the rest.
    """
    try:
        model = parse(document)
    except InvalidManifest as error:
        if any(problem.path[:1] != ("status",) for problem in error.problems):
            raise
        model = parse({name: value for name, value in document.items() if name != "status"})
    if not isinstance(model, ImageModel):
        raise InvalidManifest((Problem(("kind",), "must be ImageModel"),))
    return model


def _follows(details: ErrorDetails, found: list[ErrorDetails]) -> bool:
    """Whether a list counts as too short only because its items are wrong, which is told by itself."""
    place = details["loc"]
    return details["type"] == "too_short" and any(
        other["loc"] != place and other["loc"][: len(place)] == place for other in found
    )


def _problem(kind: type[Resource], details: ErrorDetails) -> Problem:
    path: Path = tuple(details["loc"])
    context: dict[str, Any] = details.get("ctx", {})
    match details["type"]:
        case "rule":
            return Problem((*path, context["field"]) if context["field"] else path, context["message"])
        case "extra_forbidden":
            return Problem(path, _unknown_field(kind, path))
        case "missing":
            return Problem(path, "is required; add it")
        case "string_type" if isinstance(details["input"], int | float):
            return Problem(path, f'must be text: write it in quotes, "{json.dumps(details["input"])}"')
        case "string_pattern_mismatch":
            return Problem(path, f"must match {context['pattern']}, and {json.dumps(details['input'])} does not")
    sentence = re.sub("^(Input|String|Tuple) should", "must", details["msg"]).partition(" after validation")[0]
    given = json.dumps(details["input"], default=str)
    return Problem(path, f"{sentence}, not {given}" if len(given) <= 80 else sentence)


def _unknown_field(kind: type[Resource], path: Path) -> str:
    """Sentence for a field that does not exist, with the one that was probably meant."""
    place: Any = kind
    for key in path[:-1]:
        fields = getattr(place, "model_fields", {})
        found = next((field for field in fields.values() if field.alias == key), None)
        place = found.annotation if found is not None else None
    known = sorted(field.alias or name for name, field in getattr(place, "model_fields", {}).items())
    close = difflib.get_close_matches(str(path[-1]), known, n=1)
    if close:
        return f"there is no such field; did you mean {close[0]}?"
    return f"there is no such field; remove it (fields here: {', '.join(known)})" if known else "there is no such field"
