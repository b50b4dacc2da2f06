"""What is slow goes to a thread for a while, what is quick does not, and what was slow once is no reason."""

import pytest

from easel_gateway import quickness
from easel_gateway.quickness import Quickness


def test_what_is_slow_once_stays_where_it_is() -> None:
    found = Quickness(0.002)
    found.took(0.005)
    assert found.holds


def test_what_is_usually_slow_goes_to_threads_until_it_is_tried_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(quickness.time, "monotonic", lambda: now)
    found = Quickness(0.002)
    for _ in range(10):
        found.took(0.005)
    assert not found.holds
    now += 61
    assert found.holds
    found.took(0.001)
    assert found.holds
