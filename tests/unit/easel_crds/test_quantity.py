from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from easel_crds.quantity import parse_quantity


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", "0"),
        ("20000000000", "20000000000"),
        ("5n", "0.000000005"),
        ("5u", "0.000005"),
        ("500m", "0.5"),
        ("1k", "1000"),
        ("3M", "3000000"),
        ("20G", "20000000000"),
        ("1T", "1000000000000"),
        ("1P", "1000000000000000"),
        ("1E", "1000000000000000000"),
        ("1Ki", "1024"),
        ("1Mi", "1048576"),
        ("24Gi", "25769803776"),
        ("1Ti", "1099511627776"),
        ("1Pi", "1125899906842624"),
        ("1Ei", "1152921504606846976"),
        ("2e3", "2000"),
        ("2E3", "2000"),
        ("2e+3", "2000"),
        ("25e-1", "2.5"),
        ("1.5Gi", "1610612736"),
        ("1.G", "1000000000"),
        (".5G", "500000000"),
        ("+1G", "1000000000"),
        ("-1G", "-1000000000"),
    ],
)
def test_every_form_of_a_quantity_has_its_exact_value(text: str, value: str) -> None:
    assert parse_quantity(text) == Decimal(value)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "G",
        ".",
        ".G",
        "20 G",
        " 20G",
        "20G ",
        "20G\n",
        "20g",
        "20K",
        "20ki",
        "20mi",
        "20GB",
        "20GiB",
        "20Gii",
        "1e",
        "1e3G",
        "1e1000",
        "--1",
        "1,5G",
        "1.5.5",
        "0x10",
        "NaN",
        "inf",
        "2_0G",
        "\uff12\uff10G",  # full-width digits
        "\u0662\u0660G",  # Arabic-Indic digits
    ],
)
def test_what_is_not_a_quantity_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a quantity such as 20G or 24Gi"):
        parse_quantity(text)


def test_20g_is_decimal_and_less_than_20gi() -> None:
    assert parse_quantity("20G") == 20 * 10**9 < parse_quantity("20Gi") == 20 * 2**30


@given(st.integers(min_value=-(10**18), max_value=10**18))
def test_a_plain_integer_is_itself(number: int) -> None:
    assert parse_quantity(str(number)) == number


@given(st.integers(min_value=0, max_value=10**6), st.sampled_from("KMGTPE"))
def test_a_binary_suffix_is_a_power_of_1024(number: int, letter: str) -> None:
    assert parse_quantity(f"{number}{letter}i") == number * 1024 ** ("KMGTPE".index(letter) + 1)


@given(st.integers(min_value=0, max_value=10**6), st.sampled_from("numkMGTPE"))
def test_a_decimal_suffix_is_an_exponent(number: int, letter: str) -> None:
    exponent = {"n": -9, "u": -6, "m": -3, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}[letter]
    assert parse_quantity(f"{number}{letter}") == parse_quantity(f"{number}e{exponent}")
