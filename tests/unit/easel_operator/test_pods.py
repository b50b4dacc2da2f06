"""Pod documents as kubelets, schedulers and API servers write them, and what the operator makes of them."""

from typing import Any

import pytest

from easel_operator.pods import End, cold_start_seconds
from support.cluster_objects import (
    at,
    condition,
    crashing_pod,
    deleted,
    end,
    ended_pod,
    homeless_pod,
    loading_pod,
    new_pod,
    pod,
    pod_document,
    ready_pod,
    rejected_pod,
    waiting_pod,
    written,
)

_NO_GPU = "0/3 nodes are available: 3 Insufficient nvidia.com/gpu. preemption: 0/3 nodes are available."


def test_a_pod_that_nobody_has_looked_at() -> None:
    found = pod(new_pod())
    assert found.alive
    assert (found.ready, found.loading, found.running, found.leaving) == (False, False, False, False)
    assert (found.node, found.unschedulable, found.waiting, found.last_end) == ("", "", "", None)
    assert found.created == at(0)


@pytest.mark.parametrize("absent", [{}, {"status": {}}, {"spec": {}}])
def test_a_pod_without_a_status_is_pending(absent: dict[str, Any]) -> None:
    document = {"metadata": new_pod()["metadata"], **absent}
    found = pod(document)
    assert (found.phase, found.alive, found.ready, found.restarts) == ("Pending", True, False, 0)


def test_the_scheduler_s_own_words_are_kept() -> None:
    assert pod(homeless_pod(_NO_GPU)).unschedulable == _NO_GPU
    assert not pod(homeless_pod(_NO_GPU)).running


def test_a_pod_with_a_node_is_schedulable() -> None:
    assert pod(loading_pod(node="gpu-7")).node == "gpu-7"
    assert pod(loading_pod()).unschedulable == ""


@pytest.mark.parametrize("reason", ["ContainerCreating", "PodInitializing", "CrashLoopBackOff"])
def test_reasons_that_name_no_cause_are_no_obstacle(reason: str) -> None:
    assert pod(waiting_pod(reason, "back-off 10s restarting failed container")).waiting == ""


@pytest.mark.parametrize(
    ("reason", "message"),
    [
        ("ErrImagePull", 'failed to pull and unpack image "x/y:1": not found'),
        ("ImagePullBackOff", 'Back-off pulling image "x/y:1"'),
        ("InvalidImageName", 'couldn\'t parse image name "X Y": invalid reference format'),
        ("ErrImageNeverPull", 'Container image "x" is not present with pull policy of Never'),
        ("CreateContainerConfigError", 'secret "hub" not found'),
        ("CreateContainerError", "failed to reserve container name"),
        ("RunContainerError", "failed to start containerd task: nvidia-container-cli: initialization error"),
    ],
)
def test_what_the_kubelet_cannot_do_is_told_with_its_words(reason: str, message: str) -> None:
    found = pod(waiting_pod(reason, message))
    assert found.waiting == f"{reason}: {message}"
    assert not found.running
    assert not found.loading


def test_a_reason_without_a_message_is_told_as_well() -> None:
    assert pod(waiting_pod("ErrImagePull")).waiting == "ErrImagePull"


def test_a_container_state_that_says_nothing_is_a_container_that_waits() -> None:
    found = pod(pod_document(containerStatuses=[{"name": "runtime", "state": {}, "lastState": {}, "restartCount": 0}]))
    assert (found.waiting, found.running, found.last_end) == ("", False, None)


def test_only_the_runtime_s_container_counts() -> None:
    sidecar = {"name": "istio-proxy", "restartCount": 9, "state": end(1), "lastState": end(2)}
    document = loading_pod()
    document["status"]["containerStatuses"].insert(0, sidecar)
    found = pod(document)
    assert (found.restarts, found.last_end, found.loading) == (0, None, True)


def test_a_running_container_that_does_not_answer_is_loading() -> None:
    assert pod(loading_pod()).loading
    assert not pod(ready_pod()).loading
    assert not pod(deleted(loading_pod())).loading


@pytest.mark.parametrize("document", [loading_pod(last=end(137, "OOMKilled"), restarts=1), waiting_pod()])
def test_nothing_is_paid_for_by_a_second_try_or_by_a_container_that_does_not_run(document: dict[str, Any]) -> None:
    assert not pod(document).loading


def test_a_ready_pod_answers_since_its_condition_says_so() -> None:
    found = pod(ready_pod(since=90))
    assert found.ready
    assert found.ready_since == at(90)


@pytest.mark.parametrize("phase", ["Failed", "Succeeded"])
def test_a_pod_that_has_ended_does_not_answer_whatever_its_conditions_say(phase: str) -> None:
    found = pod(ready_pod(phase=phase))
    assert (found.alive, found.ready, found.loading) == (False, False, False)


def test_a_pod_that_is_being_deleted_does_not_count_although_it_still_answers() -> None:
    found = pod(deleted(ready_pod()))
    assert found.leaving
    assert (found.alive, found.ready) == (False, False)


@pytest.mark.parametrize("answers", ["False", "Unknown"])
def test_a_node_that_is_out_of_reach_takes_readiness_away(answers: str) -> None:
    document = ready_pod()
    document["status"]["conditions"] = [condition("Ready", answers, 300, reason="NodeNotReady")]
    assert not pod(document).ready


def test_readiness_without_a_date_as_virtual_kubelets_report_it() -> None:
    document = ready_pod()
    document["status"]["conditions"] = [condition("Ready", "True", since=None)]
    assert pod(document).ready


def test_the_first_end_is_known_before_the_kubelet_tries_again() -> None:
    found = pod(ended_pod(end(1, message="no such repository: a/b\n")))
    assert found.last_end == End(1, "Error", "no such repository: a/b", started=True)
    assert not found.running


def test_how_a_crashing_container_ended_is_in_its_last_state() -> None:
    found = pod(crashing_pod(end(137, "OOMKilled"), restarts=5))
    assert found.last_end == End(137, "OOMKilled", "", started=True)
    assert (found.restarts, found.running, found.waiting, found.loading) == (5, False, "", False)


def test_the_present_end_counts_more_than_the_one_before() -> None:
    document = ended_pod(end(1, message="second"), restarts=1)
    document["status"]["containerStatuses"][0]["lastState"] = end(137, "OOMKilled")
    last = pod(document).last_end
    assert last is not None
    assert (last.exit_code, last.message) == (1, "second")


def test_a_pod_that_the_kubelet_rejects_has_no_container_and_still_an_end() -> None:
    found = pod(rejected_pod("UnexpectedAdmissionError", "Allocate failed due to no healthy devices present"))
    assert not found.alive
    assert found.last_end == End(
        0, "UnexpectedAdmissionError", "Allocate failed due to no healthy devices present", started=False
    )


def test_a_failed_pod_that_says_nothing_at_all() -> None:
    assert pod(pod_document(phase="Failed")).last_end == End(0, "Failed", "", started=False)


def test_why_a_pod_was_evicted_is_told_rather_than_how_its_container_was_killed() -> None:
    document = ended_pod(end(137, "Error"), phase="Failed")
    document["status"] |= {"reason": "Evicted", "message": "The node was low on resource: ephemeral-storage."}
    last = pod(document).last_end
    assert last is not None
    assert "Evicted" in last.reason
    assert "low on resource: ephemeral-storage" in last.message


def test_a_container_that_could_not_be_started_never_ran() -> None:
    # containerd dates such a start to the beginning of all time.
    failed = end(
        128,
        "StartError",
        "failed to create containerd task: nvidia-container-cli: initialization error: nvml error",
        startedAt="1970-01-01T00:00:00Z",
    )
    last = pod(crashing_pod(failed)).last_end
    assert last is not None
    assert (last.exit_code, last.reason, last.started) == (128, "StartError", False)


def test_a_container_that_was_lost_has_no_times() -> None:
    lost = end(137, "ContainerStatusUnknown", "The container could not be located", startedAt=None, finishedAt=None)
    last = pod(ended_pod(lost)).last_end
    assert last == End(137, "ContainerStatusUnknown", "The container could not be located", started=False)


def test_times_in_any_of_the_forms_that_kubernetes_writes() -> None:
    document = ready_pod()
    document["metadata"]["creationTimestamp"] = "2026-01-01T01:00:00+01:00"
    assert pod(document).created == at(0)
    assert written(at(1)) == "2026-01-01T00:00:01Z"


def test_a_cold_start_lasts_from_creation_to_the_first_answer() -> None:
    assert cold_start_seconds([], at(-9)) is None
    assert cold_start_seconds([pod(loading_pod()), pod(homeless_pod())], at(-9)) is None
    assert cold_start_seconds([pod(ready_pod(since=90, created=10))], at(-9)) == 80


def test_the_latest_cold_start_counts() -> None:
    early, late = pod(ready_pod(since=90)), pod(ready_pod(since=400, created=360))
    assert cold_start_seconds([early, late], at(-9)) == cold_start_seconds([late, early], at(-9)) == 40


def test_a_pod_that_restarted_tells_nothing_about_cold_starts() -> None:
    assert cold_start_seconds([pod(ready_pod(since=7000, last=end(137, "OOMKilled"), restarts=1))], at(-9)) is None
