"""Events as the API server's validation of events.k8s.io/v1 takes them."""

import re
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from easel_crds.conditions import FAILURES, Condition, ConditionType, Reason
from easel_crds.imagemodel import ScaleDecision
from easel_operator import events
from support.cluster_objects import MODEL_UID, NAMESPACE, at, cluster_model

_OBJECT_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")


def _ready(status: str, reason: Reason, message: str = "") -> Condition:
    return Condition.model_validate(
        {"type": ConditionType.READY.value, "status": status, "reason": reason.value, "message": message}
    )


def _event(reason: Reason = Reason.CRASHED, message: str = "ended", name: str = "demo") -> dict[str, Any]:
    event = events.of_transition(cluster_model(name, modelId="a/b"), None, _ready("False", reason, message), "host-1")
    assert event is not None
    return event


def test_an_event_names_its_model_and_lies_beside_it() -> None:
    event = _event()
    assert (event["apiVersion"], event["kind"]) == ("events.k8s.io/v1", "Event")
    assert event["metadata"]["namespace"] == NAMESPACE
    assert event["regarding"] == {
        "apiVersion": "easel.dev/v1alpha1",
        "kind": "ImageModel",
        "name": "demo",
        "namespace": NAMESPACE,
        "uid": MODEL_UID,
    }
    assert (event["reason"], event["note"]) == ("Crashed", "ended")


def test_the_fields_that_the_api_server_demands() -> None:
    event = _event()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", event["eventTime"])
    assert datetime.fromisoformat(event["eventTime"]).tzinfo is not None
    for field in ("action", "reason", "reportingController", "reportingInstance"):
        assert 0 < len(event[field]) <= 128
    assert event["type"] in ("Normal", "Warning")


@pytest.mark.parametrize("name", ["demo", "7", "a" * 50])
def test_names_are_valid_and_never_the_same(name: str) -> None:
    first, second = _event(name=name)["metadata"]["name"], _event(name=name)["metadata"]["name"]
    assert first != second
    for each in (first, second):
        assert _OBJECT_NAME.fullmatch(each)
        assert len(each) <= 253


@given(st.text(max_size=3000))
def test_a_note_of_any_length_stays_below_1024_bytes_and_whole_letters(message: str) -> None:
    event = _event(message=message[:4096].encode("utf-8", "ignore").decode())
    note = event["note"].encode()
    assert len(note) < 1024
    assert message.encode("utf-8", "ignore").startswith(note.removesuffix(b" ..."))


@pytest.mark.parametrize("letter", ["a", "é", "€", "😀"])
def test_a_long_note_is_cut_between_letters(letter: str) -> None:
    note = _event(message=letter * 2000)["note"]
    assert note.endswith(" ...")
    assert set(note.removesuffix(" ...")) == {letter}
    assert 1000 <= len(note.encode()) + 3 < 1024


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        *((reason, "Warning") for reason in sorted(FAILURES)),
        (Reason.INVALID, "Warning"),
        (Reason.DUPLICATE_MODEL_ID, "Warning"),
        (Reason.PROFILE_NOT_FOUND, "Warning"),
        (Reason.NOT_OWNED, "Warning"),
        (Reason.NO_FITTING_NODE, "Warning"),
        (Reason.SERVING, "Normal"),
        (Reason.STARTING, "Normal"),
        (Reason.SCALED_TO_ZERO, "Normal"),
        (Reason.PAUSED, "Normal"),
        (Reason.NOT_STARTED, "Normal"),
    ],
)
def test_what_somebody_must_see_to_is_a_warning(reason: Reason, kind: str) -> None:
    assert _event(reason)["type"] == kind


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (None, _ready("True", Reason.SERVING), True),
        (_ready("False", Reason.STARTING), _ready("True", Reason.SERVING), True),
        (_ready("False", Reason.STARTING), _ready("True", Reason.STARTING), True),
        (_ready("False", Reason.STARTING), _ready("False", Reason.CRASHED), True),
        (_ready("False", Reason.CRASHED, "a"), _ready("False", Reason.CRASHED, "b"), False),
        (_ready("True", Reason.SERVING), _ready("True", Reason.SERVING), False),
    ],
)
def test_only_a_change_of_status_or_reason_is_an_event(old: Condition | None, new: Condition, *, told: bool) -> None:
    assert (events.of_transition(cluster_model(), old, new, "host-1") is not None) is told


def test_a_decision_says_how_many_and_why() -> None:
    decision = ScaleDecision(time=at(0), replicas=3, reason="5 requests in flight and 1 waiting, 2 for each replica")
    event = events.of_decision(cluster_model(), decision, "host-1")
    assert (event["reason"], event["type"]) == ("Scaled", "Normal")
    assert event["note"] == "replicas: 3; 5 requests in flight and 1 waiting, 2 for each replica"
