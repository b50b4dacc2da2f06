"""The part of a file that a `Range` header asks for (RFC 9110, 14.2)."""

import re
from typing import Final

_ONE: Final = re.compile(r"bytes=\s*([0-9]{0,18})-([0-9]{0,18})\s*")


class RangeNotSatisfiable(ValueError):
    """There are no such bytes."""


def byte_range(header: str, size: int) -> tuple[int, int] | None:
    """First byte, and the one after the last, of what `header` asks for; None: all, as a header that is odd asks for.

    Raises:
        RangeNotSatisfiable: it begins behind the end.
    """
    found = _ONE.fullmatch(header)
    if found is None or not (found[1] or found[2]):
        return None
    if not found[1]:  # the last bytes
        start, end = max(0, size - int(found[2])), size
    else:
        start, end = int(found[1]), min(size, int(found[2]) + 1) if found[2] else size
        if found[2] and int(found[2]) < start:
            return None
    if start >= size or start >= end:
        raise RangeNotSatisfiable
    return start, end
