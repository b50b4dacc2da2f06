"""Decisions over time: what is asked for, what runs, what loads, and what the operator forgot because it restarted."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from easel_crds.demand import LEASE_SECONDS, Demand
from easel_crds.imagemodel import ImageModel, ImageModelSpec, Metadata
from easel_operator.autoscale import Autoscaler, Decision
from easel_operator.demands import Demands
from support.builders import image_model
from support.cluster_objects import (
    KEY,
    crashing_pod,
    end,
    homeless_pod,
    lease,
    loading_pod,
    pod,
    ready_pod,
    waiting_pod,
)

_IDLE = 600


def _spec(
    warm: int = 0, most: int = 10, idle: int = _IDLE, target: int = 2, pinned: int | None = None
) -> ImageModelSpec:
    scaling = {"targetInFlight": target, "idleSeconds": idle}
    return image_model(warmReplicas=warm, maxReplicas=most, replicas=pinned, scaling=scaling).spec


class World:
    """One model, one gateway, a clock, and a cluster that does at once what is decided."""

    def __init__(self, spec: ImageModelSpec, running: int = 0) -> None:
        self.spec, self.running, self.now = spec, running, 1000.0
        self.demands = Demands()
        self.autoscaler = Autoscaler(self.demands)
        self.pods: list[dict[str, Any]] = []
        self.uid = "uid"

    def ask(self, requests: int) -> None:
        """The gateway says how many requests there are, which renews its Lease."""
        self.demands.note(lease({KEY: Demand(0, requests)}, renewed=self.now), self.now)

    def decide(self) -> Decision:
        metadata = Metadata(name=KEY.name, namespace=KEY.namespace, uid=self.uid)
        model = ImageModel(metadata=metadata, spec=self.spec)
        decision = self.autoscaler.decide(model, self.running, map(pod, self.pods), self.now)
        self.running = decision.replicas
        return decision

    def after(self, seconds: float, asking: int | None = None) -> int:
        """What is decided that much later; meanwhile as many requests as before, or `asking` from then on."""
        self.now += seconds
        if asking is not None:
            self.ask(asking)
        return self.decide().replicas


def test_up_is_one_step_and_down_comes_after_idle_seconds() -> None:
    world = World(_spec())
    assert world.after(0) == 0
    assert world.after(1, asking=7) == 4
    assert world.after(1, asking=0) == 4
    assert world.after(_IDLE - 1) == 4
    assert world.after(1) == 0


def test_what_was_needed_at_the_last_look_was_needed_until_now() -> None:
    world = World(_spec())
    world.after(0, asking=4)
    for _ in range(100):
        world.now += 20
        world.ask(4)  # a renewal concerns nobody: nothing is decided
    assert world.after(0, asking=0) == 2
    assert world.after(_IDLE - 1) == 2
    assert world.after(1) == 0


def test_only_the_replicas_that_are_not_needed_go() -> None:
    world = World(_spec(warm=1))
    assert world.after(0, asking=8) == 4
    world.after(100, asking=4)
    for _ in range(60):
        world.after(10, asking=4)
    assert world.running == 2
    assert world.after(_IDLE, asking=0) == 2
    assert world.after(_IDLE) == 1


def test_a_gateway_that_falls_silent_asks_for_nothing_after_its_lease() -> None:
    world = World(_spec(idle=60))
    assert world.after(0, asking=1) == 1
    assert world.after(LEASE_SECONDS) == 1
    assert world.after(59) == 1
    assert world.after(1) == 0


def test_what_runs_when_the_operator_starts_was_needed_a_moment_ago() -> None:
    world = World(_spec(), running=3)
    assert world.after(0) == 3
    assert world.after(_IDLE - 1) == 3
    assert world.after(1) == 0


def test_what_runs_when_the_operator_starts_is_no_more_than_is_allowed() -> None:
    assert World(_spec(most=2), running=5).after(0) == 2


def test_a_model_that_comes_again_is_a_new_one() -> None:
    world = World(_spec())
    world.after(0, asking=6)
    world.ask(0)
    world.autoscaler.forget(KEY)
    world.running = 0
    assert world.after(1) == 0
    world.autoscaler.forget(KEY)
    world.autoscaler.forget(KEY)


def test_warm_replicas_are_there_from_the_beginning_and_stay() -> None:
    world = World(_spec(warm=2))
    assert world.after(0) == 2
    assert world.after(10**6) == 2


@pytest.mark.parametrize("pinned", [0, 1, 7])
def test_a_pinned_number_holds_whatever_is_asked_or_loads(pinned: int) -> None:
    world = World(_spec(warm=1, most=4, pinned=pinned), running=3)
    world.pods = [loading_pod()]
    assert world.after(0, asking=100) == pinned
    decision = world.decide()
    assert decision.reason == "spec.replicas pins the number"


def test_a_loading_model_is_not_stopped_however_long_it_takes() -> None:
    world = World(_spec(idle=1))
    assert world.after(0, asking=1) == 1
    world.pods = [loading_pod()]
    world.ask(0)
    for _ in range(100):
        assert world.after(60) == 1
    world.pods = [ready_pod()]
    assert world.after(0) == 1
    assert world.after(1) == 0


def test_a_loading_model_yields_to_a_lowered_ceiling() -> None:
    world = World(_spec(most=4), running=4)
    world.pods = [loading_pod()]
    world.spec = _spec(most=2)
    assert world.after(0) == 2


@pytest.mark.parametrize(
    "document",
    [homeless_pod(), waiting_pod(), waiting_pod("ErrImagePull"), crashing_pod(end(1, message="x")), ready_pod()],
    ids=["no node", "pulling", "no image", "crashed", "ready"],
)
def test_nothing_else_is_kept_beyond_its_time(document: dict[str, Any]) -> None:
    world = World(_spec(idle=5))
    world.after(0, asking=1)
    world.pods = [document]
    world.after(1, asking=0)
    assert world.after(5) == 0


def test_another_replica_may_come_while_one_loads() -> None:
    world = World(_spec())
    world.after(0, asking=1)
    world.pods = [loading_pod()]
    assert world.after(1, asking=8) == 4


@pytest.mark.parametrize(
    ("world", "asking", "reason"),
    [
        (World(_spec()), 3, "0 requests in flight and 3 waiting, 2 for each replica"),
        (World(_spec(warm=1)), 0, "warmReplicas asks for it"),
        (World(_spec(pinned=3)), 0, "spec.replicas pins the number"),
        (World(_spec(most=1), running=4), 9, "maxReplicas allows no more"),
    ],
)
def test_a_decision_says_why(world: World, asking: int, reason: str) -> None:
    world.ask(asking)
    assert world.decide().reason == reason


def test_a_decision_for_less_says_for_how_long_no_more_were_needed() -> None:
    world = World(_spec())
    world.after(0, asking=6)
    world.after(1, asking=0)
    world.now += _IDLE
    assert world.decide() == Decision(0, "no more were needed for 600 seconds", None)


def test_demand_beyond_all_bounds_stops_at_the_ceiling() -> None:
    world = World(_spec(most=5))
    assert world.after(0, asking=10**6) == 5
    assert len(world.decide().reason) <= 256


@pytest.mark.usefixtures("caplog")
def test_an_absurd_count_in_a_lease_stops_nobody() -> None:
    world = World(_spec(most=5))
    world.demands.note(lease('{"team/demo":[0,1%s]}' % ("0" * 400)), world.now)
    assert world.decide().replicas <= 5
    assert len(world.decide().reason) <= 256


def test_when_to_look_again_is_when_the_lease_lapses_or_a_replica_may_go() -> None:
    world = World(_spec(idle=100))
    assert world.decide().look_again is None
    world.ask(4)
    assert world.decide().look_again == LEASE_SECONDS
    world.now += 10
    world.ask(0)
    assert world.decide().look_again == 100
    world.now += 40
    assert world.decide().look_again == 60


def test_what_never_goes_is_not_looked_at() -> None:
    world = World(_spec(warm=2))
    assert world.decide().look_again is None


_steps = st.lists(st.tuples(st.integers(0, 50), st.integers(0, 12), st.booleans()), max_size=15)
"""Seconds since the step before, requests from then on, and whether a runtime is loading then."""


@st.composite
def _specs(draw: st.DrawFn) -> ImageModelSpec:
    warm = draw(st.integers(0, 2))
    return _spec(warm, draw(st.integers(max(warm, 1), 6)), draw(st.integers(1, 120)), draw(st.integers(1, 3)))


@given(_specs(), st.integers(0, 6), _steps)
def test_whatever_happens_a_loading_model_is_not_scaled_down(
    spec: ImageModelSpec, running: int, steps: list[tuple[int, int, bool]]
) -> None:
    world = World(spec, running=min(running, spec.max_replicas))
    for seconds, asking, loading in steps:
        world.pods = [loading_pod()] if loading else [ready_pod()]
        before = world.running
        after = world.after(seconds, asking=asking)
        assert spec.warm_replicas <= after <= spec.max_replicas
        assert after >= min(-(-asking // spec.scaling.target_in_flight), spec.max_replicas)
        if loading:
            assert after >= before


@given(_specs(), st.integers(0, 6), _steps)
def test_whoever_looks_only_when_told_misses_nothing(
    spec: ImageModelSpec, running: int, steps: list[tuple[int, int, bool]]
) -> None:
    world = World(spec, running=min(running, spec.max_replicas))
    for seconds, asking, _ in steps:
        world.after(seconds, asking=asking)
    looks = 0
    while (pause := world.decide().look_again) is not None:
        assert pause > 0
        world.now += pause
        looks += 1
        assert looks < 50, "it looks again and again, and nothing comes of it"
    assert world.running == spec.warm_replicas
    assert world.after(10**6) == spec.warm_replicas


@given(_specs(), st.integers(1, 12), st.integers(0, 100))
def test_nothing_goes_before_its_idle_seconds(spec: ImageModelSpec, asking: int, early: int) -> None:
    world = World(spec)
    most = world.after(0, asking=asking)
    world.ask(0)
    world.decide()
    assert world.after(max(spec.scaling.idle_seconds - 1 - early, 0)) == most
    world.now = 1000 + spec.scaling.idle_seconds
    assert world.decide().replicas == spec.warm_replicas


def test_one_that_was_made_again_needs_nothing_that_its_predecessor_did() -> None:
    world = World(_spec())
    assert world.after(1, asking=7) == 4
    world.ask(0)
    world.uid, world.running = "another", 0
    assert world.after(0) == 0
