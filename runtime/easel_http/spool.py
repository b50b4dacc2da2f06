"""Bytes of unknown number: in memory while they are few, in an unnamed temporary file when they are many.

They can be read while more are still being written: a reader that has caught up waits for the writer.
"""

import asyncio
import io
import os
import tempfile
from collections.abc import AsyncIterator
from threading import Lock
from typing import BinaryIO, Final

from easel_http.errors import Unavailable

MEMORY_BYTES: Final = 1 << 16
"""Bytes that stay in memory: with hundreds of requests held, a megabyte each would be most of the gateway."""
_CHUNK: Final = 1 << 18
"""Bytes that go to disk, or come from there, at a time: a thread costs as much for one as for all of them."""

_HEAD: Final = 1 << 16
"""Bytes of the beginning that stay in memory besides, for who wants to know what this is."""


class SpoolFull(OSError):
    """The disk is too full for one more body."""


def not_kept(error: OSError) -> Unavailable:
    """What callers hear of a disk that did not take their upload."""
    return Unavailable(f"the upload cannot be kept: {error.strerror or error}", retry_after=30)


class Spool:
    """Write, `finish`, and read as often as needed; then close. The file never has a name, so nothing can be left over.

    One writer; any number of readers, all on one event loop. On a disk with less than `spare_bytes` free nothing is
    written.
    """

    def __init__(self, memory_bytes: int = MEMORY_BYTES, spare_bytes: int = 0) -> None:
        self.size = 0
        self.memory_bytes = memory_bytes
        """Bytes that stay in memory; may be changed at any time, and counts from the next one that is written."""
        self._spare_bytes = spare_bytes
        self._chunks: list[bytes] = []
        """What is not on disk: everything while it is few, else what was written last."""
        self._on_disk = 0
        self._head = b""
        self._file: BinaryIO | None = None
        self._lock = Lock()
        self._closed = False
        self._finished = False
        self._readers: list[asyncio.Future[None]] = []

    @property
    def in_memory(self) -> bool:
        """Whether nothing of it is on disk."""
        return self._file is None

    async def write(self, data: bytes) -> None:
        """Append `data`; off the event loop once it goes to disk.

        Raises:
            SpoolFull: there is too little room on the disk.
            OSError: the disk does not take it.
        """
        for start in range(0, len(data), _CHUNK):  # a view of one chunk would keep all of them in memory
            self._chunks.append(data[start : start + _CHUNK] if len(data) > _CHUNK else data)
        self.size += len(data)
        self._wake()
        if self.size > self.memory_bytes and (self._file is None or self.size - self._on_disk >= _CHUNK):
            await self._flush()

    async def shrink(self, memory_bytes: int) -> None:
        """From now on no more than `memory_bytes` stay in memory.

        Raises:
            OSError: as `write`.
        """
        self.memory_bytes = memory_bytes
        if self.size > memory_bytes and self._chunks:
            await self._flush()

    async def finish(self) -> None:
        """Nothing more comes. What goes to disk is there afterwards.

        Raises:
            OSError: as `write`.
        """
        if self._file is not None and self._chunks:
            await self._flush()
        self._finished = True
        self._wake()

    async def chunks(self) -> AsyncIterator[bytes]:
        """Everything that was and will be written, from the start; ends after `finish`.

        A reader that was abandoned does not disturb the next one.
        """
        position = 0
        while True:
            if data := self._in_memory_at(position):
                yield data
            elif position < self._on_disk:
                assert self._file is not None  # noqa: S101 (there is something on disk)
                data = await asyncio.to_thread(os.pread, self._file.fileno(), _CHUNK, position)
                yield data
            elif self._finished:
                return
            else:
                await self._more()
            position += len(data)

    def rewound(self) -> BinaryIO:
        """The bytes as a file at its start, for a decoder on another thread; only after `finish`, or in memory."""
        if self._file is None:
            return io.BytesIO(self.whole())
        self._file.seek(0)
        return self._file

    def whole(self) -> bytes:
        """Everything that was written; only while it is in memory."""
        return self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)

    def beginning(self) -> bytes:
        """The first bytes, up to 64 KiB or a little more; wherever the rest is."""
        if self._on_disk:
            return self._head
        size = count = 0
        while count < len(self._chunks) and size < _HEAD:
            size, count = size + len(self._chunks[count]), count + 1
        return self._chunks[0] if count == 1 else b"".join(self._chunks[:count])

    def forget_beginning(self) -> None:
        """Nobody wants to know any more what this is: of what is on disk, nothing is kept in memory."""
        self._head = b""

    def close(self) -> None:
        """Give memory and disk back."""
        self._chunks = []
        with self._lock:  # a thread may be about to write, although nobody waits for it any more
            self._closed = True
            if self._file is not None:
                self._file.close()

    def _in_memory_at(self, position: int) -> bytes:
        start = self._on_disk
        if position < start:
            return b""
        for chunk in self._chunks:
            if position < start + len(chunk):
                return chunk[position - start :] if position > start else chunk
            start += len(chunk)
        return b""

    async def _more(self) -> None:
        reader = asyncio.get_running_loop().create_future()
        self._readers.append(reader)
        try:
            await reader
        finally:
            self._readers.remove(reader)

    def _wake(self) -> None:
        for reader in self._readers:
            if not reader.done():
                reader.set_result(None)

    async def _flush(self) -> None:
        chunks = self._chunks
        data = b"".join(chunks)
        if not self._on_disk:
            self._head = data[:_HEAD]
        await asyncio.to_thread(self._to_disk, data)
        # Readers found these in memory meanwhile.
        self._on_disk += sum(map(len, chunks))
        self._chunks = self._chunks[len(chunks) :]

    def _to_disk(self, data: bytes) -> None:
        with self._lock:
            if self._closed:
                return
            if self._file is None:
                self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 (closed by close)
            room = os.fstatvfs(self._file.fileno())
            if room.f_bavail * room.f_frsize < self._spare_bytes + len(data):
                raise SpoolFull("there is too little room on the disk for uploads")
            view, position = memoryview(data), self._on_disk
            while view:
                count = os.pwrite(self._file.fileno(), view, position)
                view, position = view[count:], position + count
