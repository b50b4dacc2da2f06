"""Prices and amounts: exact decimals with a currency and a unit, never floats."""

import re
from decimal import Decimal, localcontext
from typing import Annotated, ClassVar, Final

from pydantic import Field

from easel_crds.rules import Resource, Rule

RECOMMENDED_AMOUNT: Final = "1.9073484e-08"
"""Livepeer's recommended price of image-to-image, USD per input pixel (0.0200 USD per 1024x1024 image)."""

_AMOUNT: Final = r"^[0-9]+([.][0-9]+)?([eE][-+]?[0-9]{1,2})?$"
_CURRENCY: Final = r"^[A-Z]{3}$"
_DIGITS: Final = 100
"""Significant digits kept: an amount of 40 characters times any number of pixels stays exact."""


class Price(Resource):
    """What a caller pays, per input pixel: height x width of the input image x images delivered."""

    amount: Annotated[str, Field(max_length=40)] = RECOMMENDED_AMOUNT
    """Price of `perPixels` pixels as a decimal number in quotes, such as "1.9073484e-08". Kept exactly as written."""
    currency: Annotated[str, Field(max_length=3)] = "USD"
    """ISO 4217 code of the currency."""
    per_pixels: Annotated[int, Field(ge=1, le=1_000_000_000)] = 1
    """Number of pixels that `amount` buys."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            message='amount must be a decimal number of zero or more, in quotes, such as "1.9073484e-08"',
            cel=f"self.amount.matches('{_AMOUNT}')",
            field="amount",
            holds=lambda price: re.fullmatch(_AMOUNT, price.amount) is not None,
        ),
        Rule(
            message="currency must be the three capital letters of an ISO 4217 code, such as USD",
            cel=f"self.currency.matches('{_CURRENCY}')",
            field="currency",
            holds=lambda price: re.fullmatch(_CURRENCY, price.currency) is not None,
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
