"""What gateways ask for, from Leases that come, lapse, come again, and cannot be read."""

import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from easel_crds.demand import LEASE_SECONDS, Demand, ModelKey
from easel_operator.demands import Demands
from support.cluster_objects import KEY, lease

_OTHER = ModelKey("team", "other")
_BROKEN = [
    "",
    "[]",
    "null",
    '{"team/demo":[1]}',
    '{"team/demo":[-1,0]}',
    '{"team/demo":["1",0]}',
    '{"demo":[1,0]}',
    "{",
]


def test_without_leases_nobody_asks() -> None:
    demands = Demands()
    assert demands.of(KEY, 0) == Demand()
    assert demands.expires(KEY, 0) is None


def test_all_gateways_together_count() -> None:
    demands = Demands()
    assert demands.note(lease({KEY: Demand(2, 1)}, name="gateway-1"), 0) == {KEY}
    assert demands.note(lease({KEY: Demand(1, 4), _OTHER: Demand(0, 1)}, name="gateway-2"), 1) == {KEY, _OTHER}
    assert demands.of(KEY, 2) == Demand(3, 5)
    assert demands.of(_OTHER, 2) == Demand(0, 1)


def test_models_of_one_name_in_two_namespaces_are_two() -> None:
    demands = Demands()
    demands.note(lease({ModelKey("a", "demo"): Demand(1, 0)}), 0)
    assert demands.of(ModelKey("b", "demo"), 0) == Demand()


def test_a_new_report_replaces_the_one_before() -> None:
    demands = Demands()
    demands.note(lease({KEY: Demand(5, 5), _OTHER: Demand(1, 0)}, renewed=0), 0)
    assert demands.note(lease({KEY: Demand(1, 0), _OTHER: Demand(1, 0)}, renewed=2), 2) == {KEY}
    assert demands.note(lease({_OTHER: Demand(1, 0)}, renewed=4), 4) == {KEY}
    assert demands.of(KEY, 4) == Demand()


def test_a_renewal_that_asks_for_the_same_concerns_nobody() -> None:
    demands = Demands()
    demands.note(lease({KEY: Demand(1, 0)}, renewed=0), 0)
    assert demands.note(lease({KEY: Demand(1, 0)}, renewed=10), 10) == set()
    assert demands.of(KEY, 39) == Demand(1, 0)


@pytest.mark.parametrize(("later", "counts"), [(0, True), (29.9, True), (30, False), (1000, False)])
def test_a_report_that_is_not_renewed_lapses(later: float, *, counts: bool) -> None:
    demands = Demands()
    demands.note(lease({KEY: Demand(1, 0)}), 100)
    assert demands.of(KEY, 100 + later) == (Demand(1, 0) if counts else Demand())
    assert demands.expires(KEY, 100 + later) == (pytest.approx(LEASE_SECONDS - later) if counts else None)


def test_seeing_the_same_renewal_again_does_not_prolong_it() -> None:
    demands = Demands()
    demands.note(lease({KEY: Demand(1, 0)}, renewed=0), 0)
    demands.note(lease({KEY: Demand(1, 0)}, renewed=0), 25)  # the watch began anew, or everything was listed
    assert demands.of(KEY, 31) == Demand()


def test_clocks_of_gateways_are_never_read() -> None:
    demands = Demands()
    demands.note(lease({KEY: Demand(1, 0)}, renewed=10**6), 0)
    demands.note(lease({KEY: Demand(1, 0)}, renewed=-(10**6)), 20)  # it was set back: still a renewal
    assert demands.of(KEY, 45) == Demand(1, 0)


def test_a_lapsed_demand_that_is_renewed_concerns_its_model_anew() -> None:
    demands = Demands()
    demands.note(lease({KEY: Demand(0, 3)}, renewed=0), 0)
    assert demands.of(KEY, 40) == Demand()
    assert demands.note(lease({KEY: Demand(0, 3)}, renewed=41), 41) == {KEY}


def test_the_first_of_two_reports_to_lapse_is_when_to_look_again() -> None:
    demands = Demands()
    demands.note(lease({KEY: Demand(1, 0)}, name="gateway-1"), 0)
    demands.note(lease({KEY: Demand(1, 0)}, name="gateway-2"), 20)
    assert demands.expires(KEY, 21) == 9
    assert demands.expires(KEY, 31) == 19
    assert demands.expires(_OTHER, 21) is None


def test_a_gateway_that_is_gone_asks_for_nothing() -> None:
    demands = Demands()
    demands.note(lease({KEY: Demand(1, 0)}), 0)
    assert demands.forget("uid-of-gateway-1") == {KEY}
    assert demands.forget("uid-of-gateway-1") == set()
    assert demands.of(KEY, 1) == Demand()


def test_a_gateway_whose_lease_is_not_listed_any_more_asks_for_nothing() -> None:
    demands = Demands()
    demands.note(lease({KEY: Demand(1, 0)}, name="gateway-1"), 0)
    demands.note(lease({KEY: Demand(0, 2)}, name="gateway-2"), 0)
    demands.keep({"uid-of-gateway-2"})
    assert demands.of(KEY, 1) == Demand(0, 2)


def test_a_lease_without_a_demand_asks_for_nothing() -> None:
    bare = lease("{}")
    del bare["metadata"]["annotations"], bare["spec"]
    demands = Demands()
    assert demands.note(bare, 0) == set()
    assert demands.of(KEY, 0) == Demand()


@pytest.mark.parametrize("text", _BROKEN)
def test_a_lease_that_cannot_be_read_asks_for_nothing_and_is_told(text: str, caplog: pytest.LogCaptureFixture) -> None:
    demands = Demands()
    demands.note(lease({KEY: Demand(1, 0)}, renewed=0), 0)
    assert demands.note(lease(text, renewed=1), 1) == {KEY}
    assert demands.of(KEY, 1) == Demand()
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "gateway-1" in record.getMessage()


@pytest.mark.usefixtures("caplog")
def test_a_lease_that_nobody_could_ever_read_stops_nobody() -> None:
    # Whoever may write Leases in some namespace may write this: 256 KiB of annotations are allowed.
    assert Demands().note(lease('{"team/demo":' + "[" * 200_000), 0) == set()


def test_one_that_cannot_be_read_does_not_silence_the_others() -> None:
    demands = Demands()
    demands.note(lease("?", name="gateway-1"), 0)
    demands.note(lease({KEY: Demand(1, 1)}, name="gateway-2"), 0)
    assert demands.of(KEY, 0) == Demand(1, 1)


_counts = st.builds(Demand, st.integers(0, 50), st.integers(0, 50))
_reports = st.dictionaries(st.sampled_from([KEY, _OTHER]), _counts)


@given(st.lists(st.tuples(st.sampled_from("abc"), _reports, st.integers(0, 20)), max_size=12))
def test_it_is_the_sum_of_the_last_reports_that_are_fresh(
    reports: list[tuple[str, dict[ModelKey, Demand], int]],
) -> None:
    demands, now, last = Demands(), 0, dict[str, tuple[int, dict[ModelKey, Demand]]]()
    for name, asked, pause in reports:
        now += pause
        before = {key: demands.of(key, now) for key in (KEY, _OTHER)}
        told = demands.note(lease(asked, renewed=now, name=name), now)
        last[name] = now, asked
        for key in (KEY, _OTHER):
            fresh = [counts.get(key, Demand()) for seen, counts in last.values() if now - seen < LEASE_SECONDS]
            assert demands.of(key, now) == sum(fresh, Demand())
            assert key in told or demands.of(key, now) == before[key], "whoever is concerned must be told"
