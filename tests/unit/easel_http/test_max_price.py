"""What a caller may write as the most that is paid."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from easel_crds.currencies import CURRENCIES
from easel_crds.money import Price
from easel_http.errors import InvalidForm
from easel_http.fields import ImageToImageFields
from easel_http.max_price import EXAMPLES, PATTERN, MaxPrice, parse_max_price

AMOUNTS = st.from_regex(
    r"[0-9]{1,9}([.][0-9]{1,12})?([eE][-+]?[0-9]{1,2})?", fullmatch=True, alphabet="0123456789.eE+-"
)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("0.02", MaxPrice("0.02", "", None)),
        ("0", MaxPrice("0", "", None)),
        ("0.02 USD", MaxPrice("0.02", "USD", None)),
        ("  0.0200   EUR ", MaxPrice("0.0200", "EUR", None)),
        ("1.9e-8 USD per pixel", MaxPrice("1.9e-8", "USD", 1)),
        ("1.9e-8 per pixel", MaxPrice("1.9e-8", "", 1)),
        ("20 USD per 1000000 pixels", MaxPrice("20", "USD", 1_000_000)),
        ("20 per 1000000000 pixels", MaxPrice("20", "", 1_000_000_000)),
    ],
)
def test_a_bound_is_for_the_request_or_for_pixels_and_its_currency_may_be_left_out(text: str, meant: MaxPrice) -> None:
    assert parse_max_price(text) == meant
    assert re.fullmatch(PATTERN, text)
    assert parse_max_price(str(meant)) == meant


REFUSED = [
    "",
    "free",
    "-1",
    "+1",
    ".5",
    "1.",
    "0,02",
    "NaN",
    "Infinity",
    "1e100",
    "$0.02",
    "0.02USD",
    "0.02 usd",
    "0.02 US",
    "USD 0.02",
    "0.02 USD/pixel",
    "0.02 USD per image",
    "0.02 USD per pixels",
    "0.02 USD per 2 pixel",
    "0.02 USD per 0 pixels",
    "0.02 USD per -1 pixels",
    "0.02 USD per 12345678901 pixels",
    "0.02 USD per",
    "0.02 USD 0.03 EUR",
    "0.02\n",
    "0.02\tUSD",
    "\u0660.\u0661",
    "1" * 41,
    "0.02" + " " * 100,
]


@pytest.mark.parametrize("text", REFUSED)
def test_what_is_written_otherwise_is_refused_with_examples(text: str) -> None:
    with pytest.raises(ValueError, match=r"such as 0\.02 or 0\.02 USD"):
        parse_max_price(text)


def test_a_currency_that_nobody_has_is_named() -> None:
    with pytest.raises(ValueError, match="XXX is not the ISO 4217 code"):
        parse_max_price("1 XXX")


def test_a_price_is_for_no_more_pixels_than_an_image_model_can_say() -> None:
    with pytest.raises(ValueError, match="at most 1000000000 pixels"):
        parse_max_price("1 USD per 1000000001 pixels")


@pytest.mark.parametrize("text", EXAMPLES)
def test_every_example_is_taken(text: str) -> None:
    assert str(parse_max_price(text)) == text
    assert re.fullmatch(PATTERN, text)


@given(AMOUNTS, st.sampled_from(CURRENCIES), st.integers(1, 10**9))
def test_what_is_said_of_a_price_can_be_sent_back_as_a_bound(amount: str, currency: str, pixels: int) -> None:
    price = Price(amount=amount, currency=currency, per_pixels=pixels)
    assert parse_max_price(str(price)) == MaxPrice(amount, currency, pixels)


@given(st.text(max_size=120) | st.from_regex(PATTERN))
def test_any_text_is_either_understood_or_refused_with_a_sentence(text: str) -> None:
    try:
        meant = parse_max_price(text)
    except ValueError as error:
        assert "such as" in str(error) or "at most" in str(error)  # noqa: PT017 (both ways are fine)
    else:
        assert parse_max_price(str(meant)) == meant


def test_the_field_of_the_form_is_read_and_never_passed_on() -> None:
    fields = ImageToImageFields.from_texts({"prompt": "x", "max_price": "0.02 USD"})
    assert fields.max_price == MaxPrice("0.02", "USD", None)
    assert fields.model_dump(exclude_unset=True) == {"prompt": "x"}
    assert ImageToImageFields.from_texts({"prompt": "x", "max_price": ""}).max_price is None


def test_a_field_that_is_wrong_is_named_with_what_was_sent() -> None:
    with pytest.raises(InvalidForm) as caught:
        ImageToImageFields.from_texts({"prompt": "x", "max_price": "cheap"})
    (problem,) = caught.value.problems
    assert (problem["loc"], problem["input"]) == (["body", "max_price"], "cheap")
    assert "0.02 USD" in problem["msg"]
