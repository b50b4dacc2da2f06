"""What a request costs, and whether its caller agrees: pure functions of a model's price, never floats."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal, localcontext
from functools import cached_property
from typing import Any, Final

from starlette.datastructures import Headers

from easel_crds.imagemodel import ImageModel
from easel_crds.money import Price, plain
from easel_http.errors import InvalidForm, PaymentRequired
from easel_http.max_price import LENGTH, MaxPrice, parse_max_price

MAX_PRICE_HEADER: Final = "X-Easel-Max-Price"
PRICE_HEADER: Final = "X-Easel-Price"
AMOUNT_HEADER: Final = "X-Easel-Amount"
PIXELS_HEADER: Final = "X-Easel-Pixels"
GENERATION_HEADER: Final = "X-Easel-Model-Generation"

_DIGITS: Final = 100
"""Of products: two amounts of at most 40 digits and two counts of at most 10 need fewer."""


@dataclass(frozen=True)
class Offer:
    """A model at a price, as one generation of its ImageModel has it."""

    model_id: str
    generation: str
    """`namespace/name@generation` of the ImageModel; on one machine `name@generation`."""
    price: Price


@dataclass(frozen=True)
class Quote:
    """What one request costs."""

    offer: Offer
    pixels: int
    """Input pixels that are charged: height x width x images."""
    images: int

    @cached_property
    def amount(self) -> Decimal:
        """The exact amount; where the division by `per_pixels` never ends, its first 100 digits."""
        return self.offer.price.of(self.pixels)

    @property
    def currency(self) -> str:
        """ISO 4217 code."""
        return self.offer.price.currency

    def headers(self) -> dict[str, str]:
        """The headers of the answer that is charged."""
        return {
            PRICE_HEADER: str(self.offer.price),
            AMOUNT_HEADER: f"{plain(self.amount)} {self.currency}",
            PIXELS_HEADER: str(self.pixels),
            GENERATION_HEADER: self.offer.generation,
        }

    def document(self) -> dict[str, Any]:
        """The price and what it comes to, as JSON."""
        return {
            "model_id": self.offer.model_id,
            "pixels": self.pixels,
            "images": self.images,
            "price": price_document(self.offer.price),
            "amount": plain(self.amount),
            "currency": self.currency,
            "generation": self.offer.generation,
        }


def price_document(price: Price) -> dict[str, Any]:
    """A price as JSON."""
    return {"amount": price.amount, "currency": price.currency, "per_pixels": price.per_pixels}


def offer_of(model: ImageModel) -> Offer:
    """The offer that `model` is."""
    return Offer(model.spec.model_id, generation_of(model), model.spec.price)


def generation_of(model: ImageModel) -> str:
    """Which form of which ImageModel `model` is, such as `default/demo@3`."""
    metadata = model.metadata
    namespace = f"{metadata.namespace}/" if metadata.namespace else ""
    return f"{namespace}{metadata.name}@{metadata.generation}"


def max_price_of(headers: Mapping[str, str]) -> MaxPrice | None:
    """What the header says that the caller pays at most.

    Raises:
        InvalidForm: it cannot be understood, or there are two.
    """
    text = sole_header(headers, MAX_PRICE_HEADER)
    if not text.strip():
        return None
    try:
        return parse_max_price(text)
    except ValueError as error:
        raise in_header(MAX_PRICE_HEADER, str(error), text[:LENGTH]) from error


def sole_header(headers: Mapping[str, str], name: str) -> str:
    """The value of a header, empty if there is none.

    Raises:
        InvalidForm: there are two, of which another server may take the other.
    """
    given = headers.getlist(name) if isinstance(headers, Headers) else [headers.get(name, "")]
    if len(given) > 1:
        raise in_header(name, "is given twice; send one", ", ".join(given)[:LENGTH])
    return given[0] if given else ""


def in_header(name: str, msg: str, given: str) -> InvalidForm:
    """The error of a header whose value is wrong."""
    return InvalidForm([{"type": "value_error", "loc": ["header", name], "msg": msg, "input": given}])


def check(quote: Quote, limits: Iterable[MaxPrice | None]) -> None:
    """Refuse a price that is above any of `limits`: of header and form field, both hold. Nothing is converted.

    Raises:
        PaymentRequired: it is, or a limit is in another currency; the body has the price.
    """
    for limit in limits:
        if limit is None:
            continue
        if limit.currency not in ("", quote.currency):
            raise payment_required(quote, f"is not in {limit.currency}, as the most to be paid is")
        if _above(quote, limit):
            raise payment_required(quote, f"is above the {limit} that is to be paid at most")


def payment_required(quote: Quote, why: str) -> PaymentRequired:
    """The refusal that has the price and the amount; `why` is the end of the sentence that begins "the price"."""
    amount = f"{plain(quote.amount)} {quote.currency} ({quote.offer.price})"
    return PaymentRequired(f"the price of this request, {amount}, {why}", **quote.document())


def _above(quote: Quote, limit: MaxPrice) -> bool:
    """Whether the quote exceeds the limit. Multiplied out instead of divided, so that it is exact."""
    price = quote.offer.price
    with localcontext(prec=_DIGITS):
        if limit.per_pixels is None:
            return Decimal(price.amount) * quote.pixels > Decimal(limit.amount) * price.per_pixels
        return Decimal(price.amount) * limit.per_pixels > Decimal(limit.amount) * price.per_pixels
