from dataclasses import dataclass, field
from typing import Final, cast

import pytest

from easel_local.fleet import Plan, Restarts, plan
from easel_local.process import RuntimeProcess, State

_NOW: Final = {"MODEL_ID": "a/b", "EASEL_REVISION": "v2"}
_AFTER: Final = 1e6
"""A time after all ends."""
_BEFORE: Final = {"MODEL_ID": "a/b", "EASEL_REVISION": "v1"}


@dataclass(eq=False)
class _Process:
    """As much of a process as decisions look at."""

    state: State = State.READY
    started_at: float = 0.0
    environment: dict[str, str] = field(default_factory=lambda: dict(_NOW))
    was_ready: bool = True
    failure: str = "ended with exit code 1"
    ready_at: float | None = None


def _as_process(process: _Process) -> RuntimeProcess:
    return cast("RuntimeProcess", process)


def _plan(processes: list[_Process], wanted: int) -> Plan:
    return plan(cast("list[RuntimeProcess]", processes), wanted, dict(_NOW))


def _stopped(processes: list[_Process], wanted: int) -> list[int]:
    """Positions in `processes` of those that `plan` stops."""
    return [cast("list[RuntimeProcess]", processes).index(process) for process in _plan(processes, wanted).stop]


def _starting(started_at: float = 0.0) -> _Process:
    return _Process(State.STARTING, started_at, was_ready=False)


def _ready(started_at: float = 0.0) -> _Process:
    return _Process(State.READY, started_at)


def _outdated(state: State = State.READY) -> _Process:
    return _Process(state, environment=dict(_BEFORE))


@pytest.mark.parametrize(
    ("processes", "wanted", "start"),
    [
        ([], 0, 0),
        ([], 3, 3),
        ([_ready()], 3, 2),
        ([_starting()], 3, 2),
        ([_ready(), _starting()], 2, 0),
        ([_ready(), _ready()], 1, 0),
        ([_Process(State.ENDED)], 1, 1),
        ([_Process(State.STOPPING)], 1, 0),
        ([_Process(State.STOPPING)], 2, 1),
        ([_ready(), _Process(State.STOPPING)], 1, 0),
        ([_ready(), _Process(State.STOPPING), _Process(State.STOPPING)], 2, 0),
    ],
    ids=[
        "nothing wanted",
        "all at once",
        "one is there",
        "one is on its way",
        "enough",
        "too many",
        "one that ended does not count",
        "one that is leaving still holds its GPU",
        "there is room beside the one that is leaving",
        "one that is leaving is not a spare",
        "the one that left makes room",
    ],
)
def test_as_many_start_as_are_missing(processes: list[_Process], wanted: int, start: int) -> None:
    assert _plan(processes, wanted).start == start


def test_nothing_stops_while_all_are_wanted() -> None:
    assert _stopped([_ready(), _starting()], 2) == []


def test_the_newest_stops_first() -> None:
    assert _stopped([_ready(2), _ready(3), _ready(1)], 2) == [1]


def test_one_that_is_not_ready_stops_before_any_that_is() -> None:
    assert _stopped([_starting(1), _ready(2), _ready(3)], 2) == [0]


def test_all_stop_when_none_is_wanted() -> None:
    assert sorted(_stopped([_ready(1), _starting(2), _ready(3)], 0)) == [0, 1, 2]


@pytest.mark.parametrize("state", [State.STOPPING, State.ENDED])
def test_what_is_leaving_is_not_stopped_again(state: State) -> None:
    assert _plan([_Process(state), _Process(state, environment=dict(_BEFORE))], 0) == Plan(0, ())


@pytest.mark.parametrize("state", [State.STARTING, State.READY])
def test_one_with_an_old_environment_stops_before_its_successor_starts(state: State) -> None:
    outdated = _outdated(state)
    assert _stopped([outdated], 1) == [0]
    assert _plan([outdated], 1).start == 0
    outdated.state = State.STOPPING
    assert _plan([outdated], 1) == Plan(0, ())
    outdated.state = State.ENDED
    assert _plan([outdated], 1) == Plan(1, ())


def test_an_outdated_one_stops_even_if_it_is_the_only_one_that_is_ready() -> None:
    processes = [_outdated(), _starting()]
    assert _stopped(processes, 2) == [0]
    assert _plan(processes, 2).start == 0


def test_an_increase_beside_an_outdated_one_starts_only_what_is_missing() -> None:
    processes = [_outdated()]
    assert _plan(processes, 3).start == 2


def test_an_outdated_one_stops_when_none_is_wanted() -> None:
    assert _stopped([_outdated(), _ready()], 0) == [0, 1]


def _ended(*, was_ready: bool = True, failure: str = "ended with exit code 1") -> RuntimeProcess:
    return cast("RuntimeProcess", _Process(State.ENDED, was_ready=was_ready, failure=failure))


def _pauses(restarts: Restarts, times: int, *, was_ready: bool) -> list[float]:
    """Seconds until the next start after each of `times` ends in a row."""
    pauses = []
    for number in range(times):
        now = 1000.0 * number
        restarts.note_end(_ended(was_ready=was_ready), now)
        pauses.append(restarts.not_before - now)
    return pauses


def test_nothing_waits_before_anything_has_ended() -> None:
    assert not Restarts().paused(0)


def test_one_that_had_been_ready_is_started_again_at_once() -> None:
    restarts = Restarts()
    restarts.note_end(_ended(), 100)
    assert not restarts.paused(100)


def test_one_that_never_was_ready_waits_twice_as_long_each_time_up_to_a_minute() -> None:
    assert _pauses(Restarts(), 8, was_ready=False) == [1, 2, 4, 8, 16, 32, 60, 60]


def test_one_that_is_ready_and_ends_again_and_again_waits_too() -> None:
    assert _pauses(Restarts(), 8, was_ready=True) == [0, 2, 4, 8, 16, 32, 60, 60]


def test_a_long_row_of_failures_still_waits_a_minute() -> None:
    assert _pauses(Restarts(), 2000, was_ready=False)[-1] == 60


def test_a_pause_ends_at_its_time() -> None:
    restarts = Restarts()
    restarts.note_end(_ended(was_ready=False), 100)
    assert restarts.paused(100.9)
    assert not restarts.paused(101)


def test_the_reason_is_the_process_s_own() -> None:
    restarts = Restarts()
    restarts.note_end(_ended(failure="a/b has no model_index.json"), 100)
    assert restarts.reason == "a/b has no model_index.json"


def test_the_reason_is_gone_as_soon_as_one_is_ready_but_the_row_goes_on() -> None:
    restarts = Restarts()
    _pauses(restarts, 3, was_ready=False)
    restarts.note_ready(_as_process(_Process(started_at=_AFTER, ready_at=_AFTER)), _AFTER)
    assert restarts.reason == ""
    assert _pauses(restarts, 1, was_ready=True) == [8]


@pytest.mark.parametrize(("seconds", "pause"), [(9.9, 4), (10, 0)])
def test_one_that_stays_ready_ends_the_row(seconds: float, pause: float) -> None:
    restarts = Restarts()
    _pauses(restarts, 2, was_ready=True)
    restarts.note_ready(_as_process(_Process(started_at=_AFTER, ready_at=_AFTER)), _AFTER + seconds)
    assert _pauses(restarts, 1, was_ready=True) == [pause]


def test_one_that_was_ready_before_says_nothing_about_the_one_that_failed() -> None:
    restarts = Restarts()
    older = _as_process(_Process(started_at=1, ready_at=2))
    _pauses(restarts, 2, was_ready=False)
    restarts.note_ready(older, _AFTER)
    assert restarts.reason == "ended with exit code 1"
    assert _pauses(restarts, 1, was_ready=False) == [4]
