"""Events: what `kubectl describe` tells about the past of an ImageModel."""

from datetime import UTC, datetime
from typing import Any, Final
from uuid import uuid4

from easel_crds.conditions import FAILURES, Condition, Reason
from easel_crds.imagemodel import ImageModel, ScaleDecision

_CONTROLLER: Final = "easel.dev/operator"
_NOTE_LENGTH: Final = 1000
"""The API server takes less than 1024 bytes."""

_WARNINGS: Final = FAILURES | {
    Reason.INVALID,
    Reason.DUPLICATE_MODEL_ID,
    Reason.PROFILE_NOT_FOUND,
    Reason.NOT_OWNED,
    Reason.NO_FITTING_NODE,
    Reason.NODE_LOST,
}


def of_transition(model: ImageModel, old: Condition | None, new: Condition, instance: str) -> dict[str, Any] | None:
    """The Event of a change of the condition Ready, if its status or reason did change."""
    if old is not None and (old.status, old.reason) == (new.status, new.reason):
        return None
    return _event(model, new.reason, new.message, instance, warning=new.reason in _WARNINGS)


def of_decision(model: ImageModel, decision: ScaleDecision, instance: str) -> dict[str, Any]:
    """The Event of a change of the number of replicas."""
    return _event(model, "Scaled", f"replicas: {decision.replicas}; {decision.reason}", instance)


def _event(model: ImageModel, reason: str, note: str, instance: str, *, warning: bool = False) -> dict[str, Any]:
    return {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"name": f"{model.name}.{uuid4().hex[:16]}", "namespace": model.metadata.namespace},
        "eventTime": datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z"),
        "type": "Warning" if warning else "Normal",
        "reason": reason,
        "note": _shortened(note),
        "action": "Reconcile",
        "reportingController": _CONTROLLER,
        "reportingInstance": instance,
        "regarding": {
            "apiVersion": model.api_version,
            "kind": model.kind,
            "name": model.name,
            "namespace": model.metadata.namespace,
            "uid": model.metadata.uid,
        },
    }


def _shortened(note: str) -> str:
    text = note.encode()
    return note if len(text) <= _NOTE_LENGTH else text[:_NOTE_LENGTH].decode(errors="ignore") + " ..."
