"""Files of at most some megabytes that would take gigabytes, or minutes, of who reads them without bounds."""

import struct
import zlib
from collections.abc import Callable, Mapping
from functools import cache
from types import MappingProxyType
from typing import Final

from support.pictures import bomb, encoded, picture

Entry = tuple[int, int, int, int]
"""Tag, type, count and value of a TIFF directory."""
_SHORT, _LONG, _RATIONAL, _BYTE = 3, 4, 5, 1
_DEFLATE = 8
_SIDE = 16


def chunk(kind: bytes, data: bytes) -> bytes:
    """A chunk of a PNG file."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


@cache
def zeros(size: int) -> bytes:
    """`size` zeros, deflated."""
    compressor = zlib.compressobj(9)
    block = bytes(1 << 20)
    return b"".join(compressor.compress(block) for _ in range(size >> 20)) + compressor.flush()


def directory(*entries: Entry) -> bytes:
    return struct.pack("<H", len(entries)) + b"".join(struct.pack("<HHII", *entry) for entry in entries) + bytes(4)


def tiff(data: bytes, *entries: Entry, side: int = _SIDE, compression: int = 1) -> bytes:
    """A grey TIFF of `side` squared with `data` at byte 8 and these tags beside the usual ones."""
    usual = [(256, side), (257, side), (258, 8), (259, compression), (262, 1), (277, 1)]
    data += bytes(len(data) % 2)
    tags = sorted([*((tag, _SHORT if value < 65536 else _LONG, 1, value) for tag, value in usual), *entries])
    return b"II*\0" + struct.pack("<I", 8 + len(data)) + data + directory(*tags)


def tiff_in_strips(count: int) -> bytes:
    """As many strips as `count`, all of them at the same place."""
    where = (273, _LONG, count, 8), (278, _SHORT, 1, 1), (279, _LONG, count, 8)
    return tiff(struct.pack("<I", 8) * count, *where)


def tiff_with_a_tile(side: int) -> bytes:
    """A tile of `side` squared, of which the picture shows a corner."""
    data = zeros(side * side)
    tags = (322, _LONG, 1, side), (323, _LONG, 1, side), (324, _LONG, 1, 8), (325, _LONG, 1, len(data))
    return tiff(data, *tags, compression=_DEFLATE)


def tiff_with_a_tall_strip() -> bytes:
    """A strip of two thousand million rows, of which the picture shows sixteen."""
    data = zeros(64 << 20)
    tags = (273, _LONG, 1, 8), (278, _LONG, 1, 2_000_000_000), (279, _LONG, 1, len(data))
    return tiff(data, *tags, compression=_DEFLATE)


def overlapping(count: int, size: int) -> tuple[bytes, list[Entry]]:
    """`size` bytes, and `count` tags that each claim all of them."""
    return bytes(size), [(40_000 + number, _BYTE, size, 8) for number in range(count)]


def tiff_of_overlaps() -> bytes:
    data, tags = overlapping(2000, 1 << 20)
    return tiff(data, (273, _LONG, 1, 8), (278, _SHORT, 1, _SIDE), (279, _LONG, 1, _SIDE * _SIDE), *tags)


def exif(data: bytes, *entries: Entry) -> bytes:
    return b"II*\0" + struct.pack("<I", 8 + len(data)) + data + directory(*entries)


def exif_of_overlaps() -> bytes:
    data, tags = overlapping(2000, 1 << 20)
    return exif(data, *tags)


def exif_of_fractions(tag: int, count: int = 500_000) -> bytes:
    """One tag with `count` fractions where one is expected; Pillow makes an object of each."""
    return exif(struct.pack("<II", 1, 1) * count, (tag, _RATIONAL, count, 8), (296, _SHORT, 1, 2))


def png_with(*chunks: tuple[bytes, bytes]) -> bytes:
    """A good PNG with these chunks before its pixels."""
    good = encoded(picture())
    return good[:33] + b"".join(chunk(*each) for each in chunks) + good[33:]


def png_claiming(width: int, height: int, data: bytes) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def jpeg_with(*segments: tuple[int, bytes]) -> bytes:
    """A good JPEG with these segments first, and without its resolution, which Pillow then looks for in EXIF."""
    good = encoded(picture(), "JPEG")
    rest = good[4 + struct.unpack(">H", good[4:6])[0] :]
    head = b"".join(bytes((0xFF, kind)) + struct.pack(">H", len(data) + 2) + data for kind, data in segments)
    return good[:2] + head + rest


def jpeg_with_exif(data: bytes) -> bytes:
    pieces = [data[start : start + 65_000] for start in range(0, len(data), 65_000)]
    return jpeg_with(*((0xE1, b"Exif\0\0" + piece) for piece in pieces))


def gif_with(extension: bytes, count: int) -> bytes:
    good = encoded(picture().convert("P"), "GIF")
    at = good.index(b",\0\0\0\0")
    return good[:at] + extension * count + good[at:]


def gif_claiming(offset: int) -> bytes:
    """A GIF whose screen (offset 6) or first frame is 65,535 squared."""
    good = bytearray(encoded(picture().convert("P"), "GIF"))
    at = offset or good.index(b",\0\0\0\0") + 5
    good[at : at + 4] = b"\xff" * 4
    return bytes(good)


def webp_claiming() -> bytes:
    good = bytearray(encoded(picture(), "WEBP", exif=exif(b"")))
    good[24:30] = b"\xfe\x3f\0\xfe\x3f\0"
    return bytes(good)


def avif_claiming(width: int, height: int) -> bytes:
    good = bytearray(encoded(picture(), "AVIF", speed=10))
    at = good.index(b"ispe") + 8
    good[at : at + 8] = struct.pack(">II", width, height)
    return bytes(good)


def bmp_claiming() -> bytes:
    good = bytearray(encoded(picture(), "BMP"))
    good[18:26] = struct.pack("<ii", 0x7FFFFFFF, -0x7FFFFFFF)
    return bytes(good)


BOMBS: Final[Mapping[str, Callable[[], bytes]]] = MappingProxyType(
    {
        "PNG of 200 megapixels": bomb,
        "PNG of 60,000 squared": lambda: png_claiming(60_000, 60_000, zeros(64 << 20)),
        "PNG whose data are longer than its size": lambda: png_claiming(8, 8, zeros(64 << 20)),
        "PNG with compressed text": lambda: png_with((b"zTXt", b"a\0\0" + zeros(64 << 20))),
        "PNG with a compressed profile": lambda: png_with((b"iCCP", b"a\0\0" + zeros(64 << 20))),
        "PNG with private chunks": lambda: png_with(*[(b"prVt", b"")] * 300_000),
        "PNG in tiny pieces": lambda: png_with(*[(b"IDAT", b"")] * 300_000),
        "PNG with overlapping EXIF": lambda: png_with((b"eXIf", exif_of_overlaps())),
        "PNG with fractions for an orientation": lambda: png_with((b"eXIf", exif_of_fractions(0x0112))),
        "JPEG with overlapping EXIF": lambda: jpeg_with_exif(exif_of_overlaps()),
        "JPEG with fractions for a resolution": lambda: jpeg_with_exif(exif_of_fractions(282)),
        "JPEG with markers": lambda: jpeg_with(*[(0xE5, b"a")] * 300_000),
        "JPEG with much EXIF": lambda: jpeg_with(*[(0xE1, b"Exif\0\0" + bytes(65_000))] * 128),
        "GIF of 65,535 squared": lambda: gif_claiming(6),
        "GIF with a frame of 65,535 squared": lambda: gif_claiming(0),
        "GIF with extensions": lambda: gif_with(b"!\x01\x01a\0", 600_000),
        "GIF with a long comment": lambda: gif_with(b"!\xfe" + (b"\xff" + b"a" * 255) * 20_000 + b"\0", 1),
        "TIFF in strips": lambda: tiff_in_strips(500_000),
        "TIFF with a huge tile": lambda: tiff_with_a_tile(12_288),
        "TIFF with a tall strip": tiff_with_a_tall_strip,
        "TIFF of overlaps": tiff_of_overlaps,
        "TIFF of 60,000 squared": lambda: tiff(b"", (273, _LONG, 1, 8), side=60_000),
        "WEBP of 16,383 squared": webp_claiming,
        "AVIF of 65,535 squared": lambda: avif_claiming(65_535, 65_535),
        "BMP of all sizes": bmp_claiming,
        "nothing": lambda: b"",
    }
)
