"""How much of something may be used in a minute: a token bucket."""

from dataclasses import dataclass
from typing import Final

MINUTE: Final = 60.0
"""Seconds."""


@dataclass
class TokenBucket:
    """Full at the start, filled evenly within a minute."""

    most: int
    left: float
    at: float
    """When that was left, in seconds."""

    def fill(self, now: float) -> None:
        """What has come in until `now`."""
        passed = max(0.0, now - self.at)  # a clock that is set back takes nothing away
        self.left = min(self.most, self.left + passed * self.most / MINUTE)
        self.at = now

    def change(self, most: int) -> None:
        """Another policy: what was used stays used, or whoever has two keys of one name could begin anew at will."""
        self.left = max(0.0, most - (self.most - self.left))
        self.most = most

    def seconds_until(self, amount: float) -> float:
        """After which there is so much, if nothing is taken."""
        return max(0.0, (amount - self.left) * MINUTE / self.most)
