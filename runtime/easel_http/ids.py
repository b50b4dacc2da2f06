"""Ids with enough chance in them to be unique, and not to be guessed, without a system call for each."""

import os
import time
from typing import Final

_BYTES: Final = 16
_POOL: Final = 256 * _BYTES
"""Bytes that are asked for at a time: a call for 4 KiB costs hardly more than one for 16."""


class _Ids:
    def __init__(self) -> None:
        self._pool = b""
        self._at = 0

    def new(self) -> str:
        if self._at >= len(self._pool):
            self._pool, self._at = os.urandom(_POOL), 0
        start, self._at = self._at, self._at + _BYTES
        return self._pool[start : self._at].hex()


_ids = _Ids()
os.register_at_fork(after_in_child=_ids.__init__)  # type: ignore[misc]
"""A child process must not have the ids of its parent."""


def new_id() -> str:
    """128 random bits as 32 hexadecimal digits: whoever was not told an address does not find it."""
    return _ids.new()


def new_ordered_id() -> str:
    """A UUID of version 7 (RFC 9562, section 5.7) as 32 hexadecimal digits: sorted as their milliseconds are.

    Rows with such keys are neighbours in a database's index, which then writes few pages for many of them.
    """
    chance = _ids.new()
    return f"{time.time_ns() // 1_000_000:012x}7{chance[:3]}{'89ab'[int(chance[3], 16) & 3]}{chance[4:19]}"
