"""What was found, as rows: for the terminal, and for docs/benchmarks.md. Pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

_HEAD: Final = ("goal", "what", "Easel", "other side", "measured", "wanted", "")


class NotMeasured(Exception):
    """A side did not do what is measured; the message says what it did instead."""


@dataclass(frozen=True)
class Bound:
    """What a measured value must keep to."""

    value: float
    at_least: bool = False

    def holds(self, measured: float) -> bool:
        """Whether `measured` keeps to it; not a number keeps to nothing."""
        return measured >= self.value if self.at_least else measured <= self.value

    def __str__(self) -> str:
        return f"{'≥' if self.at_least else '≤'} {number(self.value)}"


def at_most(value: float) -> Bound:
    """The bound from above."""
    return Bound(value)


def at_least(value: float) -> Bound:
    """The bound from below."""
    return Bound(value, at_least=True)


@dataclass(frozen=True)
class Finding:
    """One row: the two sides as text with their units, and the number that is judged."""

    goal: str
    what: str
    ours: str
    theirs: str
    measured: float
    wanted: Bound | None = None
    """None: measured for comparison, or of a peer; nothing is wanted of it."""
    spread: tuple[float, float] | None = None
    """Between which two numbers `measured` would be nine times in ten."""

    @property
    def verdict(self) -> str:
        """met, missed, or nothing where nothing is wanted."""
        if self.wanted is None:
            return ""
        return "met" if self.wanted.holds(self.measured) else "missed"


def number(value: float) -> str:
    """`value` with three digits that count: 0.0712, 1.02, 34.5, 1234."""
    if not math.isfinite(value) or value == 0 or abs(value) >= 100:
        return f"{value:.0f}"
    digits = 2
    size = abs(value)
    while size < 1:
        size, digits = size * 10, digits + 1
    text = f"{value:.{digits - (1 if abs(value) >= 10 else 0)}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def milliseconds(seconds: float) -> str:
    """`seconds` as text."""
    return f"{number(seconds * 1000)} ms"


def per_second(rate: float) -> str:
    """`rate`, images in a second, as text."""
    return f"{number(rate)}/s"


def _cells(finding: Finding) -> tuple[str, ...]:
    wanted = "" if finding.wanted is None else str(finding.wanted)
    measured = number(finding.measured)
    if finding.spread is not None:
        measured += f" ({' to '.join(map(number, finding.spread))})"
    return (finding.goal, finding.what, finding.ours, finding.theirs, measured, wanted, finding.verdict)


def plain(findings: Sequence[Finding]) -> str:
    """The table for a terminal."""
    rows = [_HEAD, *(_cells(finding) for finding in findings)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEAD))]
    padded = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in padded)


def markdown(findings: Sequence[Finding]) -> str:
    """The table for a page."""
    rows = [_HEAD, ("---",) * len(_HEAD), *(_cells(finding) for finding in findings)]
    return "\n".join(f"| {' | '.join(row)} |".replace("|  |", "| |") for row in rows)
