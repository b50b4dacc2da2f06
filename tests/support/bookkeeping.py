"""Both sides of the account: what callers have received, what the ledger says, and where the two differ."""

import io
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from functools import cached_property
from random import Random
from typing import Final

import sqlalchemy
from PIL import Image, ImageOps

from support.pictures import encoded

_ROWS: Final = "SELECT idempotency_key, amount FROM charges"
"""Each charged request, by the key that its caller gave it."""


@dataclass(frozen=True)
class Charged:
    """A row of the ledger."""

    key: str
    amount: Decimal


def charged(database: str) -> list[Charged]:
    """Every row of the ledger in the database of this URL, as SQL has it and not as the gateway says it."""
    engine = sqlalchemy.create_engine(database)
    try:
        with engine.connect() as connection:
            return [Charged(key, Decimal(str(amount))) for key, amount in connection.execute(sqlalchemy.text(_ROWS))]
    finally:
        engine.dispose()


class Outcome(StrEnum):
    """How a request ended for its caller."""

    OPEN = "open"
    """It was never answered for good, however often it was asked."""
    SERVED = "served"
    REFUSED = "refused"


@dataclass
class Errand:
    """A request that a caller wants to have served once, however often it must be sent."""

    number: int
    images: int = 1
    size: tuple[int, int] = (0, 0)
    """Width and height of its picture, on which its price depends; of its own unless it is said."""
    outcome: Outcome = Outcome.OPEN
    status: int = 0
    """Of the last answer; 0: there was none."""
    tries: int = 0
    paths: list[str] = field(default_factory=list)
    """Where its images are, below the gateway's address."""
    amount: Decimal | None = None
    """What it cost, as the answer says."""
    faults: list[str] = field(default_factory=list)
    """What was wrong with answers to it."""

    def __post_init__(self) -> None:
        if self.size == (0, 0):
            self.size = 8 + self.number % 23, 6 + self.number % 7

    @property
    def key(self) -> str:
        """Its `Idempotency-Key`, unlike any other's."""
        return f"errand-{self.number}"

    @property
    def pixels(self) -> int:
        """What it is charged for."""
        return self.size[0] * self.size[1] * self.images

    @cached_property
    def picture(self) -> Image.Image:
        """Noise, unlike any other's."""
        width, height = self.size
        return Image.frombytes("RGB", (width, height), Random(self.number).randbytes(width * height * 3))  # noqa: S311

    @cached_property
    def upload(self) -> bytes:
        """Its picture as a file."""
        return encoded(self.picture, "BMP")  # nothing is quicker to write

    def is_right(self, index: int, data: bytes) -> bool:
        """Whether `data` is image number `index` of its answer: what the toy engine makes of its picture and seed."""
        with Image.open(io.BytesIO(data)) as found:
            wanted = ImageOps.posterize(ImageOps.invert(self.picture), 1 + (self.number + index) % 8)
            return found.size == wanted.size and found.convert("RGB").tobytes() == wanted.tobytes()


def differences(errands: Sequence[Errand], rows: Sequence[Charged]) -> list[str]:
    """Where callers and ledger disagree, a sentence each; none: they agree exactly."""
    by_key = {errand.key: errand for errand in errands}
    times = Counter(row.key for row in rows)
    found = [f"{errand.key}: {fault}" for errand in errands for fault in errand.faults]
    found += [f"{key} is charged {count} times" for key, count in times.items() if count > 1]
    found += [f"{row.key} is charged, and nobody asked for it" for row in rows if row.key not in by_key]
    amounts = {row.key: row.amount for row in rows}
    for errand in errands:
        found += _differences_of(errand, amounts.get(errand.key))
    received = sum((errand.amount or Decimal(0) for errand in errands if errand.outcome == Outcome.SERVED), Decimal(0))
    kept = sum((row.amount for row in rows), Decimal(0))
    if received != kept:
        found.append(f"callers were told {received} in all, the ledger has {kept}")
    return found


def _differences_of(errand: Errand, amount: Decimal | None) -> Iterator[str]:
    if errand.outcome == Outcome.OPEN:
        yield f"{errand.key} is lost: {errand.tries} tries, the last answer {errand.status or 'none'}"
    elif errand.outcome == Outcome.REFUSED and amount is not None:
        yield f"{errand.key} was refused with {errand.status} and is charged {amount}"
    elif errand.outcome == Outcome.SERVED and amount is None:
        yield f"{errand.key} was served and is not charged"
    elif errand.outcome == Outcome.SERVED and errand.amount != amount:
        yield f"{errand.key} was told {errand.amount} and is charged {amount}"
