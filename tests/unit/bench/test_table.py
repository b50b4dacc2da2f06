"""What is found becomes rows, verdicts and a page."""

import math

import pytest

from bench.page import page
from bench.reasons import REASONS
from bench.table import Bound, Finding, at_least, at_most, markdown, number, plain

MET = Finding("C2", "PNG", "7 ms", "80 ms", 0.0875, at_most(0.2))
MISSED = Finding("C4", "images", "9/s", "10/s", 0.9, at_least(0.98))
PEER = Finding("C4", "images of a peer", "8/s", "10/s", 0.8)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        *[(0, "0"), (0.0712, "0.0712"), (0.98, "0.98"), (1.0, "1"), (1.024, "1.02"), (34.52, "34.5"), (1234.4, "1234")],
        *[(-0.5, "-0.5"), (math.nan, "nan"), (math.inf, "inf")],
    ],
)
def test_numbers_have_three_digits_that_count(value: float, text: str) -> None:
    assert number(value) == text


@pytest.mark.parametrize(
    ("bound", "met", "missed"), [(at_most(0.2), [0.1, 0.2], [0.21]), (at_least(0.98), [0.98, 2], [0.97])]
)
def test_a_bound_is_kept_up_to_its_value(bound: Bound, met: list[float], missed: list[float]) -> None:
    assert [bound.holds(value) for value in met] == [True] * len(met)
    assert [bound.holds(value) for value in [*missed, math.nan]] == [False] * (len(missed) + 1)


def test_each_row_has_a_verdict_unless_nothing_is_wanted() -> None:
    assert [finding.verdict for finding in (MET, MISSED, PEER)] == ["met", "missed", ""]
    _, *lines = plain([MET, MISSED, PEER]).splitlines()
    assert [line.split()[-1] for line in lines] == ["met", "missed", "0.8"]
    assert "| C4 | images | 9/s | 10/s | 0.9 | ≥ 0.98 | missed |" in markdown([MISSED])


def test_a_spread_stands_beside_what_was_measured() -> None:
    found = Finding("C4", "images", "9/s", "10/s", 0.9, at_least(0.98), (0.87, 0.934))
    assert "| 0.9 (0.87 to 0.934) | ≥ 0.98 | missed |" in markdown([found])


def test_the_page_says_how_each_goal_was_measured_and_what_was_missed() -> None:
    def goal() -> None:
        """Both sides,

        in turns.
        """

    text = page([MET, MISSED, PEER], {"C4": goal}, {"processor": "a fast one"})
    assert "- processor: a fast one" in text
    assert "**C4.** Both sides, in turns." in text
    assert "- C4, images: 0.9, wanted ≥ 0.98" in text
    assert "C2, PNG:" not in text


def test_a_page_on_which_all_is_met_has_no_list_of_what_was_missed() -> None:
    assert "## Missed" not in page([MET], {}, {})


def test_reasons_are_half_sentences() -> None:
    assert [reason for reason in REASONS.values() if reason.endswith(".")] == []
