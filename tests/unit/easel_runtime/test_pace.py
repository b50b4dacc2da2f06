"""The forecast in `Retry-After`."""

import pytest

from easel_runtime.pace import Pace, effort
from support.workers import generation


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr("easel_runtime.pace.time.monotonic", lambda: now[0])
    return now


def test_before_anything_was_measured_it_is_a_second(clock: list[float]) -> None:
    pace = Pace()
    assert pace.until_free() == 1
    pace.begin(effort(generation(), 1))
    assert pace.until_free() == 1


def test_what_is_in_work_takes_as_long_as_its_like_did(clock: list[float]) -> None:
    pace = Pace()
    pace.end(effort(generation(steps=9), 1), 10)
    pace.begin(effort(generation(steps=19), 2))
    assert pace.until_free() == 40
    clock[0] += 30.5
    assert pace.until_free() == 10
    clock[0] += 100
    assert pace.until_free() == 1
    pace.end(effort(generation(steps=19), 2), None)
    assert pace.until_free() == 1


def test_newer_measurements_count_more_but_not_alone(clock: list[float]) -> None:
    pace = Pace()
    pace.end(effort(generation(), 1), 10)
    pace.end(effort(generation(), 1), 20)
    pace.begin(effort(generation(), 1))
    assert 10 < pace.until_free() < 20
