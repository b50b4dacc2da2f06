"""Taking turns, and what many measurements amount to."""

import math
import random
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final

_RESAMPLES: Final = 2000
Timed = Callable[[], float]
"""Does something once; the number that counts, usually its seconds."""


def timed(work: Callable[[], object]) -> Timed:
    """`work`, with its seconds as the result."""

    def once() -> float:
        began = time.perf_counter()
        work()
        return time.perf_counter() - began

    return once


def interleaved(sides: Mapping[str, Timed], rounds: int, warm_up: int) -> dict[str, list[float]]:
    """What each side measured in `rounds` rounds; all take their turn in each, a different one first each time.

    What slows the machine down for a while slows down all of them. The first `warm_up` rounds do not count.
    """
    names = list(sides)
    found: dict[str, list[float]] = {name: [] for name in names}
    for number in range(warm_up + rounds):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            value = sides[name]()
            if number >= warm_up:
                found[name].append(value)
    return found


def median(values: Sequence[float]) -> float:
    """The middle one."""
    return statistics.median(values)


def percentile(values: Sequence[float], share: float) -> float:
    """The least of `values` that `share` of them do not exceed; 0.99: p99."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def spread(values: Sequence[float]) -> tuple[float, float]:
    """Between which two numbers the median of `values` would lie nine times in ten, were they measured again.

    By the bootstrap: medians of as many values drawn from these, over and over.
    """
    draw = random.Random(1)  # noqa: S311 (always the same)
    medians = [median(draw.choices(values, k=len(values))) for _ in range(_RESAMPLES)]
    return percentile(medians, 0.05), percentile(medians, 0.95)


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> list[float]:
    """The ratios of measurements that were made in turn, side by side."""
    return [one / other for one, other in zip(ours, theirs, strict=True)]


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """The median of the ratios of measurements that were made in turn, side by side."""
    return median(ratios(ours, theirs))
