"""Width and height from a picture's first bytes, for what is sent most: no decoder, no thread, a few microseconds.

What these bytes leave open is for `easel_http.picture`, and whether the rest is sound for whoever decodes it.
"""

import zlib
from typing import Final

HEAD_BYTES: Final = 1 << 16
"""So far into a file one needs to look; cameras put previews of tens of kilobytes before the size in a JPEG."""
_SEGMENTS: Final = 64
"""Most segments of a JPEG before its size; with more it is a matter for a decoder."""
_FRAMES: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
"""Markers of a JPEG that begin a frame (ITU T.81, table B.1); the three others among them are tables."""
_ALONE: Final = frozenset({0x01, *range(0xD0, 0xD8)})
"""Markers without a length."""

Size = tuple[int, int]


def size_of(head: bytes) -> Size | None:
    """Width and height of the PNG, JPEG, WebP or BMP file that begins with `head`; None: it does not tell."""
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        size = _png(head)
    elif head.startswith(b"\xff\xd8"):
        size = _jpeg(head)
    elif head.startswith(b"RIFF"):
        size = _webp(head)
    elif head.startswith(b"BM"):
        size = _bmp(head)
    else:
        return None
    return size if size is not None and min(size) > 0 else None


def _png(head: bytes) -> Size | None:
    """Of the first chunk, whose checksum must be right (PNG 3rd edition, 11.2.1)."""
    if len(head) < 33 or head[8:16] != b"\0\0\0\rIHDR":
        return None
    if zlib.crc32(head[12:29]) != int.from_bytes(head[29:33], "big"):
        return None
    return int.from_bytes(head[16:20], "big"), int.from_bytes(head[20:24], "big")


def _jpeg(head: bytes) -> Size | None:
    """Of the first frame."""
    at = 2
    for _ in range(_SEGMENTS):
        while at < len(head) and head[at] == 0xFF:
            at += 1
        if at < 3 or at + 7 >= len(head) or head[at - 1] != 0xFF:
            return None
        marker = head[at]
        if marker in _FRAMES:
            return int.from_bytes(head[at + 6 : at + 8], "big"), int.from_bytes(head[at + 4 : at + 6], "big")
        at += 1 if marker in _ALONE else 1 + int.from_bytes(head[at + 1 : at + 3], "big")
    return None


def _webp(head: bytes) -> Size | None:
    """Of the first chunk (RFC 9649, sections 2.5 to 2.7)."""
    if len(head) < 30 or head[8:12] != b"WEBP":
        return None
    match head[12:16]:
        case b"VP8X":
            return 1 + int.from_bytes(head[24:27], "little"), 1 + int.from_bytes(head[27:30], "little")
        case b"VP8L":
            bits = int.from_bytes(head[21:25], "little")
            return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
        case b"VP8 ":
            sizes = int.from_bytes(head[26:28], "little"), int.from_bytes(head[28:30], "little")
            return sizes[0] & 0x3FFF, sizes[1] & 0x3FFF
    return None


def _bmp(head: bytes) -> Size | None:
    """Of the information header in one of its usual lengths; a height below zero says that rows go downwards."""
    if len(head) < 30 or int.from_bytes(head[14:18], "little") not in (40, 52, 56, 64, 108, 124):
        return None
    height = int.from_bytes(head[22:26], "little", signed=True)
    return int.from_bytes(head[18:22], "little", signed=True), abs(height)
