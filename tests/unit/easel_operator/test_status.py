"""What is said about an ImageModel, for every stage that its pods can be in."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from easel_crds.conditions import FAILURES, Reason
from easel_crds.imagemodel import ImageModel, ImageModelStatus, ScaleDecision
from easel_operator.status import Found, Verdict, ready_condition, status, status_of_invalid
from support.cluster_objects import (
    at,
    cluster_model,
    crashing_pod,
    deleted,
    end,
    ended_pod,
    homeless_pod,
    loading_pod,
    model_document,
    new_pod,
    pod,
    ready_pod,
    rejected_pod,
    waiting_pod,
)

Json = dict[str, Any]
_VALID = Verdict(holds=True, reason=Reason.VALID)
_QUOTA = 'pods "easel-demo-6b7f-x" is forbidden: exceeded quota: gpus, requested: requests.nvidia.com/gpu=1'
_NOW = at(1000)


def _found(
    *pods: Json, wanted: int = 1, accepted: Verdict = _VALID, of: ImageModel | None = None, **more: Any
) -> Found:
    return Found(of or cluster_model(warmReplicas=1), accepted, wanted, tuple(map(pod, pods)), **more)


def _said(found: Found) -> dict[str, tuple[str, str]]:
    """Status and reason of each condition."""
    return {one.type: (one.status, one.reason) for one in status(found, _NOW).conditions}


def _message(found: Found, kind: str = "Ready") -> str:
    return next(one.message for one in status(found, _NOW).conditions if one.type == kind)


def _as_stored(told: ImageModelStatus) -> Json:
    """The status as it comes back from the API server."""
    stored: Json = json.loads(json.dumps(told.model_dump(mode="json", by_alias=True, exclude_none=True)))
    return stored


def _again(found: Found, told: ImageModelStatus) -> Found:
    """The same finding, with `told` as the status that was there before."""
    metadata = found.model.metadata
    spec = found.model.spec.model_dump(mode="json", by_alias=True, exclude_none=True)
    model = cluster_model(metadata.name, status=_as_stored(told), metadata={"generation": metadata.generation}, **spec)
    return Found(
        model,
        found.accepted,
        found.wanted,
        found.pods,
        refused=found.refused,
        autoscaler=found.autoscaler,
        gpu=found.gpu,
    )


def test_every_condition_is_said_in_order_for_the_generation_that_was_read() -> None:
    told = status(_found(of=cluster_model(metadata={"generation": 7})), _NOW)
    assert [one.type for one in told.conditions] == ["Accepted", "Cached", "Scheduled", "Loaded", "Serving", "Ready"]
    assert {one.observed_generation for one in told.conditions} == {told.observed_generation} == {7}


_STAGES: dict[str, tuple[Json, str, str, str]] = {
    # The pod, then the reasons of Scheduled, Loaded and Ready.
    "new": (new_pod(), "Starting", "Starting", "Starting"),
    "no node": (homeless_pod(), "NoFittingNode", "Starting", "NoFittingNode"),
    "pulling": (waiting_pod(), "Scheduled", "Starting", "Starting"),
    "no image": (waiting_pod("ErrImagePull", "not found"), "Scheduled", "CannotStart", "CannotStart"),
    "loading": (loading_pod(), "Scheduled", "Starting", "Starting"),
    "load failed": (crashing_pod(end(1, message="no such repository")), "Scheduled", "LoadFailed", "LoadFailed"),
    "killed": (crashing_pod(end(137, "OOMKilled")), "Scheduled", "Crashed", "Crashed"),
    "ended well": (crashing_pod(end(0, "Completed")), "Scheduled", "Crashed", "Crashed"),
    "second try": (loading_pod(last=end(137, "OOMKilled"), restarts=1), "Scheduled", "Starting", "Starting"),
    "third try": (loading_pod(last=end(137, "OOMKilled"), restarts=2), "Scheduled", "Crashed", "Crashed"),
    "failed, tries": (loading_pod(last=end(1, message="x"), restarts=1), "Scheduled", "LoadFailed", "LoadFailed"),
    "rejected": (rejected_pod(), "Starting", "Starting", "Starting"),
    "leaving": (deleted(ready_pod()), "Starting", "Starting", "Starting"),
    "ready": (ready_pod(), "Scheduled", "Loaded", "Serving"),
    "ready again": (ready_pod(last=end(137, "OOMKilled"), restarts=4), "Scheduled", "Loaded", "Serving"),
}  # fmt: skip


@pytest.mark.parametrize("stage", _STAGES)
def test_each_stage_of_a_pod_has_its_reasons(stage: str) -> None:
    document, scheduled, loaded, ready = _STAGES[stage]
    said = _said(_found(document))
    assert said["Scheduled"] == ("True" if scheduled == "Scheduled" else "False", scheduled)
    assert said["Loaded"] == ("True" if loaded == "Loaded" else "False", loaded)
    assert said["Serving"] == (said["Loaded"][0], "Serving" if loaded == "Loaded" else loaded)
    assert said["Ready"] == ("True" if ready == "Serving" else "False", ready)


@pytest.mark.parametrize("stage", _STAGES)
def test_serving_and_ready_agree_with_the_number_of_pods_that_answer(stage: str) -> None:
    told = status(_found(_STAGES[stage][0]), _NOW)
    assert told.ready_replicas == (1 if stage.startswith("ready") else 0)
    assert told.replicas == (0 if stage in ("rejected", "leaving") else 1)


def test_the_scheduler_and_the_autoscaler_speak_for_themselves() -> None:
    found = _found(homeless_pod("0/3 nodes are available."), autoscaler="pod didn't trigger scale-up: max size reached")
    message = _message(found)
    assert "of at least 20G" in message
    assert "the scheduler says: 0/3 nodes are available." in message
    assert message.endswith("the autoscaler says: pod didn't trigger scale-up: max size reached")
    assert "autoscaler" not in _message(_found(homeless_pod("0/3 nodes are available.")))


def test_the_kubelet_speaks_for_itself() -> None:
    assert _message(_found(waiting_pod("ErrImagePull", "not found"))) == "the kubelet says: ErrImagePull: not found"


def test_the_runtime_speaks_for_itself() -> None:
    failed = crashing_pod(end(1, message="easel/demo has no revision 'v9'\n"))
    assert _message(_found(failed)) == "easel/demo has no revision 'v9'"
    killed = _message(_found(crashing_pod(end(137, "OOMKilled", "loading unet"))))
    assert all(word in killed for word in ("OOMKilled", "137", "loading unet"))


def test_the_api_server_speaks_for_itself() -> None:
    found = _found(refused=_QUOTA)
    assert _said(found)["Ready"] == ("False", "PodsRefused")
    assert _said(found)["Scheduled"] == ("False", "PodsRefused")
    assert _message(found) == f"the API server says: {_QUOTA}"


def test_a_refused_second_runtime_does_not_hide_the_first() -> None:
    found = _found(ready_pod(), wanted=2, refused=_QUOTA)
    assert _said(found)["Scheduled"] == ("False", "PodsRefused")
    assert _said(found)["Ready"] == ("True", "Serving")
    assert _message(found) == "1 of 2 runtimes answer"


def test_one_that_answers_outweighs_all_that_failed() -> None:
    found = _found(crashing_pod(end(1, message="x")), ready_pod(), homeless_pod(), wanted=3)
    assert _said(found)["Loaded"] == ("True", "Loaded")
    assert _said(found)["Ready"] == ("True", "Serving")
    assert _said(found)["Scheduled"] == ("False", "NoFittingNode")


def test_waiting_is_not_in_vain_while_another_runtime_is_still_loading() -> None:
    found = _found(waiting_pod("ErrImagePull", "no route to host", node="gpu-1"), loading_pod(node="gpu-2"), wanted=2)
    assert _said(found)["Ready"][1] not in FAILURES


def test_fewer_nodes_than_wanted_are_counted() -> None:
    found = _found(loading_pod(), new_pod(), wanted=3)
    assert _message(found, "Scheduled") == "1 of 3 runtimes have a node"


def test_nothing_wanted_on_demand_is_ready_for_the_first_request() -> None:
    said = _said(_found(wanted=0, of=cluster_model()))
    assert said["Ready"] == ("True", "ScaledToZero")
    assert said["Scheduled"] == said["Loaded"] == said["Serving"] == ("False", "NotStarted")
    assert said["Cached"] == ("Unknown", "NotStarted")


def test_pinned_to_none_no_request_would_start_it() -> None:
    assert _said(_found(wanted=0, of=cluster_model(replicas=0)))["Ready"] == ("False", "NotStarted")


@pytest.mark.parametrize(
    ("spec", "ready"),
    [({}, "True"), ({"warmReplicas": 1}, "False"), ({"replicas": 1}, "False")],
    ids=["on demand", "warm", "pinned"],
)
def test_starting_is_ready_only_for_what_is_started_by_requests(spec: Json, ready: str) -> None:
    assert _said(_found(loading_pod(), of=cluster_model(**spec)))["Ready"] == (ready, "Starting")


def test_on_demand_without_a_fitting_node_is_not_ready() -> None:
    assert _said(_found(homeless_pod(), of=cluster_model()))["Ready"] == ("False", "NoFittingNode")


@pytest.mark.parametrize(("pods", "ready"), [([ready_pod()], "True"), ([loading_pod()], "False"), ([], "False")])
def test_paused_is_ready_while_what_runs_answers(pods: list[Json], ready: str) -> None:
    found = _found(*pods, of=cluster_model(paused=True), wanted=len(pods))
    assert _said(found)["Ready"] == (ready, "Paused")
    assert status(found, _NOW).mode == "paused"


def test_not_accepted_is_not_ready_whatever_runs() -> None:
    duplicate = Verdict(holds=False, reason=Reason.DUPLICATE_MODEL_ID, message="the older one has it")
    said = _said(_found(ready_pod(), accepted=duplicate))
    assert said["Accepted"] == said["Ready"] == ("False", "DuplicateModelId")
    assert said["Serving"] == ("True", "Serving")


@pytest.mark.parametrize(
    ("spec", "mode"),
    [
        ({}, "on-demand"),
        ({"warmReplicas": 1}, "warm"),
        ({"warmReplicas": 1, "replicas": 0}, "pinned"),
        ({"warmReplicas": 1, "replicas": 3, "paused": True}, "paused"),
    ],
)
def test_the_mode_says_who_decides(spec: Json, mode: str) -> None:
    assert status(_found(of=cluster_model(**spec)), _NOW).mode == mode


def test_the_rest_of_the_status() -> None:
    told = status(_found(ready_pod(since=90), new_pod(), wanted=2, gpu="NVIDIA-L4"), _NOW)
    assert (told.replicas, told.ready_replicas, told.gpu) == (2, 1, "NVIDIA-L4")
    assert told.selector == "easel.dev/model=demo"
    assert told.endpoint == "http://easel-demo.team.svc"
    assert told.cold_start_seconds == 90
    assert told.last_failure is None


@pytest.mark.parametrize(
    "before",
    [{"gpu": "NVIDIA-L4"}, {"coldStartSeconds": 12.5}, {"secondsPerImage": 0.5}],
    ids=lambda one: next(iter(one)),
)
def test_what_was_measured_is_kept_while_nothing_runs(before: Json) -> None:
    told = status(_found(wanted=0, of=cluster_model(status=before)), _NOW)
    assert before.items() <= _as_stored(told).items()


def test_weights_stay_cached_until_the_spec_asks_for_others() -> None:
    first = status(_found(ready_pod()), _NOW)
    assert _said(_again(_found(wanted=0), first))["Cached"] == ("True", "Cached")
    changed = cluster_model(status=_as_stored(first), metadata={"generation": 2}, revision="v2")
    assert _said(_found(wanted=1, of=changed))["Cached"] == ("Unknown", "Starting")


@pytest.mark.parametrize("document", [ended_pod(end(1, message="x")), crashing_pod(end(1, message="x"))])
def test_a_load_that_failed_is_told_before_and_during_the_pause(document: Json) -> None:
    failure = status(_found(document), _NOW).last_failure
    assert failure is not None
    assert (failure.pod, failure.exit_code) == (document["metadata"]["name"], 1)
    assert failure.message.endswith("x")


def test_a_pod_that_never_ran_has_no_exit_code() -> None:
    failure = status(_found(rejected_pod(message="no healthy devices present")), _NOW).last_failure
    assert failure is not None
    assert failure.exit_code is None
    assert failure.message == "UnexpectedAdmissionError: no healthy devices present"


def test_the_failure_of_the_newest_pod_is_told_and_kept_when_it_is_gone() -> None:
    old, new = crashing_pod(end(1), name="b", created=0), crashing_pod(end(2), name="a", created=50)
    told = status(_found(old, new, ready_pod()), _NOW)
    assert told.last_failure is not None
    assert told.last_failure.pod == "a"
    assert status(_again(_found(ready_pod()), told), _NOW).last_failure == told.last_failure


@pytest.mark.parametrize("exit_code", [0, 137, 143])
def test_a_runtime_that_ended_because_it_was_stopped_has_not_failed(exit_code: int) -> None:
    stopped = deleted(ended_pod(end(exit_code, "Completed" if exit_code == 0 else "Error")))
    assert status(_found(stopped, wanted=0), _NOW).last_failure is None


def test_a_node_whose_clock_is_behind_stops_nothing() -> None:
    told = status(_found(ready_pod(since=-3)), _NOW)
    assert told.ready_replicas == 1
    assert told.cold_start_seconds is None or told.cold_start_seconds >= 0


def test_a_pod_that_was_unready_for_a_moment_has_not_started_anew() -> None:
    first = status(_found(ready_pod(since=90)), _NOW)
    blip = status(_again(_found(loading_pod(name="easel-demo-6b7f-ready")), first), at(86_390))
    again = status(_again(_found(ready_pod(since=86_400)), blip), at(86_401))
    assert again.cold_start_seconds == 90


def test_messages_and_last_words_of_any_length_fit_their_fields() -> None:
    words = "é" * 10_000
    told = status(_found(crashing_pod(end(1, message=words))), _NOW)
    assert told.last_failure is not None
    assert len(told.last_failure.message) == 4096
    assert max(len(one.message) for one in told.conditions) == 4096
    assert ImageModelStatus.model_validate_json(json.dumps(_as_stored(told))) == told


def test_names_at_their_limit_fit() -> None:
    name = "a" * 50
    model = cluster_model(name, metadata={"namespace": "n" * 63}, modelId="a/b")
    document = crashing_pod(end(1, message="x"), name="p" * 253)
    told = status(_found(document, of=model), _NOW)
    assert told.selector == f"easel.dev/model={name}"
    assert ImageModelStatus.model_validate_json(json.dumps(_as_stored(told))) == told


def test_a_decision_comes_first_and_only_five_are_kept() -> None:
    found = _found()
    for number in range(8):
        decision = ScaleDecision(time=at(number), replicas=number, reason="because")
        told = status(Found(found.model, _VALID, 1, decision=decision), _NOW)
        found = _again(found, told)
    assert [one.replicas for one in found.model.status.scale_decisions] == [7, 6, 5, 4, 3]


def test_a_transition_is_dated_and_what_only_changes_its_words_is_not() -> None:
    first = status(_found(homeless_pod("0/3 nodes")), at(10))
    second = status(_again(_found(homeless_pod("0/4 nodes")), first), at(20))
    third = status(_again(_found(ready_pod()), second), at(30))
    dates = [condition.last_transition_time for condition in map(ready_condition, (first, second, third)) if condition]
    assert dates == [at(10), at(10), at(30)]


def test_without_conditions_nothing_is_known_about_ready() -> None:
    assert ready_condition(ImageModelStatus()) is None


_PODS: dict[str, Callable[[str], Json]] = {
    "new": new_pod,
    "no node": lambda name: homeless_pod(name=name),
    "pulling": lambda name: waiting_pod(name=name),
    "no image": lambda name: waiting_pod("ErrImagePull", "not found", name=name),
    "loading": lambda name: loading_pod(name=name),
    "failed": lambda name: crashing_pod(end(1, message="x" * 5000), name=name),
    "killed": lambda name: loading_pod(last=end(137, "OOMKilled"), restarts=2, name=name),
    "rejected": lambda name: rejected_pod(name=name),
    "leaving": lambda name: deleted(ready_pod(name=name)),
    "ready": lambda name: ready_pod(name=name),
}
_VERDICTS = (
    _VALID,
    Verdict(holds=False, reason=Reason.DUPLICATE_MODEL_ID, message="the older one"),
    Verdict(holds=False, reason=Reason.PROFILE_NOT_FOUND, message="no such profile"),
)


@st.composite
def _findings(draw: st.DrawFn) -> Found:
    spec: Json = {
        "warmReplicas": draw(st.integers(0, 2)),
        "maxReplicas": 3,
        "replicas": draw(st.none() | st.integers(0, 3)),
        "paused": draw(st.booleans()),
    }
    stages = draw(st.lists(st.sampled_from(sorted(_PODS)), max_size=4))
    return _found(
        *(_PODS[stage](f"pod-{number}") for number, stage in enumerate(stages)),
        wanted=draw(st.integers(0, 3)),
        accepted=draw(st.sampled_from(_VERDICTS)),
        of=cluster_model(**{key: value for key, value in spec.items() if value is not None}),
        refused=draw(st.sampled_from(["", _QUOTA])),
        autoscaler=draw(st.sampled_from(["", "no node group fits"])),
        gpu=draw(st.sampled_from(["", "NVIDIA-L4"])),
    )


@settings(max_examples=50)
@given(_findings(), st.integers(1, 10_000))
def test_an_unchanged_world_gives_an_unchanged_status(found: Found, later: int) -> None:
    first = status(found, at(0))
    assert status(_again(found, first), at(later)) == first


@settings(max_examples=25)
@given(st.lists(_findings(), max_size=4), _findings())
def test_whatever_was_said_before_an_unchanged_world_gives_an_unchanged_status(past: list[Found], now: Found) -> None:
    told = ImageModelStatus()
    for number, found in enumerate(past):
        told = status(_again(found, told), at(number))
    settled = status(_again(now, told), at(100))
    assert status(_again(now, settled), at(200)) == settled


@settings(max_examples=50)
@given(_findings())
def test_ready_never_promises_what_the_steps_before_it_deny(found: Found) -> None:
    said = _said(found)
    if said["Accepted"][0] == "False":
        assert said["Ready"] == said["Accepted"]
    elif said["Serving"][0] == "True":
        assert said["Ready"][0] == "True"
    elif said["Ready"][0] == "True":
        assert said["Ready"][1] in ("ScaledToZero", "Starting")


def test_what_cannot_be_read_is_told_and_nothing_else_is_changed() -> None:
    before = _as_stored(status(_found(ready_pod()), at(0)))
    document = model_document(status=before, metadata={"generation": 3}, unknown=1)
    told = status_of_invalid(document, "spec.unknown: there is no such field", at(50))
    said = {one.type: (one.status, one.reason, one.message) for one in told.conditions}
    assert said["Accepted"] == said["Ready"] == ("False", "Invalid", "spec.unknown: there is no such field")
    assert said["Serving"][:2] == ("True", "Serving")
    assert (told.observed_generation, told.ready_replicas) == (3, 1)


@pytest.mark.parametrize("before", [None, {}, {"mode": "sideways"}, {"conditions": [{"type": "Ready"}]}])
def test_what_cannot_be_read_may_have_a_status_that_cannot_be_read_either(before: Json | None) -> None:
    told = status_of_invalid(model_document(status=before), "?" * 5000, at(50))
    assert [one.type for one in told.conditions] == ["Accepted", "Ready"]
    assert {one.last_transition_time for one in told.conditions} == {at(50)}


def test_saying_twice_that_it_cannot_be_read_is_saying_it_once() -> None:
    first = status_of_invalid(model_document(), "why", at(0))
    assert status_of_invalid(model_document(status=_as_stored(first)), "why", at(9)) == first
