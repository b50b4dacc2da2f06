"""What is slow goes to a thread for a while, what is quick does not, and what was slow once is no reason."""

import time

import pytest

from easel_gateway.quickness import Quickness


class _Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_what_is_slow_once_stays_where_it_is() -> None:
    found = Quickness(0.002)
    found.took(0.005)
    assert found.holds


def test_what_is_usually_slow_goes_to_threads_until_it_is_tried_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = _Clock()
    monkeypatch.setattr(time, "monotonic", clock)
    found = Quickness(0.002)
    for _ in range(10):
        found.took(0.005)
    slow = not found.holds
    clock.now += 61
    assert slow
    assert found.holds
    found.took(0.001)
    assert found.holds
