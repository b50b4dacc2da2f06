"""What was charged, for good: the seam between requests and whatever keeps the account. `open_ledger` is in `.sql`."""

import asyncio
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Final, Literal, Protocol

from easel_crds.money import Price

ANSWER_BYTES: Final = 1 << 20
"""Longest answer that is kept for repetition: links to results, never the results."""
KEY_LENGTH: Final = 255
"""Longest `Idempotency-Key`."""

By = Literal["caller", "model_id", "day"]
"""What usage can be added up by."""


class LedgerError(Exception):
    """The ledger cannot be opened; the text says why and what to do, and holds no password."""


@dataclass(frozen=True, slots=True)
class Charge:
    """One charged request: a row that is written once and never changed."""

    request_id: str
    time: datetime
    """When the work was done, with a time zone."""
    caller: str
    model_id: str
    namespace: str
    model: str
    """Name of the ImageModel."""
    revision: str
    generation: int
    """Of the ImageModel, whose price it was."""
    width: int
    """Of the input picture, in pixels."""
    height: int
    images: int
    pixels: int
    """width x height x images: what is paid for."""
    price: Price
    amount: Decimal
    """What `price` makes of `pixels`."""
    seconds: float
    """From the request's acceptance to its images."""
    gpu_seconds: float
    """Of them, those in which the runtime worked."""


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to work on the request that has this key."""

    caller: str
    key: str
    token: str
    """Says who has it: whoever takes it over later has another one."""


@dataclass(frozen=True, slots=True)
class Repeat:
    """The request that has this key was answered before."""

    answer: bytes
    """As it was given to `Ledger.charge`."""


@dataclass(frozen=True, slots=True)
class Query:
    """Which charges to add up, and by what."""

    by: frozenset[By] = frozenset()
    caller: str | None = None
    """None: of all."""
    model_id: str | None = None
    since: datetime | None = None
    """First moment, with a time zone."""
    until: datetime | None = None
    """First moment that no longer counts."""
    most_rows: int = 10_000


@dataclass(frozen=True, slots=True)
class UsageRow:
    """What was used in one currency; caller, model and day are None where it is not by them."""

    caller: str | None
    model_id: str | None
    day: date | None
    """In UTC."""
    currency: str
    requests: int
    images: int
    pixels: int
    amount: Decimal
    """Exact: each price times the sum of its pixels."""
    seconds: float
    gpu_seconds: float


class Ledger(Protocol):
    """Keeps what was charged, and which requests must not be done again."""

    def charge(self, charge: Charge, claim: Claim | None = None, answer: bytes = b"") -> asyncio.Future[None]:
        """Write `charge`, and `answer` for whoever comes with the key of `claim`; both are there when this is done.

        It is written whether or not anybody waits for that: whoever may be cancelled meanwhile waits with a shield.

        Raises:
            Conflict: this request is charged already, or somebody else has taken the claim over; nothing is written.
            Unavailable: the database cannot be reached, or too much waits for it. If its connection broke in the very
                moment of the commit, and it did not come back in time, the row may be there.
        """

    async def claim(self, caller: str, key: str, fingerprint: str) -> Claim | Repeat:
        """Claim the `Idempotency-Key` of a caller for a request, or get the answer that was given to it.

        A claim must end in `charge` or `release`. Until then it is renewed; of a process that has died it is free
        after `claim_seconds`.

        Args:
            caller: whose key it is: callers do not see each other's.
            key: what the caller sent.
            fingerprint: what tells this request from another one that must not have the same key.

        Raises:
            Conflict: the first request with this key is being worked on.
            InvalidForm: the key is not well-formed, or was used for another request.
            Unavailable: as for `charge`.
        """

    async def release(self, claim: Claim) -> None:
        """Free the key: the request failed. Never fails: what cannot be told to the database expires."""

    async def spent(self, caller: str, currency: str, since: datetime) -> Decimal:
        """The exact sum of what `caller` was charged from `since` on.

        Raises:
            Unavailable: the database cannot be reached.
        """

    async def usage(self, query: Query) -> list[UsageRow]:
        """What was used, in the order of caller, model, day and currency.

        Raises:
            TooManyRows: there would be more of them than `query.most_rows`.
            Unavailable: the database cannot be reached, or takes too long.
        """

    async def close(self) -> None:
        """Write what waits, then refuse everything."""


class TooManyRows(Exception):
    """The answer would be longer than asked for."""
