"""Who asks: callers by their keys, of which only hashes are known here."""

import hmac
import secrets
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from easel_crds.keys import NOBODY, Key, KeyPolicy, hash_of
from easel_http.errors import Unauthorized

_PREFIX: Final = "easel_"
_DRAWER: Final = 4
"""Hexadecimal digits of a hash by which it is looked up."""
_LENGTH: Final = 256
"""Longest text that is looked at as a key."""


@dataclass(frozen=True)
class Caller:
    """Who asks, and what for."""

    name: str
    policy: KeyPolicy


ANONYMOUS: Final = Caller(NOBODY, KeyPolicy(admin=True))
"""Whoever comes without a key where none is asked for: there nothing is kept from anybody."""


class KeyRing:
    """The keys that are in force; replaced as a whole when one changes."""

    def __init__(self, keys: Iterable[Key] = ()) -> None:
        self._callers: dict[str, list[tuple[str, Caller]]] = {}
        self._listener: Callable[[], None] = lambda: None
        self.replace(keys)

    def __bool__(self) -> bool:
        return bool(self._callers)

    @property
    def names(self) -> frozenset[str]:
        """Of all keys."""
        return frozenset(caller.name for callers in self._callers.values() for _, caller in callers)

    def replace(self, keys: Iterable[Key]) -> None:
        """From now on there are these keys and no others."""
        callers: dict[str, list[tuple[str, Caller]]] = {}
        for key in keys:
            for digest in key.hashes:
                callers.setdefault(digest[:_DRAWER], []).append((digest, Caller(key.name, key.policy)))
        self._callers = callers
        self._listener()

    def on_change(self, listener: Callable[[], None]) -> None:
        """Have `listener` called when there are other keys."""
        self._listener = listener

    def find(self, token: str) -> Caller | None:
        """Whose key `token` is.

        Hashes are looked up by their beginning, and compared in constant time from there. How long the look-up takes
        may tell the beginning of a hash; of 256 random bits, nobody gets from there to a key.
        """
        if len(token) > _LENGTH:
            return None
        digest = hash_of(token)
        found = None
        for known, caller in self._callers.get(digest[:_DRAWER], ()):
            if hmac.compare_digest(known, digest):
                found = caller
        return found


def new_key() -> str:
    """A key: 256 random bits."""
    return _PREFIX + secrets.token_urlsafe(32)


def identify(headers: Mapping[str, str], ring: KeyRing, *, required: bool) -> Caller:
    """Who asks.

    Raises:
        Unauthorized: the key is missing or wrong. Where none is required and none exists, any is taken for none:
            clients that cannot do without send one.
    """
    scheme, _, token = headers.get("authorization", "").partition(" ")
    token = (token.strip() if scheme.lower() == "bearer" else "") or headers.get("x-api-key", "").strip()
    if not token and not required:
        return ANONYMOUS
    caller = ring.find(token) if token else None
    if caller is not None:
        return caller
    if not required and not ring:
        return ANONYMOUS
    raise Unauthorized("the key is wrong" if token else "a key is required: send Authorization: Bearer KEY")
