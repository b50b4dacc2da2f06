"""From EndpointSlices and statuses to what the gateway knows of a model."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from easel_crds.imagemodel import ImageModel
from easel_crds.manifest import parse
from easel_gateway.cluster.entries import endpoints_of, entry_of, merged
from easel_gateway.directory import UNKNOWN_START_SECONDS, Endpoint, State
from support.kube_api import endpoint, endpoint_slice, model

READY = Endpoint("demo-1/uid-of-demo-1", "http://10.0.0.1:8000")


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        pytest.param(endpoint_slice(endpoint()), (READY,), id="ready"),
        pytest.param(endpoint_slice(endpoint(ready=False)), (), id="not ready"),
        pytest.param(endpoint_slice(endpoint(ready=None, terminating=None)), (READY,), id="unknown counts as ready"),
        pytest.param(endpoint_slice({**endpoint(), "conditions": None}), (READY,), id="nothing is known"),
        pytest.param(endpoint_slice(endpoint(terminating=True)), (), id="terminating, though it says ready"),
        pytest.param(endpoint_slice(endpoint(ready=False, terminating=True)), (), id="terminating"),
        pytest.param(endpoint_slice(), (), id="empty"),
        pytest.param(endpoint_slice(endpoints=None), (), id="no endpoints"),
        pytest.param(endpoint_slice(endpoint(), ports=None), (), id="no ports"),
        pytest.param(endpoint_slice(endpoint(), ports=[{"name": "metrics", "port": 1}]), (), id="no port named http"),
        pytest.param(
            endpoint_slice(endpoint(), ports=[{"name": "metrics", "port": 1}, {"name": "http", "port": 8000}]),
            (READY,),
            id="the port named http",
        ),
        pytest.param(
            endpoint_slice(endpoint("fd00::1"), addressType="IPv6"),
            (Endpoint(READY.name, "http://[fd00::1]:8000"),),
            id="IPv6",
        ),
        pytest.param(endpoint_slice(endpoint("a.example"), addressType="FQDN"), (), id="names are no addresses"),
        pytest.param(
            endpoint_slice({"addresses": ["10.0.0.1"]}), (Endpoint("10.0.0.1", READY.url),), id="made by hand, no pod"
        ),
    ],
)
def test_the_endpoints_of_a_slice(document: dict[str, Any], expected: tuple[Endpoint, ...]) -> None:
    assert endpoints_of(document) == expected


def test_a_pod_of_the_same_name_and_address_is_another_endpoint() -> None:
    again = endpoint() | {"targetRef": {"kind": "Pod", "name": "demo-1", "uid": "another"}}
    (one,), (other,) = endpoints_of(endpoint_slice(endpoint())), endpoints_of(endpoint_slice(again))
    assert one.name != other.name


A4, A6 = Endpoint("a/1", "http://10.0.0.9:8000"), Endpoint("a/1", "http://[fd00::1]:8000")
B4 = Endpoint("b/2", "http://10.0.0.2:8000")


@given(st.permutations([(A4, B4), (A6,), (B4,), ()]))
def test_each_pod_counts_once_and_always_with_the_same_address(slices: list[tuple[Endpoint, ...]]) -> None:
    assert merged(slices) == (B4, A4)


def parsed(status: dict[str, Any], **spec: Any) -> ImageModel:
    found = parse(model(status=status, metadata={"generation": 3}, **spec))
    assert isinstance(found, ImageModel)
    return found


def condition(kind: str, reason: str, status: str = "False", message: str = "why", generation: int = 3) -> Any:
    found = {"type": kind, "status": status, "reason": reason, "message": message, "observedGeneration": generation}
    return {"conditions": [found], "replicas": 1}


DECISIONS = {"scaleDecisions": [{"time": "2026-01-01T00:00:00Z", "replicas": n, "reason": "why"} for n in (1, 0)]}


@pytest.mark.parametrize(
    ("status", "spec", "state"),
    [
        pytest.param({}, {}, State.COLD, id="nothing is known"),
        pytest.param({"replicas": 1}, {}, State.STARTING, id="a replica exists"),
        pytest.param({"replicas": 1, "observedGeneration": 1}, {}, State.STARTING, id="it existed before the change"),
        pytest.param(DECISIONS, {}, State.STARTING, id="a replica was asked for"),
        pytest.param(
            {"scaleDecisions": DECISIONS["scaleDecisions"][::-1]}, {}, State.COLD, id="the newest decision counts"
        ),
        pytest.param({}, {"warmReplicas": 1}, State.STARTING, id="a replica is kept warm"),
        pytest.param({}, {"replicas": 2}, State.STARTING, id="pinned to two"),
        pytest.param({"replicas": 1}, {"replicas": 0}, State.COLD, id="pinned to none, the last one ends"),
        pytest.param({"replicas": 1}, {"paused": True}, State.PAUSED, id="paused"),
        pytest.param(condition("Accepted", "ProfileNotFound"), {}, State.FAILED, id="not accepted"),
        pytest.param(condition("Loaded", "LoadFailed"), {}, State.FAILED, id="cannot be loaded"),
        pytest.param(condition("Serving", "Crashed"), {}, State.FAILED, id="crashes"),
        pytest.param(condition("Loaded", "Starting"), {}, State.STARTING, id="is loading"),
        pytest.param(condition("Scheduled", "NoFittingNode"), {}, State.STARTING, id="waits for a node"),
        pytest.param(condition("Serving", "NoFittingNode"), {}, State.STARTING, id="does not serve for want of a node"),
        pytest.param(condition("Ready", "Crashed"), {}, State.STARTING, id="the roll-up is no reason of its own"),
        pytest.param(condition("Loaded", "LoadFailed", generation=2), {}, State.STARTING, id="failed before a change"),
        pytest.param(condition("Accepted", "Valid", status="True"), {}, State.STARTING, id="accepted"),
        pytest.param(condition("Accepted", "Valid", status="Unknown"), {}, State.STARTING, id="not known yet"),
    ],
)
def test_the_state_of_a_model_without_endpoints(status: dict[str, Any], spec: dict[str, Any], state: State) -> None:
    entry = entry_of(parsed(status, **spec), ())
    assert entry.state is state
    assert bool(entry.failure) == (state is State.FAILED)


def test_the_failure_is_told_in_the_operators_words_or_else_by_its_reason() -> None:
    assert entry_of(parsed(condition("Loaded", "LoadFailed", message="out of memory")), ()).failure == "out of memory"
    assert entry_of(parsed(condition("Loaded", "LoadFailed", message="")), ()).failure == "LoadFailed"


def test_what_a_start_waits_for_is_told_in_the_operators_words() -> None:
    waits = condition("Ready", "NoFittingNode", message="0/3 nodes: no free GPU")
    assert entry_of(parsed(waits), ()).pending == "0/3 nodes: no free GPU"
    assert entry_of(parsed({**waits, "replicas": 0}), ()).pending == "", "nothing is on its way"
    assert entry_of(parsed(condition("Ready", "Starting", generation=2)), ()).pending == "", "before a change"
    assert entry_of(parsed(condition("Ready", "Serving", status="True")), ()).pending == ""


def test_changes_of_the_number_of_replicas_are_those_of_the_status() -> None:
    entry = entry_of(parsed(DECISIONS), ())
    assert [(each.replicas, each.reason) for each in entry.scale_decisions] == [(1, "why"), (0, "why")]


def test_with_an_endpoint_a_model_is_ready_whatever_its_status_says() -> None:
    entry = entry_of(parsed(condition("Loaded", "LoadFailed")), (READY,))
    assert entry.state is State.READY
    assert entry.endpoints == (READY,)


def test_the_forecast_is_the_measured_cold_start() -> None:
    assert entry_of(parsed({"coldStartSeconds": 12.5, "observedGeneration": 1}), ()).start_seconds == 12.5
    assert entry_of(parsed({}), ()).start_seconds == UNKNOWN_START_SECONDS
