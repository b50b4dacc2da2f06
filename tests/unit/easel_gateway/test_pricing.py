"""What a request costs, to the last digit, and whether its caller agrees."""

import json
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from easel_crds.imagemodel import ImageModel
from easel_crds.manifest import parse
from easel_crds.money import Price
from easel_gateway.pricing import Offer, Quote, check, generation_of, max_price_of, offer_of
from easel_http.errors import InvalidForm, PaymentRequired
from easel_http.max_price import MaxPrice, parse_max_price
from support.builders import image_model, manifest

SQUARE = 1024 * 1024
AMOUNTS = st.from_regex(
    r"[0-9]{1,20}([.][0-9]{1,12})?([eE][-+]?[0-9]{1,2})?", fullmatch=True, alphabet="0123456789.eE+-"
)
PIXELS = st.integers(1, 67_108_864 * 64)


def quote(amount: str = "1.9073484e-08", pixels: int = SQUARE, *, currency: str = "USD", per_pixels: int = 1) -> Quote:
    price = Price(amount=amount, currency=currency, per_pixels=per_pixels)
    return Quote(Offer("easel/demo", "demo@0", price), pixels, 1)


def agreed(quote: Quote, *limits: str) -> bool:
    """Whether none of the limits is exceeded."""
    try:
        check(quote, [parse_max_price(limit) for limit in limits])
    except PaymentRequired:
        return False
    return True


def test_the_headers_of_a_charged_answer_say_the_price_and_what_it_came_to() -> None:
    model = parse(
        manifest(price={"currency": "EUR"}) | {"metadata": {"name": "demo", "namespace": "ai", "generation": 3}}
    )
    assert isinstance(model, ImageModel)
    assert Quote(offer_of(model), 2 * SQUARE, 2).headers() == {
        "X-Easel-Price": "1.9073484e-08 EUR per pixel",
        "X-Easel-Amount": "0.039999995117568 EUR",
        "X-Easel-Pixels": "2097152",
        "X-Easel-Model-Generation": "ai/demo@3",
    }


def test_on_one_machine_a_generation_has_no_namespace() -> None:
    assert generation_of(image_model()) == "demo@0"


@given(AMOUNTS, PIXELS, st.integers(0, 9))
def test_an_amount_is_exact_where_it_can_be_written(amount: str, pixels: int, power: int) -> None:
    found = quote(amount, pixels, per_pixels=10**power)
    assert Fraction(found.amount) == Fraction(amount) * pixels / 10**power
    text, currency = found.headers()["X-Easel-Amount"].split()
    assert (Fraction(text), currency) == (Fraction(amount) * pixels / 10**power, "USD")
    assert "e" not in text.lower()


@pytest.mark.parametrize(
    ("limit", "accepted"),
    [
        ("0.019999997558784", True),
        ("0.019999997558783", False),
        ("0.02 USD", True),
        ("0", False),
        ("1.9073484e-08 per pixel", True),
        ("1.9073483e-08 USD per pixel", False),
        ("0.019999997558784 USD per 1048576 pixels", True),
        ("0.019999997558783999999999999 per 1048576 pixels", False),
    ],
)
def test_a_price_up_to_the_limit_is_agreed_to_and_not_a_digit_more(limit: str, *, accepted: bool) -> None:
    assert agreed(quote(), limit) is accepted


@given(AMOUNTS, PIXELS, AMOUNTS, st.none() | st.integers(1, 10**9), st.integers(1, 10**9))
def test_a_limit_is_compared_exactly(amount: str, pixels: int, limit: str, per: int | None, per_pixels: int) -> None:
    asked = Fraction(amount) / per_pixels * (pixels if per is None else per)
    found = quote(amount, pixels, per_pixels=per_pixels)
    assert agreed(found, str(MaxPrice(limit, "", per))) is (asked <= Fraction(limit))


def test_of_several_limits_each_holds() -> None:
    assert agreed(quote(), "0.02", "1.9073484e-08 per pixel")
    assert not agreed(quote(), "0.02", "1e-08 per pixel")
    assert not agreed(quote(), "0.01", "1 per pixel")


def test_no_limit_is_none() -> None:
    check(quote(), (None, None))


def test_a_free_model_is_within_every_limit() -> None:
    assert agreed(quote("0"), "0", "0 per pixel")


def test_a_limit_in_another_currency_is_refused_with_the_price_and_never_converted() -> None:
    with pytest.raises(PaymentRequired, match=r"0\.019999997558784 USD .* not in EUR"):
        check(quote(), [parse_max_price("1000 EUR")])


def test_a_refusal_has_the_price_and_what_the_request_would_have_cost() -> None:
    with pytest.raises(PaymentRequired) as caught:
        check(quote("0.02", 3 * SQUARE, per_pixels=SQUARE), [parse_max_price("0.05")])
    assert caught.value.status == 402
    detail = json.loads(json.dumps(caught.value.body()))["detail"]
    assert "0.06 USD (0.02 USD per 1048576 pixels), is above the 0.05 " in detail.pop("msg")
    assert detail == {
        "model_id": "easel/demo",
        "pixels": 3 * SQUARE,
        "images": 1,
        "price": {"amount": "0.02", "currency": "USD", "per_pixels": SQUARE},
        "amount": "0.06",
        "currency": "USD",
        "generation": "demo@0",
    }


def test_the_header_is_read() -> None:
    assert max_price_of({}) is None
    assert max_price_of({"X-Easel-Max-Price": " "}) is None
    assert max_price_of({"X-Easel-Max-Price": "0.02 USD"}) == MaxPrice("0.02", "USD", None)


def test_a_header_that_is_wrong_is_named_with_an_example() -> None:
    with pytest.raises(InvalidForm, match=r"0\.02 USD") as caught:
        max_price_of({"X-Easel-Max-Price": "a lot"})
    (problem,) = caught.value.problems
    assert problem["loc"] == ["header", "X-Easel-Max-Price"]
    assert problem["input"] == "a lot"


def test_the_amount_is_a_decimal_even_where_its_digits_never_end() -> None:
    amount = quote("1", 1, per_pixels=3).amount
    assert abs(Fraction(amount) - Fraction(1, 3)) < Fraction(1, 10**99)
    assert isinstance(amount, Decimal)
