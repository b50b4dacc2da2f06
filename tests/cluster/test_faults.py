"""What dies, is away, or is made again: the models end where they ought to."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx2
import pytest

from support import operator_process
from support.easel_release import Release
from support.fleet import Fleet, names_of
from support.kubectl import SECONDS, Document, Namespace, condition, eventually
from support.meddling import KINDS


@pytest.fixture
def fleet(easel: Release, namespace: Namespace, simulated_gpus: str) -> Iterator[Fleet]:
    """Models of one test, gone after it."""
    found = Fleet(namespace, easel.system, simulated_gpus)
    yield found
    found.clear()


def _scale_up(fleet: Fleet, ask: Callable[[Callable[[], None]], None]) -> dict[str, Any]:
    """What eight models come to of which four are asked for, and then, by `ask`, all."""
    names = [f"many-{number}" for number in range(8)]
    fleet.apply(*map(fleet.model, names))
    fleet.wait_ready()
    fleet.ask(*names[:4])
    fleet.wait_for(2, *names[:4])
    ask(lambda: fleet.ask(*names))
    fleet.wait_for(2, *names)
    return fleet.state()


def test_an_operator_killed_in_the_middle_of_a_scale_up_ends_where_it_would_have_ended(fleet: Fleet) -> None:
    def die(ask: Callable[[], None]) -> None:
        operator_process.kill(ask)
        assert {one["spec"]["replicas"] for one in fleet.namespace.list("deployments")} == {0, 2}, "not in the middle"

    killed = _scale_up(fleet, die)
    fleet.clear()
    assert killed == _scale_up(fleet, lambda ask: ask())


def test_while_the_operator_is_away_models_serve_and_what_was_missed_is_caught_up(
    fleet: Fleet, easel: Release, gateway: str
) -> None:
    names = ("stays", "goes", "grows")
    fleet.apply(*(fleet.model(name, warmReplicas=1) for name in names))
    fleet.wait_for(1, *names)
    before = fleet.pods("stays")
    with operator_process.away(easel.system):
        fleet.namespace("delete", "im", "goes")
        fleet.apply(fleet.model("grows", warmReplicas=2), fleet.model("comes", warmReplicas=1))
        eventually(lambda: fleet.left("goes"), lambda left: not left)
        listed = [model["id"] for model in httpx2.get(f"{gateway}/v1/models", timeout=SECONDS).json()["data"]]
        assert f"{fleet.namespace}/stays" in listed
        assert f"{fleet.namespace}/goes" not in listed
    fleet.wait_for(2, "grows")
    fleet.wait_for(1, "stays", "comes")
    assert fleet.pods("stays") == before
    assert fleet.left("goes") == []


def test_thirty_models_at_once_come_to_exactly_what_they_need(fleet: Fleet) -> None:
    warm, cold = [f"warm-{number}" for number in range(10)], [f"cold-{number}" for number in range(20)]
    fleet.apply(*(fleet.model(name, warmReplicas=1) for name in warm), *map(fleet.model, cold))
    fleet.wait_ready()
    fleet.wait_for(1, *warm)
    for kind in KINDS:
        assert fleet.names(kind) == names_of(*warm, *cold)
    assert len(fleet.names("replicasets")) == len(warm + cold)
    assert len(fleet.names("pods")) == len(warm)
    before = fleet.state()
    operator_process.kill()
    fleet.apply(fleet.model("later"))
    fleet.wait_ready()  # so a new operator has looked at the others, too
    after = fleet.state()
    assert {name.partition(" ")[2] for name in after.keys() - before.keys()} == {"later", "easel-later"}
    assert {name: after[name] for name in before} == before


def _refuse(namespace: Namespace, pod: str, why: str) -> None:
    """What the kubelet says of a pod for which there is no healthy GPU."""
    status = {"phase": "Failed", "reason": "UnexpectedAdmissionError", "message": why}
    namespace("patch", "pod", pod, "--subresource=status", "--type=merge", f"--patch={json.dumps({'status': status})}")


def test_a_pod_that_the_kubelet_refused_is_removed_and_replaced_and_told_of(fleet: Fleet) -> None:
    fleet.apply(fleet.model("refused", warmReplicas=1))
    fleet.wait_for(1, "refused")
    (name,) = fleet.names("pods")
    why = "Allocate failed due to no healthy devices present; cannot allocate unhealthy devices nvidia.com/gpu"
    _refuse(fleet.namespace, name, why)
    eventually(lambda: fleet.names("pods"), lambda names: len(names) == 1 and names != [name])
    fleet.wait_for(1, "refused")
    model = fleet.get("refused")
    assert condition(model, "Ready")["status"] == "True"
    assert model["status"]["lastFailure"] == {"pod": name, "message": f"UnexpectedAdmissionError: {why}"}


def test_a_failed_pod_of_somebody_else_is_kept(fleet: Fleet) -> None:
    fleet.apply(fleet.model("shared", warmReplicas=1))
    fleet.wait_for(1, "shared")
    (name,) = fleet.names("pods")
    metadata = {"name": "theirs", "labels": {"easel.dev/model": "shared"}}
    spec = {"containers": [{"name": "shell", "image": "shell:1"}], "schedulerName": "nobody"}
    fleet.apply({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
    try:
        _refuse(fleet.namespace, "theirs", "theirs to look into")
        _refuse(fleet.namespace, name, "a matter of Easel's")
        eventually(lambda: fleet.names("pods"), lambda names: name not in names)
        fleet.wait_for(1, "shared")
        assert "theirs" in fleet.names("pods")
    finally:
        fleet.namespace("delete", "pod", "theirs", "--ignore-not-found")


def _owners(children: list[Document]) -> set[str]:
    return {child["metadata"]["ownerReferences"][0]["uid"] for child in children}


def test_a_model_made_again_in_one_breath_is_a_new_one(fleet: Fleet) -> None:
    fleet.apply(fleet.model("again"), fleet.model("brief", idle_seconds=1))
    fleet.wait_ready()
    fleet.ask("again", "brief")
    fleet.wait_for(2, "again", "brief")
    fleet.ask_no_more()
    fleet.wait_for(0, "brief")  # so the operator knows that nobody asks any more
    with operator_process.asleep():
        fleet.namespace("delete", "im", "again")
        fleet.apply(fleet.model("again"))
    model = eventually(lambda: fleet.get("again"), lambda one: condition(one, "Ready").get("status") == "True")
    assert condition(model, "Ready")["reason"] == "ScaledToZero", "nobody has asked for this one"
    assert model["status"]["scaleDecisions"] == []
    children = fleet.children("again")
    assert len(children) == len(KINDS)
    assert _owners(children) == {model["metadata"]["uid"]}
    eventually(lambda: fleet.pods("again"), lambda pods: not pods)


def test_a_model_replaced_by_force_comes_back(fleet: Fleet) -> None:
    fleet.apply(fleet.model("forced", warmReplicas=2))
    fleet.wait_for(2, "forced")
    before = set(fleet.pods("forced"))
    fleet.namespace("replace", "--force", "-f", "-", given=json.dumps(fleet.model("forced", warmReplicas=1)))
    eventually(lambda: fleet.pods("forced"), lambda pods: len(pods) == 1 and not before.intersection(pods))
    fleet.wait_for(1, "forced")
    model = eventually(lambda: fleet.get("forced"), lambda one: condition(one, "Ready")["status"] == "True")
    assert condition(model, "Ready")["message"] == "1 of 1 runtimes answer"
    assert "lastFailure" not in model["status"]


def test_what_an_orphaning_deletion_left_is_taken_over_without_a_restart(fleet: Fleet) -> None:
    fleet.apply(fleet.model("orphaned", warmReplicas=1))
    fleet.wait_for(1, "orphaned")
    before = fleet.pods("orphaned")
    fleet.namespace("delete", "im", "orphaned", "--cascade=orphan")
    fleet.apply(fleet.model("orphaned", warmReplicas=1))
    fleet.wait_for(1, "orphaned")
    model = fleet.get("orphaned")
    eventually(lambda: _owners(fleet.children("orphaned")), lambda owners: owners == {model["metadata"]["uid"]})
    assert fleet.pods("orphaned") == before
