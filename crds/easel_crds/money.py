"""Prices and amounts: exact decimals with a currency and a unit, never floats."""

import re
from decimal import Decimal, localcontext
from typing import Annotated, ClassVar, Final

from pydantic import Field

from easel_crds.currencies import CURRENCIES
from easel_crds.rules import Resource, Rule

RECOMMENDED_AMOUNT: Final = "1.9073484e-08"
"""Livepeer's recommended price of image-to-image, USD per input pixel (0.0200 USD per 1024x1024 image)."""

AMOUNT: Final = r"[0-9]+([.][0-9]+)?([eE][-+]?[0-9]{1,2})?"
"""How an amount is written, as a regular expression."""
AMOUNT_LENGTH: Final = 40
MOST_PER_PIXELS: Final = 1_000_000_000

_DIGITS: Final = 100
"""Significant digits kept: an amount of 40 characters times any number of pixels stays exact."""


class Price(Resource):
    """What a caller pays, per input pixel: height x width of the input image x images delivered."""

    amount: Annotated[str, Field(max_length=AMOUNT_LENGTH)] = RECOMMENDED_AMOUNT
    """Price of `perPixels` pixels as a decimal number in quotes, such as "1.9073484e-08". Kept exactly as written."""
    currency: Annotated[str, Field(max_length=3)] = "USD"
    """ISO 4217 code of a currency that is in use."""
    per_pixels: Annotated[int, Field(ge=1, le=MOST_PER_PIXELS)] = 1
    """Number of pixels that `amount` buys."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            message='amount must be a decimal number of zero or more, in quotes, such as "1.9073484e-08"',
            cel=f"self.amount.matches('^{AMOUNT}$')",
            field="amount",
            holds=lambda price: re.fullmatch(AMOUNT, price.amount) is not None,
        ),
        Rule(
            message="currency must be the ISO 4217 code, in capital letters, of a currency that is in use, such as USD",
            cel=f"self.currency in [{', '.join(map(repr, CURRENCIES))}]",
            field="currency",
            holds=lambda price: price.currency in CURRENCIES,
        ),
    )

    def of(self, pixels: int) -> Decimal:
        """Amount for `pixels` input pixels, in `currency`."""
        with localcontext(prec=_DIGITS):
            return Decimal(self.amount) * pixels / self.per_pixels

    def __str__(self) -> str:
        unit = "pixel" if self.per_pixels == 1 else f"{self.per_pixels} pixels"
        return f"{self.amount} {self.currency} per {unit}"


def plain(amount: Decimal) -> str:
    """`amount` in digits without an exponent: Decimal("1.9E-8") -> "0.000000019"."""
    return f"{amount:f}"
