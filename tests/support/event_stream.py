"""Server-sent events as a client reads them."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any


@dataclass
class Stream:
    """The events of one answer, as they come."""

    status: int
    headers: dict[str, str]
    lines: AsyncIterator[str]

    async def next(self) -> tuple[str, Any]:
        """Name and data of the next event; of a comment, its text and None."""
        name = ""
        async for line in self.lines:
            if line.startswith(":"):
                return line, None
            key, _, value = line.partition(": ")
            if key == "event":
                name = value
            elif key == "data":
                return name, json.loads(value)
        raise EOFError

    async def rest(self) -> list[tuple[str, Any]]:
        """Every event until the stream ends."""
        found = []
        try:
            while True:
                found.append(await self.next())
        except EOFError:
            return found
