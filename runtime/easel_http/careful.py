"""Bounds on what a picture's file makes Pillow do, where Pillow has none of its own: reads, metadata, tags, tiles.

Without them a file of a few megabytes keeps one processor busy for half a minute, or takes a gigabyte: a PNG of two
million empty chunks, a JPEG with megabytes of EXIF, a TIFF in two million strips or with one tile of 30,000 x 30,000.
"""

import io
from typing import IO, Any, BinaryIO, Final, cast

from PIL import Image
from PIL.TiffImagePlugin import TILELENGTH, TILEWIDTH, ImageFileDirectory_v2

_HEADER_BYTES: Final = 8 << 20
"""Most bytes before the pixels. An ICC profile or a camera's preview is a fraction of it."""
_READS: Final = 50_000
"""Reads for which a file gets no questions asked; at 4 microseconds each they are quick."""
_BYTES_PER_READ: Final = 1024
"""Least mean size of all others. PNG comes in chunks of 8 KiB usually, and a chunk is read in three or four pieces."""
_TAG_VALUES: Final = 65_536
"""Most numbers in one tag of a TIFF or EXIF directory: a strip for each row of the tallest picture."""
_PLAIN: Final = frozenset({1, 2, 6, 7})
"""Types of tags that are bytes, which cost nothing to read: BYTE, ASCII, SBYTE, UNDEFINED."""


class CarefulFile:
    """A file for Pillow that can be read in a reasonable number of pieces, and at first for its header alone."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._header = _HEADER_BYTES
        self._reads = _READS + file.seek(0, io.SEEK_END) // _BYTES_PER_READ
        file.seek(0)

    def end_of_header(self) -> None:
        """From now on any number of bytes may be read."""
        self._header = -1

    def read(self, size: int = -1) -> bytes:
        """As a file does it.

        Raises:
            ValueError: too much was read, or in too small pieces.
        """
        self._reads -= 1
        if self._reads < 0:
            raise ValueError("it has too many parts")
        data = self._file.read(size)
        if self._header >= 0 and size >= 0:  # decoders that read the whole file at once have bounds of their own
            self._header -= len(data)
            if self._header < 0:
                raise ValueError(f"it has more than {_HEADER_BYTES >> 20} MiB of metadata")
        return data

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """As a file does it."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """As a file does it."""
        return self._file.tell()


def open_carefully(file: BinaryIO, formats: tuple[str, ...]) -> tuple[Image.Image, int]:
    """The picture in `file`, not decoded, and the most pixels that a decoder holds at a time.

    Raises:
        Exception: whatever Pillow stumbles over, and ValueError for what is beyond the bounds.
    """
    careful = CarefulFile(file)
    picture = Image.open(cast("BinaryIO", careful), formats=formats)
    careful.end_of_header()
    return picture, max(picture.width * picture.height, _tile_pixels(picture))


def _tile_pixels(picture: Image.Image) -> int:
    """Pixels of a tile of a TIFF file, which may be larger than the picture; 0 if it has none."""
    tags = getattr(picture, "tag_v2", {})
    width, height = (_largest(tags.get(tag, 0)) for tag in (TILEWIDTH, TILELENGTH))
    return width * height


def _largest(value: Any) -> int:
    return int(max(value) if isinstance(value, tuple) else value)


def _load_few(self: ImageFileDirectory_v2, fp: IO[bytes]) -> None:
    """Read a directory, but skip tags with more numbers than there is a use for, as Pillow skips damaged ones."""
    _load(self, fp)
    for tag, data in tuple(self._tagdata.items()):
        kind = self.tagtype[tag]
        if kind not in _PLAIN and len(data) > _TAG_VALUES * self._load_dispatch[kind][0]:
            del self._tagdata[tag]  # else Pillow makes a Python object of each number


# Here and not around each use, because Pillow reads the EXIF of JPEG and AVIF files while it opens them.
_load: Final = ImageFileDirectory_v2.load
ImageFileDirectory_v2.load = _load_few  # type: ignore[method-assign]
