"""Bytes of unknown number: in memory while they are few, in an unnamed temporary file when they are many."""

import asyncio
from collections.abc import AsyncIterator
from tempfile import SpooledTemporaryFile
from threading import Lock
from typing import BinaryIO, Final, cast

MEMORY_BYTES: Final = 1 << 16
"""Bytes that stay in memory: with hundreds of requests held, a megabyte each would be most of the gateway."""
_CHUNK: Final = 1 << 18


class Spool:
    """Write, then read as often as needed, then close; the file never has a name, so nothing can be left over."""

    def __init__(self, memory_bytes: int = MEMORY_BYTES) -> None:
        self.size = 0
        self._memory_bytes = memory_bytes
        self._lock = Lock()
        self._file = SpooledTemporaryFile(max_size=memory_bytes)  # noqa: SIM115 (closed by close)

    async def write(self, data: bytes) -> None:
        """Append `data`; off the event loop once it goes to disk."""
        self.size += len(data)
        if self.size <= self._memory_bytes:
            self._file.write(data)
        else:
            await asyncio.to_thread(self._file.write, data)

    async def chunks(self) -> AsyncIterator[bytes]:
        """Everything written, from the start; a reader that was abandoned does not disturb the next one."""
        position = 0
        while data := await self._read(position):
            yield data
            position += len(data)

    async def _read(self, position: int) -> bytes:
        if self.size <= self._memory_bytes:
            return self._read_at(position)
        return await asyncio.to_thread(self._read_at, position)

    def _read_at(self, position: int) -> bytes:
        with self._lock:
            self._file.seek(position)
            return self._file.read(_CHUNK)

    def rewound(self) -> BinaryIO:
        """The bytes as a file at its start, for a decoder on another thread."""
        self._file.seek(0)
        return cast("BinaryIO", self._file)

    def close(self) -> None:
        """Give memory and disk back."""
        self._file.close()
