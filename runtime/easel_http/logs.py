"""Log lines with fields, as `words key=value` or as one JSON object, and with the id of the request they belong to."""

import json
import logging
import sys
from collections.abc import Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, Final

REQUEST_ID: ContextVar[str] = ContextVar("request_id", default="")
"""Of the request that is being worked on here; blank outside of one."""
FACTS: ContextVar[dict[str, object] | None] = ContextVar("facts", default=None)
"""What the line about the end of that request will have besides; see `note`."""
_OWN: Final = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName", "color_message"}
"""What every record has; whatever else is in one was given as `extra`."""


def configure(level: str, form: str) -> None:
    """Log to standard error from `level` upwards, in `form`: text or json."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Json() if form == "json" else _Text())
    handler.addFilter(_with_request)
    logging.basicConfig(level=level.upper(), handlers=[handler])
    logging.getLogger("uvicorn").setLevel(logging.WARNING)


def current_request_id() -> str:
    """The id of the request that is worked on here; blank outside of one."""
    return REQUEST_ID.get()


def note(**facts: object) -> None:
    """Facts for the line that is logged when the request that is worked on here has been answered."""
    if (known := FACTS.get()) is not None:
        known.update(facts)


def noted(name: str) -> object:
    """What was noted under `name` for the request that is worked on here; 0 if nothing was."""
    return (FACTS.get() or {}).get(name, 0)


def _with_request(record: logging.LogRecord) -> bool:
    if request_id := REQUEST_ID.get():
        record.request = request_id
    return True


def _fields(record: logging.LogRecord) -> Mapping[str, Any]:
    return {name: value for name, value in record.__dict__.items() if name not in _OWN}


class _Text(logging.Formatter):
    def __init__(self) -> None:
        super().__init__("%(levelname)s %(name)s: %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 (logging's name)
        fields = "".join(f" {name}={value}" for name, value in _fields(record).items())
        return super().formatMessage(record) + fields


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **_fields(record),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)
