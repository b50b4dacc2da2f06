"""Server-sent events, as the HTML standard has them, and the parts that stand for them between gateway and runtime."""

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from easel_http.errors import ApiError

EVENTS: Final = "text/event-stream"
PROGRESS: Final = "multipart/vnd.easel.progress"
"""As multipart/mixed with a part per image, and before these a part of JSON for each event, which `EVENT` names."""
EVENT: Final = "X-Easel-Event"
KEEP_ALIVE: Final = b": still here\n\n"
KEEP_ALIVE_SECONDS: Final = 10.0
"""Proxies close connections on which nothing comes for a minute or less."""
EVENT_HEADERS: Final[Mapping[str, str]] = MappingProxyType(
    # X-Accel-Buffering: nginx would else collect the events.
    {"Vary": "Accept", "Cache-Control": "no-store", "X-Accel-Buffering": "no"}
)


def event(name: str, data: Mapping[str, Any]) -> bytes:
    """One event."""
    return f"event: {name}\ndata: {json.dumps(data)}\n\n".encode()


def failure(error: ApiError) -> dict[str, Any]:
    """Data of the event that tells of `error`, which has the status and the body of its answer, and `retry_after`."""
    data = {"status": error.status, **error.body()}
    if (seconds := error.headers.get("Retry-After", "")).isdecimal():
        data["retry_after"] = int(seconds)
    return data


def event_schema(*names: str) -> dict[str, Any]:
    """Of one of the events of these names, for OpenAPI."""
    return {
        "description": "Each of the events.",
        "type": "object",
        "properties": {
            "event": {"type": "string", "enum": list(names)},
            "data": {"type": "string", "contentMediaType": "application/json"},
        },
        "required": ["event", "data"],
    }
