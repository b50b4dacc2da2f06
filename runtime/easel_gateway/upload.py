"""One request while it is worked on: what it consists of, however it came, and what must be given back in the end."""

from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Protocol

from starlette.datastructures import Headers

from easel_gateway.forwarding import Tell
from easel_gateway.keys import Caller
from easel_gateway.order import Order
from easel_http.errors import InvalidForm
from easel_http.fields import ImageToImageFields
from easel_http.spool import Spool


class Content(Protocol):
    """Fields and an image, which may still be arriving; see `easel_http.form.FormReader`."""

    @property
    def image(self) -> Spool: ...
    @property
    def ended(self) -> bool: ...
    async def read(self) -> None: ...
    def so_far(self, name: str) -> str: ...
    def sent(self) -> Mapping[str, str]: ...
    def fields(self, required: tuple[str, ...] = ()) -> ImageToImageFields: ...
    def close(self) -> None: ...


class Watch(Protocol):
    """Is told what becomes of a request."""

    def accepted(self, order: Order) -> None: ...
    def tell(self, name: str, data: Mapping[str, Any]) -> None: ...


@dataclass(frozen=True)
class Given:
    """Content that came whole, by another way than a form."""

    texts: dict[str, str]
    """By our names."""
    image: Spool
    ended: bool = True

    async def read(self) -> None:
        """There is nothing left to read."""

    def so_far(self, name: str) -> str:
        """The text of the field that we call `name`."""
        return self.texts.get(name, "")

    def sent(self) -> Mapping[str, str]:
        """All texts."""
        return self.texts

    def fields(self, required: tuple[str, ...] = ()) -> ImageToImageFields:
        """The valid fields.

        Raises:
            InvalidForm: some are missing or wrong.
        """
        fields = ImageToImageFields.from_texts(self.texts)
        for name in required:
            if not self.texts.get(name):
                raise InvalidForm.at(name, "Field required", kind="missing")
        return fields

    def close(self) -> None:
        """Give back what the image takes."""
        self.image.close()


@dataclass
class Upload:
    """One request from its head to its answer; in the end of it, as a context, all is given back."""

    content: Content
    headers: Headers
    caller: Caller
    watch: Watch | None = None
    """Who wants to know what becomes of it."""
    held: AsyncExitStack = field(default_factory=AsyncExitStack)
    """What is given back when the request has ended."""
    charged: bool = False
    any_model: bool = False
    """Whether a request that names no model is for the only one that there is."""

    async def __aenter__(self) -> "Upload":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await self.held.__aexit__(kind, error, trace)
        finally:
            self.content.close()

    @property
    def tell(self) -> Tell | None:
        """What tells of its events, if anybody wants to know."""
        return None if self.watch is None else self.watch.tell
