"""How long to wait before the next attempt."""

import random
from dataclasses import dataclass
from typing import Final

FIRST_SECONDS: Final = 0.2
LONGEST_SECONDS: Final = 10.0
"""Longest wait, and so the longest time until it is noticed that the API server is back."""


@dataclass
class Backoff:
    """Waits that double from 0.2 to 10 seconds, each shortened by chance so that gateways do not come all at once."""

    failures: int = 0
    """Attempts that failed since the last success."""

    def pause(self, lived: float = 0.0) -> float:
        """Seconds to wait after an attempt that lasted `lived` seconds; one that lasted long was a success."""
        if lived > LONGEST_SECONDS:
            self.failures = 0
        self.failures += 1
        longest = min(LONGEST_SECONDS, FIRST_SECONDS * 2.0 ** min(self.failures - 1, 16))
        return longest * random.uniform(0.5, 1)  # noqa: S311 (nobody gains by guessing it)
