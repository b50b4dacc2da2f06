"""What becomes of requests, in a few words for metrics and the log."""

from enum import StrEnum
from typing import Final

from easel_http.errors import CLIENT_CLOSED_REQUEST


class Outcome(StrEnum):
    """How a request ended."""

    OK = "ok"
    REFUSED = "refused"
    """The caller's to change: 4xx but those below."""
    BUSY = "busy"
    """429: too many requests, of this caller or of all."""
    UNAVAILABLE = "unavailable"
    """503: the model cannot take it."""
    LATE = "late"
    """504: the upload or the work took too long."""
    FAILED = "failed"
    """500, 502: the runtime, or the gateway, failed."""
    LEFT = "left"
    """The caller left before the answer."""


_SPECIAL: Final = {
    0: Outcome.LEFT,
    CLIENT_CLOSED_REQUEST: Outcome.LEFT,
    429: Outcome.BUSY,
    503: Outcome.UNAVAILABLE,
    504: Outcome.LATE,
}


def outcome_of(status: int) -> Outcome:
    """How a request ended that was answered with `status`; 0: it was not."""
    if (special := _SPECIAL.get(status)) is not None:
        return special
    if status >= 500:
        return Outcome.FAILED
    return Outcome.REFUSED if status >= 400 else Outcome.OK
