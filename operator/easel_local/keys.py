"""`easel key`: a new key for a caller, as the Secret that lets it in."""

import json
import re
from dataclasses import dataclass
from typing import Any

import yaml

from easel_crds.keys import hash_of, parse_key
from easel_crds.metadata import Label
from easel_gateway.keys import new_key

_BUDGET = re.compile(r"(?P<amount>\S+) (?P<currency>[A-Z]{3}) per (?P<per>day|month)")


@dataclass(frozen=True)
class Asked:
    """What the command line says of a key."""

    name: str
    namespace: str
    models: tuple[str, ...]
    requests_per_minute: int | None
    pixels_per_minute: int | None
    concurrent: int | None
    budget: str
    admin: bool
    keep: tuple[str, ...]
    """Hashes that stay valid."""


def made(asked: Asked) -> tuple[str, str]:
    """The key, and the manifest of its Secret.

    Raises:
        ValueError: something that was asked for is wrong.
    """
    token = new_key()
    policy: dict[str, Any] = {
        "models": list(asked.models) or None,
        "requestsPerMinute": asked.requests_per_minute,
        "pixelsPerMinute": asked.pixels_per_minute,
        "concurrent": asked.concurrent,
        "budget": _budget(asked.budget),
        "admin": asked.admin or None,
    }
    hashes = [f"sha256:{hash_of(token)}", *asked.keep]
    manifest = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": asked.name,
            **({"namespace": asked.namespace} if asked.namespace else {}),
            "labels": {str(Label.KEY): "true"},
        },
        "stringData": {
            "hash": "\n".join(hashes),
            "policy": json.dumps({name: value for name, value in policy.items() if value is not None}),
        },
    }
    parse_key(manifest)
    return token, yaml.safe_dump(manifest, sort_keys=False)


def _budget(text: str) -> dict[str, str] | None:
    if not text:
        return None
    found = _BUDGET.fullmatch(text)
    if found is None:
        raise ValueError('--budget must be like "10 USD per day" or "200 USD per month"')
    return found.groupdict()
