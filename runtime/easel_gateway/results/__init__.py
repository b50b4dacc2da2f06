"""Where results are kept until callers have fetched them. A store is a new module here and one line in `opening`."""

import re
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Final, Protocol

from starlette.responses import Response

SAFE_ID: Final = re.compile(r"[0-9a-f]{32}")
"""What the two ids in an address look like; anything else leads nowhere."""


class ResultStore(Protocol):
    """Keeps images for a limited time under names that cannot be guessed."""

    async def put(self, request_id: str, data: bytes | AsyncIterator[bytes]) -> str:
        """Store one image of a request, whole or not at all; its path below `/stream/`: `<id>/<id>.png`.

        Raises:
            OSError: there is no room for it, or it cannot be written.
        """

    async def drop(self, paths: Iterable[str]) -> None:
        """Drop images whose answer is not given."""

    async def delete(self, request_id: str, image_id: str) -> bool:
        """Drop one image for its caller; whether it was there."""

    async def respond(
        self, request_id: str, image_id: str, asked: Mapping[str, str], seconds: float
    ) -> Response | None:
        """The answer to who fetches an image and sends the headers `asked`: a part of it for `Range`; None: it is gone.

        `seconds`: how long it may be kept elsewhere.
        """

    async def read(self, path: str) -> bytes:
        """The file that was stored under `path`.

        Raises:
            OSError: it is gone, or cannot be read.
        """

    async def url(self, path: str) -> str:
        """An address of the store's own for `path`; empty: it is fetched through the gateway."""

    async def sweep(self) -> int:
        """Drop what is too old; returns how many images went."""


def file_headers(image_id: str, seconds: float) -> dict[str, str]:
    """Headers of an image, so that a browser shows it as the image that it is, and as nothing else."""
    return {
        "Content-Disposition": f'inline; filename="{image_id}.png"',
        "Cache-Control": f"private, max-age={seconds:.0f}, immutable",
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "default-src 'none'; sandbox",
        "Cross-Origin-Resource-Policy": "cross-origin",
    }
