"""Runtime pods as the operator sees them: the few facts that decisions need, read from the API's JSON."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from easel_operator.desired.deployment import CONTAINER

_ON_THE_WAY: Final = ("ContainerCreating", "PodInitializing", "CrashLoopBackOff")
"""Reasons for waiting that say nothing about a cause; a container that crashed says more itself."""

_NEVER_RAN: Final = "StartError"
"""The container runtime could not start the process, say because a hook of the GPU's failed."""


@dataclass(frozen=True)
class End:
    """How a container ended."""

    exit_code: int
    reason: str
    """The kubelet's word: Error, OOMKilled, Completed."""
    message: str
    """The runtime's last words."""
    started: bool
    """Whether it had been running at all."""


@dataclass(frozen=True)
class Pod:
    """One runtime pod."""

    name: str
    uid: str
    created: datetime
    replaceable: bool
    """A ReplicaSet owns it, and makes another when it is deleted."""
    phase: str
    leaving: bool
    """It is being deleted."""
    node: str
    unschedulable: str
    """Why the scheduler found no node; empty if it did, or has not tried."""
    ready_since: datetime | None
    """Since when it answers requests; None if it does not."""
    waiting: str
    """Why the kubelet cannot start its container: "ErrImagePull: ..."; empty if nothing is in the way."""
    running: bool
    """Its container runs."""
    last_end: End | None
    """How its container last ended, if it did."""
    restarts: int
    lost: bool = False
    """Its node does not answer; what else is known of it may be out of date."""

    @property
    def alive(self) -> bool:
        """It is, or may become, a runtime that answers."""
        return not self.leaving and self.phase not in ("Failed", "Succeeded")

    @property
    def ready(self) -> bool:
        """It answers requests."""
        return self.alive and self.ready_since is not None

    @property
    def loading(self) -> bool:
        """Its container runs and has not ended so far: to stop it now would waste what it has done."""
        return self.alive and self.running and not (self.ready or self.lost) and self.last_end is None


def from_json(document: Mapping[str, Any]) -> Pod:
    """The pod that the API's `document` describes."""
    metadata, status = document["metadata"], document.get("status", {})
    conditions = {condition["type"]: condition for condition in status.get("conditions", ())}
    created, scheduled = metadata["creationTimestamp"], conditions.get("PodScheduled", {})
    containers: dict[str, dict[str, Any]] = {one["name"]: one for one in status.get("containerStatuses", ())}
    container = containers.get(CONTAINER, {})
    state = container.get("state", {})
    ready = conditions.get("Ready", {})
    return Pod(
        name=metadata["name"],
        uid=metadata["uid"],
        created=_time(created),
        replaceable=any(owner.get("kind") == "ReplicaSet" for owner in metadata.get("ownerReferences", ())),
        phase=status.get("phase", "Pending"),
        leaving="deletionTimestamp" in metadata,
        node=document.get("spec", {}).get("nodeName", ""),
        unschedulable=scheduled.get("message", "") if scheduled.get("reason") == "Unschedulable" else "",
        ready_since=_time(ready.get("lastTransitionTime") or created) if ready.get("status") == "True" else None,
        waiting=_waiting(state.get("waiting", {})),
        running="running" in state,
        last_end=_end(state, container.get("lastState", {}), status),
        restarts=container.get("restartCount", 0),
    )


def _waiting(waiting: Mapping[str, Any]) -> str:
    reason = waiting.get("reason", "")
    if not reason or reason in _ON_THE_WAY:
        return ""
    message = waiting.get("message", "")
    return f"{reason}: {message}" if message else reason


def _end(state: Mapping[str, Any], last: Mapping[str, Any], status: Mapping[str, Any]) -> End | None:
    if status.get("phase") == "Failed" and status.get("reason"):  # refused by the kubelet, evicted
        return End(exit_code=0, reason=status["reason"], message=status.get("message", ""), started=False)
    ended = state.get("terminated") or last.get("terminated")
    if ended is not None:
        return End(
            exit_code=ended.get("exitCode", 0),
            reason=ended.get("reason", ""),
            message=ended.get("message", "").strip(),
            started=ended.get("reason") != _NEVER_RAN and bool(ended.get("startedAt")),
        )
    if status.get("phase") == "Failed":
        return End(exit_code=0, reason="Failed", message=status.get("message", ""), started=False)
    return None


def cold_start_seconds(pods: Iterable[Pod], since: datetime) -> float | None:
    """Seconds from creation until it answered, of the last pod that did; only of pods that were made after `since`.

    One that restarted, or was there before, may have answered earlier. Clocks differ: none took less than no time.
    """
    measured = [
        (pod.ready_since, (pod.ready_since - pod.created).total_seconds())
        for pod in pods
        if pod.ready_since is not None and pod.restarts == 0 and pod.created >= since
    ]
    return max(0.0, max(measured)[1]) if measured else None


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)
