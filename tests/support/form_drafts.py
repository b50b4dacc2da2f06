"""Multipart requests in the pieces that they are made of, so that each piece can be made wrong by itself."""

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from support.pictures import encoded, picture, png

BOUNDARY = b"easel-damaged-form-boundary"
_DISPOSITION = b"Content-Disposition"


@dataclass(eq=False)
class Part:
    """A part of a form: its headers as they are on the wire, and its content."""

    headers: list[tuple[bytes, bytes]]
    content: bytes


def text(name: str, content: str | bytes) -> Part:
    """A text field."""
    raw = content.encode() if isinstance(content, str) else content
    return Part([(_DISPOSITION, b'form-data; name="' + name.encode() + b'"')], raw)


def file(name: str, content: bytes, filename: bytes = b"in.png") -> Part:
    """A file."""
    disposition = b'form-data; name="' + name.encode() + b'"; filename="' + filename + b'"'
    return Part([(_DISPOSITION, disposition), (b"Content-Type", b"image/png")], content)


@dataclass
class Draft:
    """A request to the gateway, which is good until somebody changes it."""

    parts: list[Part]
    path: bytes = b"/image-to-image"
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    boundary: bytes = BOUNDARY
    content_type: bytes | None = b"multipart/form-data; boundary=" + BOUNDARY
    line: bytes = b"\r\n"
    closing: bytes = b"--"
    preamble: bytes = b""
    epilogue: bytes = b""
    body: bytes | None = None
    """In the place of the parts."""
    damages: list[Callable[[bytearray], object]] = field(default_factory=list)
    """What is done to the bytes of the body at last."""
    lengths: list[Callable[[int], bytes]] | None = None
    """What is said to be its length; None: the truth."""
    chunks: Callable[[bytes], bytes] | None = None
    """How it is written in chunks, if it is."""
    cuts: int = 0
    """In how many pieces it is sent, beside the first one."""
    each_byte: bool = False
    """Whether each of the last bytes is sent alone."""
    waits: bool = False
    """Whether it may promise more than it sends, so that who reads it waits in vain."""
    is_http: bool = True
    """Whether it is fit for HTTP before anybody looks at the form."""

    def part(self, name: str) -> Part | None:
        """The first part of that name."""
        wanted = b'name="' + name.encode() + b'"'
        return next((part for part in self.parts if any(wanted in value for _, value in part.headers)), None)

    def remove(self, name: str) -> None:
        """Take the first part of that name away, if there is one."""
        if (found := self.part(name)) is not None:
            self.parts.remove(found)

    def written(self) -> bytes:
        """The body as bytes."""
        body = bytearray(self.preamble)
        for part in self.parts:
            lines = b"".join(name + b": " + value + self.line for name, value in part.headers)
            body += b"--" + self.boundary + self.line + lines + self.line + part.content + self.line
        body += b"--" + self.boundary + self.closing + self.line + self.epilogue
        if self.body is not None:
            body = bytearray(self.body)
        for damage in self.damages:
            damage(body)
        return bytes(body)

    def pieces(self, chance: Random) -> tuple[bytes, ...]:
        """The whole request, in the pieces that are sent one by one."""
        body = self.written()
        said = self.lengths if self.lengths is not None else [lambda length: b"%d" % length] * (self.chunks is None)
        headers = [(b"Host", b"gateway"), *self.headers, *((b"Content-Length", length(len(body))) for length in said)]
        if self.content_type is not None:
            headers.append((b"Content-Type", self.content_type))
        lines = b"".join(name + b": " + value + b"\r\n" for name, value in headers)
        whole = b"POST " + self.path + b" HTTP/1.1\r\n" + lines + b"\r\n" + (self.chunks or bytes)(body)
        places = sorted(chance.randrange(len(whole)) for _ in range(self.cuts))
        if self.each_byte:
            places = list(range(max(0, len(whole) - 300), len(whole)))
        ends = zip([0, *places], [*places, len(whole)], strict=True)
        return tuple(whole[start:end] for start, end in ends if start < end)


def good(chance: Random) -> Draft:
    """A request as any client may send it: the picture small or larger, before, between or after the texts."""
    image = encoded(picture(200, 150), "BMP") if chance.random() < 0.1 else png(chance.randrange(1, 40), 16)
    parts = [text("model_id", "easel/demo"), text("prompt", "a cat"), text("seed", str(chance.randrange(99)))]
    parts.insert(chance.randrange(4), file("image", image))
    return Draft(parts)
