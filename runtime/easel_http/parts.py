"""The parts of a multipart form as a parser finds them: texts that have a meaning, one image, everything bounded."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from python_multipart.multipart import parse_options_header

from easel_http.errors import BadRequest, BodyTooLarge, InvalidForm, TimedOut
from easel_http.fields import ImageToImageFields
from easel_http.spool import MEMORY_BYTES

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks


@dataclass(frozen=True)
class FormLimits:
    """How much of a form is taken."""

    body_bytes: int = 32 << 20
    """Bytes of the whole body."""
    text_bytes: int = 64 << 10
    """Bytes of one text field."""
    parts: int = 40
    """Fields and files."""
    memory_bytes: int = MEMORY_BYTES
    """Bytes of the image that stay in memory; what is beyond goes to disk, at the price of a thread for each piece."""
    spare_bytes: int = 0
    """Bytes that an upload must leave free on that disk."""
    seconds: float = 120
    """Time for the whole body to arrive."""

    @property
    def too_large(self) -> BodyTooLarge:
        """What to say of a body that has more bytes."""
        return BodyTooLarge(f"the body is larger than the {self.body_bytes} bytes that are taken")

    @property
    def too_late(self) -> TimedOut:
        """What to say of a body that takes longer."""
        return TimedOut(f"the body did not arrive within {self.seconds:g} seconds")

    def check_length(self, headers: Mapping[str, str]) -> None:
        """Refuse a body that says itself that it is too large.

        Raises:
            BodyTooLarge: it does.
        """
        length = headers.get("content-length", "").lstrip("0")
        if len(length) > len(str(self.body_bytes)) or int(length or 0) > self.body_bytes:
            raise self.too_large


def _nothing(_: Mapping[str, str]) -> None:
    pass


@dataclass(frozen=True)
class Names:
    """What a client dialect calls the fields of the form."""

    texts: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """Ours by theirs. One that is blank has no name of ours: `check` gets to see it. Our own names are always known."""
    files: tuple[str, ...] = ("image",)
    """Names under which the image may come."""
    check: Callable[[Mapping[str, str]], None] = _nothing
    """Called with all texts by the caller's names, before any work begins; raises what speaks against them."""


SEED: Final = Names()
"""The names of the seed contract."""
_USUAL: Final = re.compile(rb'form-data; name="([^"\\%]*)"(; filename="[^"\\]*")?')
"""How nearly all clients write it. Twenty times as fast as the parser for everything that may stand there."""
_OURS: Final = frozenset(ImageToImageFields.model_fields)


@dataclass
class Parts:
    """What the parser has found so far."""

    limits: FormLimits
    names: Names = SEED
    complete: bool = False
    has_image: bool = False
    _texts: dict[str, bytearray] = field(default_factory=dict)
    """By the caller's names."""
    _image_data: list[bytes] = field(default_factory=list)
    _parts: int = 0
    _name: str = ""
    _is_file: bool = False
    _text: bytearray | None = None
    _header: bytes = b""
    _value: bytes = b""

    def callbacks(self) -> "MultipartCallbacks":
        """The parser's events, by its names."""
        return {
            "on_part_begin": self._begin,
            "on_header_field": self._header_field,
            "on_header_value": self._header_value,
            "on_header_end": self._end_header,
            "on_headers_finished": self._start_content,
            "on_part_data": self._content,
            "on_end": self._finish,
        }

    def take_image_data(self) -> list[bytes]:
        """Bytes of the image since the last call."""
        data, self._image_data = self._image_data, []
        return data

    def texts(self) -> dict[str, str]:
        """The text fields by the caller's names, decoded; the one that is arriving as far as it has come."""
        try:
            return {name: value.decode() for name, value in self._texts.items()}
        except UnicodeDecodeError as error:
            raise BadRequest(f"a text field is not UTF-8: {error.reason}") from error

    def ours(self, name: str) -> str:
        """Our name for the caller's `name`; empty if it is a field that we have no name for."""
        return self.names.texts.get(name, name if name in _OURS else "")

    def _begin(self) -> None:
        self._parts += 1
        if self._parts > self.limits.parts:
            raise BodyTooLarge(f"the form has more than {self.limits.parts} parts")
        self._name, self._is_file, self._text = "", False, None

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _end_header(self) -> None:
        if self._header.lower() == b"content-disposition":
            if usual := _USUAL.fullmatch(self._value):
                name, self._is_file = usual[1], usual[2] is not None
            else:
                _, options = parse_options_header(self._value)
                name, self._is_file = options.get(b"name", b""), b"filename" in options
            self._name = name.decode("utf-8", "replace")
        self._header = self._value = b""

    def _start_content(self) -> None:
        name = self._name
        if not name:
            raise BadRequest("a part of the form has no name")
        if name in self.names.files:
            if not self._is_file:
                raise InvalidForm.at(name, "must be a file (curl: -F image=@cat.png)")
            if self.has_image:
                raise InvalidForm.at(name, "is given twice; send one image")
            self.has_image = True
        elif name in _OURS or name in self.names.texts:
            if self._is_file and self.ours(name):
                raise InvalidForm.at(name, "must be text, not a file")
            self._check_once(name)
            self._text = self._texts[name] = bytearray()

    def _check_once(self, name: str) -> None:
        """Refuse a second text of one field, whatever it is called: which of them counts would be anyone's guess."""
        if name in self._texts:
            raise InvalidForm.at(name, "is given twice")
        if not self.names.texts or not (ours := self.ours(name)):
            return
        for other in self._texts:
            if self.ours(other) == ours:
                raise InvalidForm.at(name, f"is given twice: {other} is the same field")

    def _content(self, data: bytes, start: int, end: int) -> None:
        if self._text is not None:
            if self._is_file:  # of a name that has no meaning for us: that it is there is enough
                return
            self._text += data[start:end]
            if len(self._text) > self.limits.text_bytes:
                raise InvalidForm.at(self._name, f"is longer than {self.limits.text_bytes} bytes")
        elif self._name in self.names.files:
            self._image_data.append(data[start:end])

    def _finish(self) -> None:
        self.complete = True
