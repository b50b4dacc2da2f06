"""The one timer of a connection."""

import asyncio
from typing import Any

import pytest

from easel_http.deadline import Deadline
from support.virtual_time import run


class Clock:
    """A deadline, and when it ended; second 0 is now."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self._began = self.loop.time()
        self.ended: list[float] = []
        self.deadline = Deadline(self.loop, lambda: self.ended.append(round(self.now, 2)))

    @property
    def now(self) -> float:
        return self.loop.time() - self._began


async def ends(*steps: tuple[float, float | None]) -> list[float]:
    """When it ends that is set at each first number for so many seconds as the second; None: lifted."""
    clock = Clock()
    for at, seconds in steps:
        await asyncio.sleep(at - clock.now)
        clock.deadline.lift() if seconds is None else clock.deadline.set(seconds)
    await asyncio.sleep(1000)
    return clock.ended


@pytest.mark.parametrize(
    ("steps", "ended"),
    [
        pytest.param([(0, 10)], [10], id="set"),
        pytest.param([(0, 10), (5, 10), (12, 10)], [22], id="later and later"),
        pytest.param([(0, 75), (5, 10)], [15], id="sooner"),
        pytest.param([(0, 10), (5, None)], [], id="lifted"),
        pytest.param([(0, 10), (5, None), (50, 10)], [60], id="lifted and set again"),
        pytest.param([(0, 10), (5, None), (6, 75), (7, 2)], [9], id="everything"),
        pytest.param([(0, 10), (20, 10)], [10, 30], id="twice"),
    ],
)
def test_it_ends_when_the_time_is_over_that_was_set_last(
    steps: list[tuple[float, float | None]], ended: list[float]
) -> None:
    assert run(ends(*steps)) == ended


def test_after_its_owner_nothing_happens() -> None:
    async def owner_goes() -> list[float]:
        clock = Clock()
        clock.deadline.set(10)
        clock.deadline.cancel()
        await asyncio.sleep(1000)
        return clock.ended

    assert run(owner_goes()) == []


def test_a_timer_is_not_set_for_each_request(monkeypatch: pytest.MonkeyPatch) -> None:
    async def thousand() -> int:
        clock = Clock()
        timers: list[float] = []
        call_at = clock.loop.call_at

        def counted(when: float, *rest: Any) -> asyncio.TimerHandle:
            timers.append(when)
            return call_at(when, *rest)

        monkeypatch.setattr(clock.loop, "call_at", counted)
        for _ in range(1000):
            clock.deadline.lift()
            clock.deadline.set(75)
        return len(timers)

    assert run(thousand()) == 1
