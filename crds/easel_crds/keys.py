"""Keys of callers: Secrets that hold the hash of a key, never the key, and what it may be used for."""

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Annotated, Any, Final, Literal, Self

import yaml
from pydantic import Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from easel_crds.manifest import InvalidManifest, Problem
from easel_crds.metadata import Label
from easel_crds.money import Price
from easel_crds.rules import Resource

NOBODY: Final = "anonymous"
"""What callers without a key are called in the ledger; no key has this name."""
_HASH: Final = re.compile(r"sha256:([0-9a-f]{64})")
_HASHES: Final = 10
"""Most hashes of one key; two are what a rotation needs."""
_POLICY_BYTES: Final = 16 << 10


class Budget(Resource):
    """What a key may cost in a calendar day or month (UTC)."""

    amount: Annotated[str, Field(max_length=40)]
    """Decimal number in quotes."""
    currency: Annotated[str, Field(max_length=3)] = "USD"
    """ISO 4217 code; requests in another currency are refused."""
    per: Literal["day", "month"] = "month"
    """Of UTC."""

    @model_validator(mode="after")
    def _as_a_price(self) -> Self:
        """What holds for the price of a model; no API server sees this, so it is no rule with a CEL form."""
        for rule in Price.rules:
            if rule.holds is not None and not rule.holds(self):
                raise PydanticCustomError("rule", "{message}", {"message": rule.message, "field": rule.field})
        return self


class KeyPolicy(Resource):
    """What a key may be used for. Limits that are left out do not exist."""

    models: Annotated[tuple[Annotated[str, Field(max_length=200)], ...], Field(max_length=100)] = ("*",)
    """Model ids, or patterns such as "stabilityai/*"."""
    requests_per_minute: Annotated[int, Field(ge=1)] | None = None
    """Requests that are accepted in a minute."""
    pixels_per_minute: Annotated[int, Field(ge=1)] | None = None
    """Charged pixels that are accepted in a minute: height x width x images."""
    concurrent: Annotated[int, Field(ge=1)] | None = None
    """Requests at one time."""
    budget: Budget | None = None
    """What the key may cost."""
    admin: bool = False
    """Whether it shows the usage of all keys, and the gateway's status."""

    def allows(self, model_id: str) -> bool:
        """Whether the key may be used for `model_id`."""
        return any(fnmatchcase(model_id, pattern) for pattern in self.models)


@dataclass(frozen=True)
class Key:
    """A key as its Secret has it."""

    name: str
    hashes: tuple[str, ...]
    """SHA-256 in hexadecimal digits; several while one key takes the place of another."""
    policy: KeyPolicy


def hash_of(token: str) -> str:
    """What a Secret has of the key `token`."""
    return hashlib.sha256(token.encode()).hexdigest()


def is_key(document: Mapping[str, Any]) -> bool:
    """Whether a document is the Secret of a key."""
    metadata = document.get("metadata")
    labels = metadata.get("labels") if isinstance(metadata, Mapping) else None
    return document.get("kind") == "Secret" and isinstance(labels, Mapping) and labels.get(Label.KEY) == "true"


def parse_key(document: Mapping[str, Any]) -> Key:
    """The key in a Secret.

    Raises:
        InvalidManifest: something in it is wrong.
    """
    name = str(document["metadata"].get("name") or "")
    if not name:
        raise _wrong("metadata.name", "is required: it is the name of the key")
    if name == NOBODY:
        raise _wrong("metadata.name", f"must not be {NOBODY}: so callers without a key are called")
    lines = _text(document, "hash").split()
    if not 1 <= len(lines) <= _HASHES or not all(_HASH.fullmatch(line) for line in lines):
        raise _wrong("data.hash", 'must be "sha256:" and 64 hexadecimal digits, on a line for each of at most 10 keys')
    return Key(name, tuple(line.removeprefix("sha256:") for line in lines), _policy(_text(document, "policy")))


def _text(document: Mapping[str, Any], field: str) -> str:
    plain, data = document.get("stringData") or {}, document.get("data") or {}
    if field in plain:
        return str(plain[field])
    try:
        return base64.b64decode(str(data.get(field, "")), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError) as error:
        raise _wrong(f"data.{field}", "must be text in base64; write it plainly in stringData") from error


def _policy(text: str) -> KeyPolicy:
    if len(text) > _POLICY_BYTES:
        raise _wrong("policy", f"is longer than {_POLICY_BYTES} characters")
    try:
        said = yaml.safe_load(text) or {}
        return KeyPolicy.model_validate_json(json.dumps(said), by_alias=True, by_name=False)
    except ValidationError as error:
        found = error.errors()[0]
        place = ".".join(["policy", *map(str, found["loc"])])
        context = found.get("ctx", {})
        raise _wrong(place, str(context.get("message", found["msg"]))) from error
    except (yaml.YAMLError, TypeError, ValueError) as error:
        raise _wrong("policy", "must be YAML such as requestsPerMinute: 60") from error


def _wrong(field: str, message: str) -> InvalidManifest:
    return InvalidManifest((Problem(tuple(field.split(".")), message),))
