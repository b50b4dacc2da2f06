"""A multipart form, read as a stream: text fields in memory, the image in a spool, everything bounded.

The image is never held whole in memory, whatever its size, and the fields may come in any order.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from easel_http.errors import BadRequest, BodyTooLarge, InvalidForm, TimedOut
from easel_http.fields import ImageToImageFields
from easel_http.spool import MEMORY_BYTES, Spool

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
    seconds: float = 120
    """Time for the whole body to arrive."""


@dataclass(frozen=True)
class Form:
    """A form that has arrived whole: its fields are valid and it has an image file (of whatever content)."""

    fields: ImageToImageFields
    image: Spool


@asynccontextmanager
async def read_form(
    headers: Mapping[str, str], stream: AsyncIterator[bytes], limits: FormLimits, required: tuple[str, ...] = ()
) -> AsyncIterator[Form]:
    """Read the body `stream` of a request to its end; the image lives as long as the context.

    `required` names fields that must not be blank, beside those that always must not.

    Raises:
        BadRequest: the body is cut short or is not well-formed.
        BodyTooLarge: it exceeds `limits`.
        InvalidForm: a field is missing or wrong, or the body is not a form at all.
        TimedOut: it did not arrive in time.
    """
    length = headers.get("content-length", "").lstrip("0")
    if len(length) > len(str(limits.body_bytes)) or int(length or 0) > limits.body_bytes:
        raise _too_large(limits)
    image = Spool(limits.memory_bytes)
    try:
        try:
            async with asyncio.timeout(limits.seconds):
                texts, has_image = await _read_parts(headers.get("content-type", ""), stream, image, limits)
        except TimeoutError:
            raise TimedOut(f"the body did not arrive within {limits.seconds:g} seconds") from None
        yield Form(_valid_fields(texts, required, has_image=has_image), image)
    finally:
        image.close()


def _valid_fields(texts: dict[str, str], required: tuple[str, ...], *, has_image: bool) -> ImageToImageFields:
    """The fields; every problem is reported at once, the missing image among them."""
    problems: list[Mapping[str, Any]] = []
    fields = None
    try:
        fields = ImageToImageFields.from_texts(texts)
    except InvalidForm as error:
        problems += error.problems
    problems += [_missing(name, "Field required") for name in required if not texts.get(name)]
    if not has_image:
        problems.append(_missing("image", "a file is required here (curl: -F image=@cat.png)"))
    if problems or fields is None:
        raise InvalidForm(problems)
    return fields


def _missing(field: str, msg: str) -> Mapping[str, Any]:
    return {"type": "missing", "loc": ["body", field], "msg": msg, "input": None}


async def _read_parts(
    content_type: str, stream: AsyncIterator[bytes], image: Spool, limits: FormLimits
) -> tuple[dict[str, str], bool]:
    kind, options = parse_options_header(content_type)
    if kind.lower() != b"multipart/form-data" or not options.get(b"boundary"):
        await _discard(stream, limits)
        return {}, False
    parts = _Parts(limits)
    try:
        await _feed(MultipartParser(options[b"boundary"], parts.callbacks()), parts, stream, image)
    except FormParserError as error:
        await _discard(stream, limits)
        raise BadRequest(f"the body is not well-formed multipart/form-data: {error}") from error
    except (BadRequest, InvalidForm):
        await _discard(stream, limits)
        raise
    if not parts.complete:
        raise BadRequest("the body ends before its closing boundary: the upload was cut short")
    return parts.texts(), parts.has_image


async def _feed(parser: MultipartParser, parts: "_Parts", stream: AsyncIterator[bytes], image: Spool) -> None:
    received = 0
    async for chunk in stream:
        received += len(chunk)
        if received > parts.limits.body_bytes:
            raise _too_large(parts.limits)
        parser.write(chunk)
        for data in parts.take_image_data():
            await image.write(data)


async def _discard(stream: AsyncIterator[bytes], limits: FormLimits) -> None:
    """Read a body of no use, so that the caller gets to read the answer."""
    received = 0
    async for chunk in stream:
        received += len(chunk)
        if received > limits.body_bytes:
            raise _too_large(limits)


def _too_large(limits: FormLimits) -> BodyTooLarge:
    return BodyTooLarge(f"the body is larger than the {limits.body_bytes} bytes that are taken")


@dataclass
class _Parts:
    """What the parser has found so far."""

    limits: FormLimits
    complete: bool = False
    has_image: bool = False
    _texts: dict[str, bytearray] = field(default_factory=dict)
    _image_data: list[bytes] = field(default_factory=list)
    _parts: int = 0
    _name: str = ""
    _is_file: bool = False
    _header: bytearray = field(default_factory=bytearray)
    _value: bytearray = field(default_factory=bytearray)

    def callbacks(self) -> "MultipartCallbacks":
        """The parser's events, by its names."""
        return {
            "on_part_begin": self._begin,
            "on_header_field": lambda data, start, end: self._header.extend(data[start:end]),
            "on_header_value": lambda data, start, end: self._value.extend(data[start:end]),
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
        """The text fields, decoded."""
        try:
            return {name: bytes(value).decode() for name, value in self._texts.items()}
        except UnicodeDecodeError as error:
            raise BadRequest(f"a text field is not UTF-8: {error.reason}") from error

    def _begin(self) -> None:
        self._parts += 1
        if self._parts > self.limits.parts:
            raise BodyTooLarge(f"the form has more than {self.limits.parts} parts")
        self._name, self._is_file = "", False

    def _end_header(self) -> None:
        if bytes(self._header).lower() == b"content-disposition":
            _, options = parse_options_header(bytes(self._value))
            self._name = options.get(b"name", b"").decode("utf-8", "replace")
            self._is_file = b"filename" in options
        self._header.clear()
        self._value.clear()

    def _start_content(self) -> None:
        if not self._name:
            raise BadRequest("a part of the form has no name")
        if self._name == "image":
            if not self._is_file:
                raise InvalidForm.at("image", "must be a file (curl: -F image=@cat.png)")
            if self.has_image:
                raise InvalidForm.at("image", "is given twice; send one image")
            self.has_image = True
        elif self._name in ImageToImageFields.model_fields:
            if self._is_file:
                raise InvalidForm.at(self._name, "must be text, not a file")
            if self._name in self._texts:
                raise InvalidForm.at(self._name, "is given twice")
            self._texts[self._name] = bytearray()

    def _content(self, data: bytes, start: int, end: int) -> None:
        if self._name == "image":
            self._image_data.append(data[start:end])
        elif (text := self._texts.get(self._name)) is not None:
            text += data[start:end]
            if len(text) > self.limits.text_bytes:
                raise InvalidForm.at(self._name, f"is longer than {self.limits.text_bytes} bytes")

    def _finish(self) -> None:
        self.complete = True
