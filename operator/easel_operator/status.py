"""What to say about an ImageModel: pure predicates over what was observed."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal

from pydantic import ValidationError

from easel_crds.conditions import Condition, ConditionType, Reason, with_condition
from easel_crds.imagemodel import SCALE_DECISIONS, ImageModel, ImageModelStatus, ScaleDecision
from easel_crds.metadata import Label, child_name
from easel_operator.failures import failure_of, last_failure
from easel_operator.pods import Pod, cold_start_seconds

_MESSAGE_LENGTH: Final = 4096
_SAME_MOMENT: Final = timedelta(seconds=5)
"""A pod may be made a moment before the status says that it is wanted."""


@dataclass(frozen=True)
class Verdict:
    """One condition's content before it is dated."""

    holds: bool | None
    """None: unknown."""
    reason: Reason
    message: str = ""


@dataclass(frozen=True)
class Found:
    """All that a status is made of."""

    model: ImageModel
    accepted: Verdict
    wanted: int
    """Replicas that ought to run."""
    pods: tuple[Pod, ...] = ()
    refused: str = ""
    """Why the API server refuses to make pods, in its own words."""
    autoscaler: str = ""
    """What the cluster's autoscaler last said of a pod that has no node."""
    gpu: str = ""
    """Product name of the GPU of a pod's node."""
    cache_stays: bool = True
    """Weights outlive the pods that have read them."""
    decision: ScaleDecision | None = None
    """A change of the number of replicas that was decided just now."""

    @property
    def alive(self) -> tuple[Pod, ...]:
        """Pods that answer or may come to."""
        return tuple(pod for pod in self.pods if pod.alive)

    @property
    def ready(self) -> int:
        """How many pods answer requests."""
        return sum(pod.ready for pod in self.pods)


def status(found: Found, now: datetime) -> ImageModelStatus:
    """The whole status. Equal findings give an equal status, or writing it would never end."""
    model, old = found.model, found.model.status
    conditions = old.conditions
    for kind, verdict in _verdicts(found):
        conditions = with_condition(conditions, _condition(kind, verdict, model.metadata.generation), now)
    decisions = old.scale_decisions if found.decision is None else (found.decision, *old.scale_decisions)
    return ImageModelStatus(
        observed_generation=model.metadata.generation,
        mode=_mode(model),
        conditions=conditions,
        replicas=len(found.alive),
        ready_replicas=found.ready,
        selector=f"{Label.MODEL}={model.name}",
        endpoint=f"http://{child_name(model.name)}.{model.metadata.namespace}.svc",
        gpu=found.gpu or old.gpu,
        scale_decisions=decisions[:SCALE_DECISIONS],
        cold_start_seconds=_cold_start(found),
        seconds_per_image=old.seconds_per_image,
        last_failure=last_failure(found.pods) or old.last_failure,
    )


def _cold_start(found: Found) -> float | None:
    """Measured when the model goes from not loaded to loaded; a pod from before had only stopped answering."""
    old = found.model.status
    loaded = next((one for one in old.conditions if one.type == ConditionType.LOADED), None)
    if loaded is not None and loaded.status == "True":
        return old.cold_start_seconds
    since = datetime.fromtimestamp(0, UTC) if loaded is None else loaded.last_transition_time - _SAME_MOMENT
    measured = cold_start_seconds(found.pods, since)
    return old.cold_start_seconds if measured is None else measured


def status_of_invalid(document: Mapping[str, Any], why: str, now: datetime) -> ImageModelStatus:
    """The status of an ImageModel (as JSON) that this version cannot read: it says so, and nothing else."""
    try:
        old = ImageModelStatus.model_validate_json(json.dumps(document.get("status", {})))
    except ValidationError:
        old = ImageModelStatus()
    conditions, verdict = old.conditions, Verdict(holds=False, reason=Reason.INVALID, message=why)
    generation = document["metadata"]["generation"]
    for kind in (ConditionType.ACCEPTED, ConditionType.READY):
        conditions = with_condition(conditions, _condition(kind, verdict, generation), now)
    return old.model_copy(update={"observed_generation": generation, "conditions": conditions})


def ready_condition(of: ImageModelStatus) -> Condition | None:
    """The condition that rolls the others up."""
    return next((condition for condition in of.conditions if condition.type == ConditionType.READY), None)


def _condition(kind: ConditionType, verdict: Verdict, generation: int) -> Condition:
    return Condition(
        type=kind.value,
        status="Unknown" if verdict.holds is None else "True" if verdict.holds else "False",
        reason=verdict.reason.value,
        message=verdict.message[:_MESSAGE_LENGTH],
        observed_generation=generation,
    )


def _mode(model: ImageModel) -> Literal["warm", "on-demand", "pinned", "paused"]:
    spec = model.spec
    if spec.paused:
        return "paused"
    if spec.replicas is not None:
        return "pinned"
    return "warm" if spec.warm_replicas else "on-demand"


def _verdicts(found: Found) -> Iterator[tuple[ConditionType, Verdict]]:
    """Every condition; each is a step that the one before makes possible."""
    scheduled, loaded = _scheduled(found), _loaded(found)
    yield ConditionType.ACCEPTED, found.accepted
    yield ConditionType.CACHED, _cached(found)
    yield ConditionType.SCHEDULED, scheduled
    yield ConditionType.LOADED, loaded
    yield (
        ConditionType.SERVING,
        Verdict(loaded.holds, Reason.SERVING if loaded.holds else loaded.reason, loaded.message),
    )
    yield ConditionType.READY, _ready(found, scheduled, loaded)


def _scheduled(found: Found) -> Verdict:
    if not found.wanted and not found.alive:
        return Verdict(holds=False, reason=Reason.NOT_STARTED, message="no runtime is wanted at present")
    if found.refused:
        return Verdict(holds=False, reason=Reason.PODS_REFUSED, message=f"the API server says: {found.refused}")
    if without := [pod for pod in found.alive if pod.unschedulable]:
        return Verdict(holds=False, reason=Reason.NO_FITTING_NODE, message=_no_node(found, without[0]))
    placed = sum(bool(pod.node) for pod in found.alive)
    if placed < found.wanted:
        return Verdict(holds=False, reason=Reason.STARTING, message=f"{placed} of {found.wanted} runtimes have a node")
    return Verdict(holds=True, reason=Reason.SCHEDULED)


def _no_node(found: Found, pod: Pod) -> str:
    memory = found.model.spec.gpu.memory
    sentence = f"no node has a free NVIDIA GPU of at least {memory}; the scheduler says: {pod.unschedulable}"
    return f"{sentence}; the autoscaler says: {found.autoscaler}" if found.autoscaler else sentence


def _cached(found: Found) -> Verdict:
    if found.ready:
        return Verdict(holds=True, reason=Reason.CACHED)
    known = any(condition.type == ConditionType.CACHED and condition.status == "True" for condition in _current(found))
    if known and (found.cache_stays or found.alive):
        return Verdict(holds=True, reason=Reason.CACHED)
    return Verdict(holds=None, reason=Reason.STARTING if found.wanted else Reason.NOT_STARTED)


def _current(found: Found) -> tuple[Condition, ...]:
    """Conditions that were found for the spec as it is now: with another revision, other weights are needed."""
    generation = found.model.metadata.generation
    return tuple(one for one in found.model.status.conditions if one.observed_generation == generation)


def _loaded(found: Found) -> Verdict:
    if found.ready:
        runtimes = f"{found.ready} of {max(found.wanted, found.ready)} runtimes answer"
        return Verdict(holds=True, reason=Reason.LOADED, message=runtimes)
    if found.refused and found.wanted:
        return Verdict(holds=False, reason=Reason.PODS_REFUSED, message=f"the API server says: {found.refused}")
    failed = next(filter(None, map(failure_of, found.alive)), None)
    if failed is not None and not any(pod.loading for pod in found.alive):  # else waiting may yet help
        reason, message = failed
        return Verdict(holds=False, reason=reason, message=message)
    if not found.wanted:
        return Verdict(holds=False, reason=Reason.NOT_STARTED, message="no runtime is wanted at present")
    if lost := next((pod.node for pod in found.alive if pod.lost), ""):
        return Verdict(holds=False, reason=Reason.NODE_LOST, message=f"the node {lost} of a runtime does not answer")
    return Verdict(holds=False, reason=Reason.STARTING, message="a runtime is starting")


def _ready(found: Found, scheduled: Verdict, loaded: Verdict) -> Verdict:
    if not found.accepted.holds:
        return found.accepted
    if found.ready:
        reason = Reason.PAUSED if found.model.spec.paused else Reason.SERVING
        return Verdict(holds=True, reason=reason, message=loaded.message)
    if found.model.spec.paused:
        return Verdict(holds=False, reason=Reason.PAUSED, message="spec.paused is true, and no runtime answers")
    return _ready_to_start(found, scheduled, loaded)


def _ready_to_start(found: Found, scheduled: Verdict, loaded: Verdict) -> Verdict:
    """Whether a request would be started for, since no runtime answers."""
    pinned = found.model.spec.replicas is not None
    if not found.wanted:
        if pinned:
            return Verdict(
                holds=False, reason=Reason.NOT_STARTED, message="spec.replicas pins the model to no runtimes"
            )
        return Verdict(holds=True, reason=Reason.SCALED_TO_ZERO, message="the first request starts a runtime")
    if loaded.reason is not Reason.STARTING:
        return loaded
    if scheduled.reason is Reason.NO_FITTING_NODE:
        return scheduled
    on_demand = not pinned and not found.model.spec.warm_replicas
    return Verdict(holds=on_demand, reason=Reason.STARTING, message=loaded.message)
