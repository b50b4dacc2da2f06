"""Where results are kept until callers have fetched them. A store is a new module here and one line at start-up."""

from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Protocol


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

    def find(self, request_id: str, image_id: str) -> Path | None:
        """The file of an image, if it is still there."""

    async def sweep(self) -> int:
        """Drop what is too old; returns how many images went."""
