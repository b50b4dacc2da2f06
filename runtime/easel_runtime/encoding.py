"""Pictures on their way out, as files: PNG, WebP, JPEG.

PNG is written here, of numpy's filter and ISA-L's deflate: 0.04 to 0.10 of the time of Pillow's default for up to a
ninth more bytes, where OpenCV takes 0.17 to 0.26 of it and 150 MB of libraries (docs/benchmarks.md). Both
let go of the interpreter while they work, so encoding on a thread holds up nobody.
"""

import io
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from PIL.Image import Image

if TYPE_CHECKING:
    from numpy.typing import NDArray

PNG: Final = "image/png"
_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
_UP: Final = 2
"""PNG's filter 2: each row as its difference from the one above. The best of the five for its time."""
_LEVEL: Final = 1
_QUALITY: Final = 95
"""Of JPEG and WebP, where Pillow's own (75, 80) shows."""


@dataclass(frozen=True)
class Encoded:
    """A picture as a file."""

    data: bytes
    media_type: str = PNG


Encode = Callable[[Image], Encoded]


def encode_png(picture: Image) -> Encoded:
    """`picture`, RGB, as PNG; the same picture gives the same bytes."""
    # Late, as numpy is a tenth of the time until the port listens.
    import numpy as np
    from isal import isal_zlib

    def chunk(kind: bytes, data: bytes) -> bytes:
        check = isal_zlib.crc32(data, isal_zlib.crc32(kind))
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", check)

    header = struct.pack(">IIBBBBB", picture.width, picture.height, 8, 2, 0, 0, 0)
    rows = _differences(np.asarray(picture.convert("RGB")).reshape(picture.height, picture.width * 3))
    body = isal_zlib.compress(rows, _LEVEL)
    return Encoded(_SIGNATURE + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b""))


def _differences(rows: "NDArray[Any]") -> "NDArray[Any]":
    """`rows`, each as its difference (modulo 256) from the one above, after the number of that filter."""
    import numpy as np

    filtered = np.empty((rows.shape[0], rows.shape[1] + 1), np.uint8)
    filtered[:, 0] = _UP
    filtered[0, 1:] = rows[0]
    np.subtract(rows[1:], rows[:-1], out=filtered[1:, 1:])
    return filtered


def _by_pillow(kind: str, **options: object) -> Encode:
    def encode(picture: Image) -> Encoded:
        buffer = io.BytesIO()
        picture.save(buffer, kind, **options)
        return Encoded(buffer.getvalue(), f"image/{kind.lower()}")

    return encode


ENCODERS: Final[Mapping[str, Encode]] = MappingProxyType(
    {
        PNG: encode_png,
        "image/webp": _by_pillow("WEBP", quality=_QUALITY),
        "image/jpeg": _by_pillow("JPEG", quality=_QUALITY),
    }
)
"""By media type."""
