"""What a runtime tells while it works, each event a part of its answer: on to the caller."""

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

import aiohttp

Tell = Callable[[str, Mapping[str, Any]], None]
"""Takes the name and the data of an event."""
Ending = tuple[int, dict[str, Any], str]
"""Status, body and Retry-After of an error."""
_FORWARDED: Final = ("queued", "step")
"""Of others, callers know nothing."""
_BYTES: Final = 64 << 10
_PIECE: Final = 16 << 10


async def forward(name: str, part: aiohttp.BodyPartReader, tell: Tell | None) -> Ending | None:
    """Pass the event `name`, which `part` consists of, on to `tell`; returns the error, if that is what it is.

    Raises:
        LookupError, ValueError: it makes no sense.
    """
    data = await _object(part)
    if name == "error":
        status = int(str(data.pop("status")))
        if status not in range(400, 600):
            raise ValueError(f"{status} is no status of an error")
        return status, data, str(data.pop("retry_after", ""))
    if tell is not None and name in _FORWARDED:
        tell(name, data)
    return None


async def _object(part: aiohttp.BodyPartReader) -> dict[str, Any]:
    text = bytearray()
    while piece := await part.read_chunk(_PIECE):
        text += piece
        if len(text) > _BYTES:
            raise ValueError("an event is too large")
    data = json.loads(text)
    if not isinstance(data, dict):
        raise ValueError("an event is no object")  # noqa: TRY004 (the other side's mistake, not ours)
    return data
