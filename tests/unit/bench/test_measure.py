"""Taking turns, and what many measurements amount to."""

import re
from collections.abc import Callable

import pytest

from bench.exactness import difference
from bench.load import Load
from bench.measure import interleaved, median, percentile, ratio, spread
from bench.tiny import noisy, pixels, uploads
from bench.wire import Answer
from support.pictures import encoded


def test_all_sides_take_a_turn_in_each_round_and_none_is_always_first() -> None:
    turns: list[str] = []

    def side(name: str) -> Callable[[], float]:
        def once() -> float:
            turns.append(name)
            return float(len(turns))

        return once

    found = interleaved({name: side(name) for name in "abc"}, rounds=3, warm_up=1)
    assert "".join(turns) == "abc" + "bca" + "cab" + "abc"
    assert found == {"a": [6, 8, 10], "b": [4, 9, 11], "c": [5, 7, 12]}


@pytest.mark.parametrize(("share", "expected"), [(0.5, 50), (0.99, 99), (1, 100), (0, 1)])
def test_a_percentile_is_one_of_the_values(share: float, expected: float) -> None:
    assert percentile(range(100, 0, -1), share) == expected


def test_a_ratio_is_of_what_was_measured_side_by_side() -> None:
    assert ratio([1, 10, 300], [2, 10, 100]) == 1
    assert median([3, 1, 2]) == 2


def test_a_load_knows_what_was_answered_and_when() -> None:
    answers = [(0.0, 1.0, Answer(200, {}, b"")), (0.5, 3.0, Answer(200, {}, b"")), (1.0, 1.25, Answer(429, {}, b""))]
    load = Load(3.0, answers)
    assert load.statuses == {200: 2, 429: 1}
    assert (load.latencies(429), load.finished_within(2)) == ([0.25], 1)


def test_requests_differ_in_their_seeds_alone() -> None:
    assert uploads(16)(1) == uploads(16)(1)
    seeds = [re.findall(rb'"seed"\r\n\r\n(\d+)\r\n', uploads(16)(number)) for number in range(3)]
    assert seeds == [[b"1"], [b"2654435762"], [b"1013904227"]]


def test_a_difference_is_the_largest_of_any_colour() -> None:
    picture = noisy(16)
    other = picture.copy()
    red, green, blue = other.getpixel((3, 4))  # type: ignore[misc]  # RGB
    other.putpixel((3, 4), (red, green + 2 if green < 200 else green - 2, blue))
    assert difference(encoded(picture), encoded(picture)) == 0
    assert difference(encoded(picture), encoded(other)) == 2
    assert len(set(pixels(encoded(picture)))) > 100, "a picture with something in it"


def test_the_spread_of_a_median_is_narrow_where_most_values_are_alike() -> None:
    assert spread([1.0] * 9 + [50.0]) == (1, 1)
    low, high = spread([float(value) for value in range(101)])
    assert 35 < low < 50 < high < 65
