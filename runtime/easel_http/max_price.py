"""What a caller is willing to pay at most, as it is written in a form field or a header.

The grammar is that of `Price.__str__`, so that what is said of a price can be sent back as a bound:
`AMOUNT [CURRENCY] [per pixel | per N pixels]`; without "per" it is for the whole request.
"""

import re
from dataclasses import dataclass
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, InstanceOf, WithJsonSchema
from pydantic_core import PydanticCustomError

from easel_crds.currencies import CURRENCIES
from easel_crds.money import AMOUNT, AMOUNT_LENGTH, MOST_PER_PIXELS

EXAMPLES: Final = ("0.02", "0.02 USD", "1.9073484e-08 USD per pixel", "20 USD per 1000000 pixels")
LENGTH: Final = 100
"""Most characters of one."""
_TEXT: Final = re.compile(
    rf" *(?P<amount>{AMOUNT})(?: +(?P<currency>[A-Z]{{3}}))?(?: +per +(?P<unit>pixel|[1-9][0-9]{{0,9}} +pixels))? *"
)
PATTERN: Final = re.sub(r"[?](P<[a-z]+>|:)", "", f"^{_TEXT.pattern}$").replace("[A-Z]{3}", "|".join(CURRENCIES))
"""The grammar for documents, which do not know Python's groups, with the currencies that there are."""


@dataclass(frozen=True)
class MaxPrice:
    """A bound of what is paid."""

    amount: str
    """Decimal number of zero or more, exactly as written."""
    currency: str
    """ISO 4217 code; empty: whatever the model's is."""
    per_pixels: int | None
    """For so many input pixels; None: for the whole request."""

    def __str__(self) -> str:
        parts = [self.amount, *([self.currency] if self.currency else [])]
        if self.per_pixels is not None:
            parts.append("per pixel" if self.per_pixels == 1 else f"per {self.per_pixels} pixels")
        return " ".join(parts)


def parse_max_price(text: str) -> MaxPrice:
    """The bound that `text` says.

    Raises:
        ValueError: it says none; the message says what is wrong and gives examples.
    """
    found = _TEXT.fullmatch(text) if len(text) <= LENGTH else None
    amount, currency, unit = found.group("amount", "currency", "unit") if found else ("", "", "")
    if not amount or len(amount) > AMOUNT_LENGTH:
        raise ValueError(f"must be an amount such as {EXAMPLES[0]} or {EXAMPLES[1]}, or a price such as {EXAMPLES[2]}")
    if currency and currency not in CURRENCIES:
        raise ValueError(f"{currency} is not the ISO 4217 code of a currency in use, such as USD")
    per_pixels = None if unit is None else 1 if unit == "pixel" else int(unit.split()[0])
    if per_pixels is not None and per_pixels > MOST_PER_PIXELS:
        raise ValueError(f"a price is for at most {MOST_PER_PIXELS} pixels")
    return MaxPrice(amount, currency or "", per_pixels)


def _parsed(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return parse_max_price(value)
    except ValueError as error:
        raise PydanticCustomError("max_price", "{message}", {"message": str(error)}) from error


SCHEMA: Final[dict[str, Any]] = {
    "type": "string",
    "maxLength": LENGTH,
    "pattern": PATTERN,
    "examples": list(EXAMPLES),
}
MaxPriceText = Annotated[InstanceOf[MaxPrice], BeforeValidator(_parsed), WithJsonSchema(SCHEMA)]
"""A `MaxPrice` as a field of a form."""
