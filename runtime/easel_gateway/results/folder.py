"""Results in a folder of this machine, a file per image; several gateways may share it."""

import asyncio
import errno
import os
import re
import tempfile
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from starlette.responses import FileResponse, Response

from easel_gateway.quickness import Quickness
from easel_gateway.results import SAFE_ID, file_headers
from easel_http.ids import new_id

_FILE: Final = re.compile(r"[.]?[0-9a-f]{32}-[0-9a-f]{32}[.]png")
"""A result, or with a dot before it one that is being written."""
_CREATE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL
_QUICK_BYTES: Final = 1 << 17
"""Largest file that is written without another thread, which takes longer than the system does to remember it..."""
_QUICK_SECONDS: Final = 0.002
"""... unless the folder usually takes longer than this: on another machine, say."""


class FolderStore:
    """A `ResultStore` in `folder`; what is older than `seconds` is swept away, also after a restart.

    Nobody knows a file's name before its answer is given, so what is written in one go needs no draft of another name;
    what a process that died left half written goes with its time. At most `most_bytes` are kept (0: any number), and
    `spare_bytes` of the disk are left free; beyond that nothing is taken, because what has been promised is kept.
    """

    def __init__(self, folder: Path, seconds: float, most_bytes: int = 0, spare_bytes: int = 0) -> None:
        self._folder = folder
        self._seconds = seconds
        self._most_bytes = most_bytes
        self._spare_bytes = spare_bytes
        self._bytes = 0
        """In the folder, as far as this process knows; counted anew by each sweep."""
        self._quickness = Quickness(_QUICK_SECONDS)
        """Of small files."""

    def prepare(self) -> None:
        """Make the folder if it is not there.

        Raises:
            OSError: nothing can be written there.
        """
        # For the owner alone: who could list the folder would not need to guess.
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=self._folder):
            pass
        self._bytes = sum(size for _, size, _ in self._files())

    async def put(self, request_id: str, data: bytes | AsyncIterator[bytes]) -> str:
        """See `ResultStore.put`."""
        image_id = new_id()
        name = f"{self._folder}/{request_id}-{image_id}.png"
        if isinstance(data, bytes):
            await self._write_quickly(name, data)
            return f"{request_id}/{image_id}.png"
        draft = f"{self._folder}/.{request_id}-{image_id}.png"
        file = await asyncio.to_thread(self._open, draft)
        try:
            async for chunk in data:
                await asyncio.to_thread(self._append, file, chunk)
            await asyncio.to_thread(os.rename, draft, name)
        except BaseException:
            await asyncio.shield(asyncio.to_thread(self._remove, draft))
            raise
        finally:
            os.close(file)
        return f"{request_id}/{image_id}.png"

    async def drop(self, paths: Iterable[str]) -> None:
        """See `ResultStore.drop`."""
        names = [f"{self._folder}/{path.replace('/', '-')}" for path in paths]
        await asyncio.to_thread(lambda: [self._remove(name) for name in names])

    async def delete(self, request_id: str, image_id: str) -> bool:
        """See `ResultStore.delete`."""
        if self.find(request_id, image_id) is None:
            return False
        return await asyncio.to_thread(self._remove, f"{self._folder}/{request_id}-{image_id}.png")

    async def respond(self, request_id: str, image_id: str, _: Mapping[str, str], seconds: float) -> Response | None:
        """See `ResultStore.respond`; Starlette looks at the headers."""
        path = await asyncio.to_thread(self.find, request_id, image_id)
        if path is None:
            return None
        return FileResponse(path, media_type="image/png", headers=file_headers(image_id, seconds))

    async def read(self, path: str) -> bytes:
        """See `ResultStore.read`."""
        return await asyncio.to_thread(Path(f"{self._folder}/{path.replace('/', '-')}").read_bytes)

    async def url(self, _: str) -> str:
        """See `ResultStore.url`."""
        return ""

    def find(self, request_id: str, image_id: str) -> Path | None:
        """The file of an image, if it is still there. Anything but two ids is not found: no path leads out of here."""
        if not (SAFE_ID.fullmatch(request_id) and SAFE_ID.fullmatch(image_id)):
            return None
        path = self._folder / f"{request_id}-{image_id}.png"
        return path if path.is_file() else None

    async def sweep(self) -> int:
        """See `ResultStore.sweep`."""
        return await asyncio.to_thread(self._sweep, time.time() - self._seconds)

    async def _write_quickly(self, name: str, data: bytes) -> None:
        if len(data) > _QUICK_BYTES or not self._quickness.holds:
            await asyncio.to_thread(self._write, name, data)
            return
        began = time.monotonic()
        self._write(name, data)
        self._quickness.took(time.monotonic() - began)

    def _write(self, name: str, data: bytes) -> None:
        file = self._open(name)
        try:
            self._append(file, data)
        except BaseException:
            self._remove(name)
            raise
        finally:
            os.close(file)

    def _open(self, name: str) -> int:
        try:
            return os.open(name, _CREATE, 0o600)
        except FileNotFoundError:  # somebody has tidied up
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            return os.open(name, _CREATE, 0o600)

    def _append(self, file: int, data: bytes) -> None:
        if self._most_bytes and self._bytes + len(data) > self._most_bytes:
            raise OSError(errno.ENOSPC, "the room for results is used up")
        if self._spare_bytes:
            room = os.fstatvfs(file)
            if room.f_bavail * room.f_frsize < self._spare_bytes + len(data):
                raise OSError(errno.ENOSPC, "the disk for results is nearly full")
        view = memoryview(data)
        while view:
            view = view[os.write(file, view) :]
        self._bytes += len(data)

    def _remove(self, name: str) -> bool:
        try:
            size = os.stat(name).st_size  # noqa: PTH116 (a Path for each would cost as much as the call)
            os.unlink(name)  # noqa: PTH108
        except FileNotFoundError:
            return False
        self._bytes -= size
        return True

    def _files(self) -> Iterable[tuple[str, int, float]]:
        """Path, size and time of each result."""
        with suppress(FileNotFoundError), os.scandir(self._folder) as found:
            for each in found:
                if _FILE.fullmatch(each.name):
                    try:
                        state = each.stat()
                    except FileNotFoundError:  # another gateway was faster
                        continue
                    yield each.path, state.st_size, state.st_mtime

    def _sweep(self, before: float) -> int:
        kept = swept = 0
        for name, size, written in self._files():
            if written < before and self._remove(name):
                swept += 1
            else:
                kept += size
        self._bytes = kept
        return swept
