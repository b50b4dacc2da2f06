"""A multipart form, read as a stream: text fields in memory, the image in a spool, everything bounded.

The image is never held whole in memory, whatever its size, and the fields may come in any order.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from easel_http.errors import BadRequest, InvalidForm
from easel_http.fields import ImageToImageFields
from easel_http.parts import SEED, FormLimits, Names, Parts
from easel_http.spool import Spool, not_kept

_USUAL: Final = re.compile(r"multipart/form-data; ?boundary=([A-Za-z0-9'()+_,./:=?-]+)")
"""How nearly all clients write it. Twenty times as fast as the parser for everything that may stand there."""

__all__ = ["Form", "FormLimits", "FormReader", "Names", "read_form"]


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
        BadRequest, BodyTooLarge, InvalidForm, TimedOut, Unavailable: as `FormReader`.
    """
    reader = FormReader(headers, stream, limits)
    try:
        await reader.read()
        yield Form(reader.fields(required), reader.image)
    finally:
        reader.close()


class FormReader:
    """Reads a form in steps, so that something can begin before its end.

    Its methods raise:
        BadRequest: the body is cut short or is not well-formed.
        BodyTooLarge: it exceeds `limits`.
        InvalidForm: a field is missing or wrong, or the body is not a form at all.
        TimedOut: it did not arrive in time.
        Unavailable: there is no room for it on the disk.
    """

    def __init__(
        self, headers: Mapping[str, str], stream: AsyncIterator[bytes], limits: FormLimits, names: Names = SEED
    ) -> None:
        limits.check_length(headers)
        self.image = Spool(limits.memory_bytes, limits.spare_bytes)
        self.ended = False
        """Whether the whole form was read."""
        self._limits = limits
        self._names = names
        self._stream = stream
        self._parts = Parts(limits, names)
        self._boundary = _boundary(headers.get("content-type", ""))
        self._parser: MultipartParser | None = None
        self._received = 0
        self._until = asyncio.get_running_loop().time() + limits.seconds

    async def read(self) -> None:
        """Read to the end of the form."""
        await self._in_time(to_the_end=True)

    async def read_beginning(self) -> None:
        """Read to the end of the form, or until its image is too large to stay in memory; then go on with `read`.

        Until then nothing goes to disk.
        """
        self.image.memory_bytes = self._limits.body_bytes
        try:
            await self._in_time(to_the_end=False)
        finally:
            self.image.memory_bytes = self._limits.memory_bytes

    def so_far(self, name: str) -> str:
        """The text of the field that we call `name`, as far as it has arrived: whole once the image has begun."""
        texts = self._parts.texts()
        return next((value for theirs, value in texts.items() if self._parts.ours(theirs) == name), "")

    def sent(self) -> Mapping[str, str]:
        """The texts that have a meaning, by the caller's names."""
        return self._parts.texts()

    def fields(self, required: tuple[str, ...] = ()) -> ImageToImageFields:
        """The fields of the form that was read; every problem is reported at once, the missing image among them."""
        theirs = self._parts.texts()
        texts = {ours: value for name, value in theirs.items() if (ours := self._parts.ours(name))}
        problems: list[Mapping[str, Any]] = []
        fields = None
        try:
            fields = ImageToImageFields.from_texts(texts)
        except InvalidForm as error:
            problems += error.problems
        problems += [_missing(name, "Field required") for name in required if not texts.get(name)]
        if not self._parts.has_image:
            problems.append(_missing("image", "a file is required here (curl: -F image=@cat.png)"))
        if problems or fields is None:
            raise InvalidForm(problems)
        self._names.check(theirs)
        return fields

    def close(self) -> None:
        """Give back what the image takes."""
        self.image.close()

    async def _in_time(self, *, to_the_end: bool) -> None:
        try:
            async with asyncio.timeout_at(self._until):
                await self._read(to_the_end=to_the_end)
        except TimeoutError:
            raise self._limits.too_late from None
        except OSError as error:
            raise not_kept(error) from error

    async def _read(self, *, to_the_end: bool) -> None:
        if not self._boundary:
            await self._discard()
            return
        try:
            parser = self._parser = self._parser or MultipartParser(self._boundary, self._parts.callbacks())
            async for chunk in self._stream:
                await self._take(chunk, parser)
                if not to_the_end and self.image.size > self._limits.memory_bytes:
                    return
        except FormParserError as error:
            await self._discard()
            raise BadRequest(f"the body is not well-formed multipart/form-data: {error}") from error
        except (BadRequest, InvalidForm):
            await self._discard()
            raise
        if not self._parts.complete:
            raise BadRequest("the body ends before its closing boundary: the upload was cut short")
        await self.image.finish()
        self.ended = True

    async def _take(self, chunk: bytes, parser: MultipartParser) -> None:
        self._received += len(chunk)
        if self._received > self._limits.body_bytes:
            raise self._limits.too_large
        parser.write(chunk)
        for data in self._parts.take_image_data():
            await self.image.write(data)

    async def _discard(self) -> None:
        """Read a body of no use, so that the caller gets to read the answer."""
        async for chunk in self._stream:
            self._received += len(chunk)
            if self._received > self._limits.body_bytes:
                raise self._limits.too_large


def _boundary(content_type: str) -> bytes | None:
    """What stands between the parts of a form; None if it is no form."""
    if usual := _USUAL.fullmatch(content_type):
        return usual[1].encode()
    kind, options = parse_options_header(content_type)
    return options.get(b"boundary") if kind.lower() == b"multipart/form-data" else None


def _missing(field: str, msg: str) -> Mapping[str, Any]:
    return {"type": "missing", "loc": ["body", field], "msg": msg, "input": None}
