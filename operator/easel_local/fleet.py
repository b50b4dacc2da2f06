"""The processes of one model: which to start, which to stop. Decisions are pure; `supervisor` carries them out."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from easel_local.process import RuntimeProcess, State

_FIRST_PAUSE: Final = 1.0
_LONGEST_PAUSE: Final = 60.0
_STABLE_SECONDS: Final = 10.0
"""Ready for so long: whatever was wrong is over."""


@dataclass(frozen=True)
class Plan:
    """What brings the processes to where they ought to be."""

    start: int
    stop: tuple[RuntimeProcess, ...]


def plan(processes: Sequence[RuntimeProcess], wanted: int, environment: dict[str, str]) -> Plan:
    """Replace what runs with an old environment, then start or stop to reach `wanted`.

    A process is stopped before its successor starts, so that a change needs no spare GPU; those that are ready go
    last.
    """
    alive = [process for process in processes if process.state in (State.STARTING, State.READY)]
    current = [process for process in alive if process.environment == environment]
    outdated = [process for process in alive if process.environment != environment]
    ranked = sorted(current, key=lambda process: (process.state is not State.READY, process.started_at))
    leaving = [process for process in processes if process.state is State.STOPPING]
    start = max(0, wanted - len(current) - len(outdated) - len(leaving))
    return Plan(start, (*outdated, *ranked[wanted:]))


@dataclass
class Restarts:
    """Pauses between the restarts of a model whose processes end by themselves.

    After n ends in a row 2**(n-1) seconds, at most 60; none after the first if that process had been ready. During a
    pause the reason is shown, and requests are refused with it.
    """

    failures: int = 0
    """In a row, without a process that stayed ready in between."""
    not_before: float = 0.0
    reason: str = ""
    last_end: float = -math.inf

    def note_end(self, process: RuntimeProcess, now: float) -> None:
        """`process` ended without being asked to."""
        self.failures += 1
        pause = min(_FIRST_PAUSE * 2 ** min(self.failures - 1, 16), _LONGEST_PAUSE)  # 2 ** 1024 is no float
        if process.was_ready and self.failures == 1:
            pause = 0
        self.not_before = now + pause
        self.reason = process.failure
        self.last_end = now

    def note_ready(self, process: RuntimeProcess, now: float) -> None:
        """`process` is ready. Only one that came after the last end says that its cause is gone."""
        if process.ready_at is None or process.started_at < self.last_end:
            return
        self.reason = ""
        if now - process.ready_at >= _STABLE_SECONDS:
            self.failures = 0

    def paused(self, now: float) -> bool:
        """Whether the next start must wait."""
        return now < self.not_before
