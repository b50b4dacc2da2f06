"""Small pictures and uploads."""

import io
import struct
import zlib

from PIL import Image


def picture(width: int = 64, height: int = 48) -> Image.Image:
    """A picture with a gradient, so that a flipped, shifted or stretched copy is not equal to it."""
    red = Image.linear_gradient("L").resize((width, height))
    green = Image.radial_gradient("L").resize((width, height))
    return Image.merge("RGB", (red, green, red.rotate(90).resize((width, height))))


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    """`image` as a file."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def png(width: int = 64, height: int = 48) -> bytes:
    """`picture` as a PNG file."""
    return encoded(picture(width, height))


def bomb(width: int = 20_000, height: int = 10_000) -> bytes:
    """A valid black PNG of 200 megapixels, one bit each, in about 25 kB."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    compressor = zlib.compressobj(9)
    row = b"\0" * (width // 8 + 1)
    pixels = b"".join(compressor.compress(row) for _ in range(height)) + compressor.flush()
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def form(texts: dict[str, str], image: bytes | None, *, image_first: bool = False) -> tuple[str, bytes]:
    """Content type and body of a multipart form, written by hand so that tests decide about every byte."""
    boundary = "easel-test-boundary"
    parts = [f'Content-Disposition: form-data; name="{name}"\r\n\r\n{text}'.encode() for name, text in texts.items()]
    if image is not None:
        head = b'Content-Disposition: form-data; name="image"; filename="in.png"\r\nContent-Type: image/png\r\n\r\n'
        parts.insert(0 if image_first else len(parts), head + image)
    body = b"".join(b"--" + boundary.encode() + b"\r\n" + part + b"\r\n" for part in parts)
    return f"multipart/form-data; boundary={boundary}", body + b"--" + boundary.encode() + b"--\r\n"
