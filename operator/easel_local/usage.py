"""`easel usage`: what a running gateway has charged, as a table or CSV."""

import http.client
import json
import sys
from collections.abc import Mapping
from typing import Any, Final
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

from rich.console import Console
from rich.table import Table
from rich.text import Text

_SECONDS: Final = 60
_MOST_BYTES: Final = 64 << 20
_NAMES: Final = ("caller", "model_id", "day")
_NUMBERS: Final = ("requests", "images", "pixels", "amount", "seconds", "gpu_seconds")


class NoUsage(Exception):
    """The gateway cannot be asked, or does not answer the question; the text is one line."""


def show(url: str, key: str | None, parameters: Mapping[str, str | None], *, as_csv: bool) -> None:
    """Print what the gateway at `url` answers to `GET /usage` with `parameters`, those that are not None.

    Raises:
        NoUsage: there is no answer to print.
    """
    body = _ask(url, key, {**parameters, "format": "csv" if as_csv else "json"})
    if as_csv:
        sys.stdout.write(body.decode().replace("\r\n", "\n"))
        return
    try:
        rows = json.loads(body)["data"]
    except (ValueError, KeyError, TypeError):
        raise NoUsage(f"what answers at {url} is no gateway of Easel") from None
    Console().print(_table(rows) if rows else "Nothing was charged.")


def _ask(url: str, key: str | None, parameters: Mapping[str, str | None]) -> bytes:
    if not url.startswith(("http://", "https://")):
        raise NoUsage(f"{url} must begin with http:// or https://")
    query = urlencode({name: value for name, value in parameters.items() if value is not None})
    try:
        request = Request(f"{url.rstrip('/')}/usage?{query}")  # noqa: S310 (its scheme was looked at)
        if key:
            request.add_unredirected_header("Authorization", f"Bearer {key}")
        with urlopen(request, timeout=_SECONDS) as answer:  # noqa: S310
            body: bytes = answer.read(_MOST_BYTES)
            return body
    except HTTPError as error:
        with error:
            raise NoUsage(f"the gateway answers {error.code}: {_message(error.read(_MOST_BYTES))}") from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        why = error.reason if isinstance(error, URLError) else error
        raise NoUsage(f"{url} does not answer: {why}") from None


def _message(body: bytes) -> str:
    """What is wrong, of an error's body."""
    try:
        detail: Any = json.loads(body)["detail"]
        return "; ".join(str(one["msg"]) for one in (detail if isinstance(detail, list) else [detail]))
    except (ValueError, KeyError, TypeError):
        return "it does not say why"


def _table(rows: list[Mapping[str, Any]]) -> Table:
    names = [name for name in _NAMES if name in rows[0]]
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in (*names, *_NUMBERS, "currency"):
        table.add_column(name, justify="right" if name in _NUMBERS else "left", overflow="fold")
    for row in rows:
        # Text and no markup: what stands in square brackets is part of a name.
        table.add_row(*(Text(str(row.get(name, ""))) for name in (*names, *_NUMBERS, "currency")))
    return table
