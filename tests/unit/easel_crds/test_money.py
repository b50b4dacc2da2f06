from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from easel_crds.money import RECOMMENDED_AMOUNT, Price, plain
from support.builders import image_model

_SQUARE = 1024 * 1024


def test_the_recommended_price_is_livepeers() -> None:
    assert RECOMMENDED_AMOUNT == "1.9073484e-08"
    assert image_model().spec.price == Price(amount="1.9073484e-08", currency="USD", per_pixels=1)


@pytest.mark.parametrize("amount", ["1.9073484e-08", "0.0200", "1", "00.10", "3E2", "3e+02"])
def test_an_amount_is_kept_exactly_as_written(amount: str) -> None:
    price = image_model(price={"amount": amount}).spec.price
    assert price.amount == amount
    assert Price.model_validate_json(price.model_dump_json(by_alias=True)) == price


def test_a_square_of_1024_costs_two_cents_to_the_last_digit() -> None:
    assert plain(Price().of(_SQUARE)) == "0.019999997558784"


@pytest.mark.parametrize(
    ("amount", "per_pixels", "pixels", "cost"),
    [
        ("1.9073484e-08", 1, 0, "0"),
        ("1.9073484e-08", 1, 1, "0.000000019073484"),
        ("1.9073484e-08", 1, 4 * _SQUARE, "0.079999990235136"),
        ("0.02", _SQUARE, _SQUARE, "0.02"),
        ("0.02", _SQUARE, _SQUARE // 4, "0.005"),
        ("5", 1_000_000, 250_000, "1.25"),
        ("0", 1, _SQUARE, "0"),
        ("1e-99", 1, _SQUARE, "1.048576e-93"),
    ],
)
def test_a_price_is_for_its_number_of_pixels(amount: str, per_pixels: int, pixels: int, cost: str) -> None:
    assert Price(amount=amount, per_pixels=per_pixels).of(pixels) == Decimal(cost)


@given(st.integers(min_value=0, max_value=10**12), st.integers(min_value=0, max_value=10**12))
def test_two_images_cost_what_each_costs(one: int, other: int) -> None:
    price = Price()
    assert price.of(one) + price.of(other) == price.of(one + other)


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        ("1.9E-8", "0.000000019"),
        ("1.9073484e-08", "0.000000019073484"),
        ("3E+2", "300"),
        ("0.0200", "0.0200"),
        ("0", "0"),
        ("12", "12"),
    ],
)
def test_an_amount_is_written_without_an_exponent(amount: str, text: str) -> None:
    assert plain(Decimal(amount)) == text


@given(st.decimals(min_value=0, max_value=10**6, allow_nan=False, allow_infinity=False))
def test_writing_an_amount_loses_nothing(amount: Decimal) -> None:
    text = plain(amount)
    assert Decimal(text) == amount
    assert "e" not in text.lower()


@pytest.mark.parametrize(
    ("price", "text"),
    [
        (Price(), "1.9073484e-08 USD per pixel"),
        (Price(amount="0.02", currency="EUR", per_pixels=_SQUARE), "0.02 EUR per 1048576 pixels"),
    ],
)
def test_a_price_reads_like_a_sentence(price: Price, text: str) -> None:
    assert str(price) == text
