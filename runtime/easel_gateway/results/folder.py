"""Results in a folder of this machine: one folder per request, one file per image."""

import asyncio
import re
import shutil
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

from easel_gateway.results import new_id

_ID: Final = re.compile(r"[0-9a-f]{32}")


class FolderStore:
    """A `ResultStore` in `folder`; what is older than `seconds` is swept away, also after a restart."""

    def __init__(self, folder: Path, seconds: float) -> None:
        self._folder = folder
        self._seconds = seconds

    def prepare(self) -> None:
        """Make the folder if it is not there.

        Raises:
            OSError: nothing can be written there.
        """
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=self._folder):
            pass

    async def put(self, request_id: str, data: bytes | AsyncIterator[bytes]) -> str:
        """See `ResultStore.put`. The file appears whole or not at all."""
        image_id = new_id()
        directory = self._folder / request_id
        draft = directory / f".{image_id}"
        await asyncio.to_thread(self._make, directory)
        try:
            with await asyncio.to_thread(draft.open, "wb") as file:
                async for chunk in _pieces(data):
                    await asyncio.to_thread(file.write, chunk)
            await asyncio.to_thread(draft.rename, directory / f"{image_id}.png")
        finally:
            await asyncio.to_thread(draft.unlink, missing_ok=True)
        return f"{request_id}/{image_id}.png"

    def _make(self, directory: Path) -> None:
        # For the owner alone: who could list the folder would not need to guess.
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        directory.mkdir(mode=0o700, exist_ok=True)

    async def drop(self, request_id: str) -> None:
        """All images of a request."""
        await asyncio.to_thread(shutil.rmtree, self._folder / request_id, ignore_errors=True)

    def find(self, request_id: str, image_id: str) -> Path | None:
        """See `ResultStore.find`. Anything but two ids is not found, so no path can lead out of the folder."""
        if not (_ID.fullmatch(request_id) and _ID.fullmatch(image_id)):
            return None
        path = self._folder / request_id / f"{image_id}.png"
        return path if path.is_file() else None

    async def sweep(self) -> int:
        """See `ResultStore.sweep`."""
        return await asyncio.to_thread(self._sweep, time.time() - self._seconds)

    def _sweep(self, before: float) -> int:
        old = [
            directory
            for directory in self._folder.glob("*")
            if _ID.fullmatch(directory.name) and directory.stat().st_mtime < before
        ]
        for directory in old:
            shutil.rmtree(directory, ignore_errors=True)
        return len(old)


async def _pieces(data: bytes | AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    if isinstance(data, bytes):
        yield data
        return
    async for piece in data:
        yield piece
