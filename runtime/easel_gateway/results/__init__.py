"""Where results are kept until callers have fetched them. A store is a new module here and one line at start-up."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Protocol

from easel_gateway.ids import new_id as new_id


class ResultStore(Protocol):
    """Keeps images for a limited time under names that cannot be guessed."""

    async def put(self, request_id: str, data: bytes | AsyncIterator[bytes]) -> str:
        """Store one image of a request; returns its path below `/stream/`: `<id>/<id>.png`."""

    async def drop(self, request_id: str) -> None:
        """Drop all images of a request."""

    def find(self, request_id: str, image_id: str) -> Path | None:
        """The file of an image, if it is still there."""

    async def sweep(self) -> int:
        """Drop what is too old; returns how many requests' results went."""
