"""How long work takes, by what was measured: for the forecast in `Retry-After`."""

import math
import time
from typing import Final

from easel_runtime.engine import Generation

_WEIGHT: Final = 0.3
"""Of the newest measurement; the ones before it fade."""


def effort(generation: Generation, images: int) -> float:
    """How much work so many `images` of a request are, in pixels x steps.

    One step more stands for the picture's way in and out.
    """
    return generation.image.width * generation.image.height * (generation.steps + 1) * images


class Pace:
    """Seconds of work per effort, and what is in work right now. For one thread that works."""

    def __init__(self) -> None:
        self._seconds_per_effort: float | None = None
        self._ends: float | None = None

    def begin(self, effort: float) -> None:
        """Work of so much `effort` begins."""
        if self._seconds_per_effort is not None:
            self._ends = time.monotonic() + self._seconds_per_effort * effort

    def end(self, effort: float, seconds: float | None) -> None:
        """It ended; after `seconds` if it came to its end, with so much `effort`, None if it was broken off."""
        self._ends = None
        if seconds is None:
            return
        measured = seconds / effort
        known = self._seconds_per_effort
        self._seconds_per_effort = measured if known is None else known + _WEIGHT * (measured - known)

    def until_free(self) -> int:
        """Whole seconds, at least 1, until what is in work will probably be done."""
        ends = self._ends
        return 1 if ends is None else max(1, math.ceil(ends - time.monotonic()))
