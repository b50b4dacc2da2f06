"""The checker finds what it is there for."""

from decimal import Decimal

import pytest

from support.bookkeeping import Charged, Errand, Outcome, differences
from support.pictures import png

PRICE = Decimal("0.0000000190734863")


def served(number: int) -> Errand:
    return Errand(number, outcome=Outcome.SERVED, status=200, tries=1, amount=PRICE * (number + 1))


def row(number: int) -> Charged:
    return Charged(f"errand-{number}", PRICE * (number + 1))


def test_books_that_agree_have_no_differences() -> None:
    refused = Errand(2, outcome=Outcome.REFUSED, status=422)
    assert differences([served(0), served(1), refused], [row(1), row(0)]) == []


@pytest.mark.parametrize(
    ("errands", "rows", "sentence"),
    [
        ([served(0)], [], "errand-0 was served and is not charged"),
        ([served(0)], [row(0), row(0)], "errand-0 is charged 2 times"),
        ([served(0)], [row(0), row(1)], "errand-1 is charged, and nobody asked for it"),
        ([Errand(0, outcome=Outcome.REFUSED, status=503)], [row(0)], "errand-0 was refused with 503 and is charged"),
        ([Errand(0, tries=9, status=502)], [], "errand-0 is lost: 9 tries, the last answer 502"),
        ([Errand(0, tries=9)], [], "errand-0 is lost: 9 tries, the last answer none"),
        (
            [served(0)],
            [Charged("errand-0", PRICE + Decimal("1e-30"))],
            "errand-0 was told 1.90734863E-8 and is charged",
        ),
        ([served(0)], [Charged("errand-0", PRICE + Decimal("1e-30"))], "callers were told"),
        ([Errand(0, outcome=Outcome.SERVED, faults=["image 0 is answered with 404"])], [], "errand-0: image 0 is"),
    ],
)
def test_each_difference_is_named(errands: list[Errand], rows: list[Charged], sentence: str) -> None:
    assert any(found.startswith(sentence) for found in differences(errands, rows))


def test_the_image_of_another_request_is_not_taken_for_the_right_one() -> None:
    errand = Errand(3)
    assert not errand.is_right(0, png(*errand.size))
    assert not errand.is_right(0, errand.upload)
    assert not errand.is_right(0, Errand(26).upload)
