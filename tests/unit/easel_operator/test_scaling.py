import pytest
from hypothesis import given
from hypothesis import strategies as st

from easel_crds.imagemodel import ImageModelSpec
from easel_operator.scaling import Need, desired_replicas, needed_replicas, next_release
from support.builders import image_model

_IDLE = 600


def _spec(
    warm: int = 0, most: int = 10, pinned: int | None = None, target: int = 2, idle: int = _IDLE
) -> ImageModelSpec:
    return image_model(
        warmReplicas=warm,
        maxReplicas=most,
        replicas=pinned,
        scaling={"targetInFlight": target, "idleSeconds": idle},
    ).spec


@st.composite
def _specs(draw: st.DrawFn) -> ImageModelSpec:
    warm = draw(st.integers(0, 5))
    return _spec(
        warm=warm,
        most=draw(st.integers(max(warm, 1), 8)),
        pinned=draw(st.none() | st.integers(0, 8)),
        target=draw(st.integers(1, 4)),
        idle=draw(st.integers(1, 100)),
    )


_histories = st.lists(st.tuples(st.floats(0, 200), st.integers(0, 40)), max_size=12)
"""Seconds since the last look, and the demand that was found."""


@pytest.mark.parametrize(
    ("demand", "replicas"), [(0, 0), (1, 1), (2, 1), (3, 2), (4, 2), (5, 3), (20, 10), (21, 10), (10_000, 10)]
)
def test_every_replica_carries_its_share_and_one_more_request_asks_for_one_more(demand: int, replicas: int) -> None:
    assert needed_replicas(_spec(target=2, most=10), demand) == replicas


@pytest.mark.parametrize(("demand", "replicas"), [(0, 2), (1, 2), (4, 2), (5, 3)])
def test_warm_replicas_are_needed_without_demand(demand: int, replicas: int) -> None:
    assert needed_replicas(_spec(warm=2), demand) == replicas


def test_nothing_runs_that_nobody_ever_needed() -> None:
    assert desired_replicas(_spec(), Need(), 0) == 0


def test_a_warm_replica_runs_from_the_beginning() -> None:
    assert desired_replicas(_spec(warm=2), Need(), 0) == 2


def test_from_zero_to_many_is_one_step() -> None:
    assert desired_replicas(_spec(), Need().noted(7, now=100), 100) == 7


@pytest.mark.parametrize(("later", "replicas"), [(0, 1), (599.9, 1), (600, 0), (10_000, 0)])
def test_a_replica_goes_only_after_its_idle_seconds(later: float, replicas: int) -> None:
    assert desired_replicas(_spec(), Need().noted(1, now=50), 50 + later) == replicas


@pytest.mark.parametrize(("now", "replicas"), [(599, 4), (600, 2), (899, 2), (900, 1), (999, 1), (1000, 0)])
def test_only_the_replicas_that_are_not_needed_go(now: float, replicas: int) -> None:
    need = Need().noted(4, now=0).noted(2, now=300).noted(1, now=400)
    assert desired_replicas(_spec(), need, now) == replicas


def test_need_in_between_starts_the_idle_seconds_again() -> None:
    need = Need().noted(3, now=0).noted(3, now=500)
    assert desired_replicas(_spec(), need, 1099) == 3
    assert desired_replicas(_spec(), need, 1100) == 0


def test_need_for_less_does_not_shorten_the_idle_seconds_of_the_rest() -> None:
    need = Need().noted(3, now=0).noted(1, now=10)
    assert need == Need((10, 0, 0))
    assert desired_replicas(_spec(), need, 20) == 3


def test_no_need_changes_nothing() -> None:
    assert Need((10, 5)).noted(0, now=20) == Need((10, 5))


def test_the_warm_ones_stay_when_all_is_idle() -> None:
    assert desired_replicas(_spec(warm=2), Need().noted(5, now=0), 10_000) == 2


def test_a_lowered_ceiling_counts_at_once() -> None:
    assert desired_replicas(_spec(most=3), Need().noted(7, now=0), 1) == 3


@pytest.mark.parametrize("pinned", [0, 1, 50])
def test_a_pinned_number_overrides_demand_floor_and_ceiling(pinned: int) -> None:
    spec = _spec(warm=2, most=4, pinned=pinned)
    assert desired_replicas(spec, Need(), 0) == pinned
    assert desired_replicas(spec, Need().noted(4, now=0), 0) == pinned


@given(_specs(), _histories, st.floats(0, 1000))
def test_whatever_happens_the_number_stays_within_its_bounds(
    spec: ImageModelSpec, history: list[tuple[float, int]], later: float
) -> None:
    need, now = Need(), 0.0
    for pause, demand in history:
        now += pause
        need = need.noted(needed_replicas(spec, demand), now)
    desired = desired_replicas(spec, need, now + later)
    if spec.replicas is None:
        assert spec.warm_replicas <= desired <= spec.max_replicas
    else:
        assert desired == spec.replicas


@given(_specs().filter(lambda spec: spec.replicas is None), _histories)
def test_it_is_never_below_what_is_needed_now(spec: ImageModelSpec, history: list[tuple[float, int]]) -> None:
    need, now = Need(), 0.0
    for pause, demand in history:
        now += pause
        needed = needed_replicas(spec, demand)
        need = need.noted(needed, now)
        assert desired_replicas(spec, need, now) >= needed


@given(_specs().filter(lambda spec: spec.replicas is None), _histories)
def test_without_more_need_it_only_falls_and_ends_at_the_warm_ones(
    spec: ImageModelSpec, history: list[tuple[float, int]]
) -> None:
    need, now = Need(), 0.0
    for pause, demand in history:
        now += pause
        need = need.noted(needed_replicas(spec, demand), now)
    counts = [desired_replicas(spec, need, now + later) for later in range(spec.scaling.idle_seconds + 2)]
    assert counts == sorted(counts, reverse=True)
    assert counts[-1] == spec.warm_replicas


@given(_histories)
def test_whoever_needs_three_needs_two(history: list[tuple[float, int]]) -> None:
    need, now = Need(), 0.0
    for pause, replicas in history:
        now += pause
        need = need.noted(replicas, now)
        assert list(need.last) == sorted(need.last, reverse=True)
        assert len(need.last) >= replicas


@pytest.mark.parametrize(
    ("now", "seconds"), [(400, 200), (599, 1), (600, 300), (900, 100), (999.5, 0.5), (1000, None), (5000, None)]
)
def test_the_next_release_is_that_of_the_replica_that_was_not_needed_for_longest(
    now: float, seconds: float | None
) -> None:
    need = Need().noted(4, now=0).noted(2, now=300).noted(1, now=400)
    assert next_release(_spec(), need, now) == seconds


@pytest.mark.parametrize("spec", [_spec(warm=4), _spec(pinned=0), _spec(pinned=9)])
def test_what_does_not_go_by_time_has_no_next_release(spec: ImageModelSpec) -> None:
    assert next_release(spec, Need().noted(4, now=0), 1) is None


def test_what_is_beyond_the_ceiling_goes_at_once_and_has_no_next_release() -> None:
    need = Need().noted(2, now=100).noted(5, now=0)
    assert next_release(_spec(most=2), Need((100, 100, 0, 0, 0)), 150) == 550
    assert next_release(_spec(most=1), need, 1) == 599


@given(
    _specs().filter(lambda spec: spec.replicas is None),
    st.lists(st.tuples(st.integers(0, 200), st.integers(0, 40)), max_size=12),
    st.integers(0, 1000),
)
def test_until_the_next_release_nothing_changes_and_then_something_does(
    spec: ImageModelSpec, history: list[tuple[int, int]], later: int
) -> None:
    need, now = Need(), 0
    for pause, demand in history:
        now += pause
        need = need.noted(needed_replicas(spec, demand), now)
    now += later
    before, seconds = desired_replicas(spec, need, now), next_release(spec, need, now)
    if seconds is None:
        assert desired_replicas(spec, need, now + 10**6) == before
        return
    assert seconds > 0
    assert desired_replicas(spec, need, now + seconds - 0.5) == before
    assert desired_replicas(spec, need, now + seconds) < before
