"""The files of the web page, read once from the package: what is not among them is not served."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Final

from starlette.responses import Response

INDEX: Final = "index.html"
_FOLDER: Final = "page"
_TYPES: Final = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
    ".woff2": "font/woff2",
}
"""By suffix, and not by the tables of the machine, which differ; a file of another kind is not served."""

_POLICY: Final = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "font-src": "'self'",
    "img-src": "'self' blob: data:",
    "connect-src": "'self'",
    "base-uri": "'none'",
    "form-action": "'none'",
    "frame-ancestors": "'none'",
}
HEADERS: Final[Mapping[str, str]] = {
    "Content-Security-Policy": "; ".join(f"{name} {value}" for name, value in _POLICY.items()),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    # Asked for again each time, and nearly always answered with 304: a page never mixes files of two versions for
    # longer than its gateways do.
    "Cache-Control": "no-cache",
}


@dataclass(frozen=True)
class StaticFile:
    """One file, as it is answered."""

    content: bytes
    headers: Mapping[str, str]

    def answer(self, known: str) -> Response:
        """The file; or 304 if its tag is among the `known` ones (`If-None-Match`)."""
        if known.strip() == "*" or self.headers["ETag"] in (tag.strip().removeprefix("W/") for tag in known.split(",")):
            kept = {name: value for name, value in self.headers.items() if name != "Content-Type"}
            return Response(status_code=304, headers=kept)
        return Response(self.content, headers=dict(self.headers))


def load() -> Mapping[str, StaticFile]:
    """Every file of the page by its path below the folder, with slashes."""
    return {path: _file(found, suffix) for path, found, suffix in _walk(files("easel_gateway") / _FOLDER, "")}


def _walk(folder: Traversable, prefix: str) -> list[tuple[str, Traversable, str]]:
    found: list[tuple[str, Traversable, str]] = []
    for child in folder.iterdir():
        suffix = child.name[child.name.rfind(".") :]
        if child.is_dir():
            found += _walk(child, f"{prefix}{child.name}/")
        elif suffix in _TYPES:
            found.append((f"{prefix}{child.name}", child, suffix))
    return found


def _file(found: Traversable, suffix: str) -> StaticFile:
    content = found.read_bytes()
    # Of the content: files of an image are all equally old, so time and size would call two versions the same.
    tag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
    return StaticFile(content, {**HEADERS, "Content-Type": _TYPES[suffix], "ETag": tag})
