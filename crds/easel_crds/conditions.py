"""Conditions of an ImageModel and their reasons: what `kubectl wait` and alerts may rely on."""

from collections.abc import Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Final, Literal, Self

from pydantic import Field

from easel_crds.rules import Resource


class Documented(StrEnum):
    """A string enum whose members are written `NAME = "Value", "what it means"`."""

    meaning: str

    def __new__(cls, value: str, meaning: str) -> Self:
        member = str.__new__(cls, value)
        member._value_ = value
        member.meaning = meaning
        return member


class ConditionType(Documented):
    """Each condition is a step that the one before makes possible; `Ready` rolls them up."""

    ACCEPTED = "Accepted", "The resource is valid, its model id is not taken, its profile exists."
    CACHED = "Cached", "The weights are where the runtimes read them."
    SCHEDULED = "Scheduled", "Every wanted runtime has a node with a fitting GPU."
    LOADED = "Loaded", "At least one runtime has the model in memory."
    SERVING = "Serving", "At least one runtime answers requests."
    READY = "Ready", "A request would be served now, or started for if the model is on demand."


class Reason(Documented):
    """Reasons of the conditions: stable words for tools; the message beside them is for people."""

    VALID = "Valid", "Accepted: nothing speaks against serving this model."
    INVALID = "Invalid", "Not accepted: this version of Easel cannot read the resource; the message names the field."
    DUPLICATE_MODEL_ID = "DuplicateModelId", "Not accepted: an older ImageModel has the same modelId."
    PROFILE_NOT_FOUND = "ProfileNotFound", "Not accepted: no RuntimeProfile has the name in spec.profile."
    NOT_OWNED = "NotOwned", "Not accepted: an object with the name of a child belongs to somebody else."
    PAUSED = "Paused", "spec.paused is true: nothing is started, stopped or changed."
    SCALED_TO_ZERO = "ScaledToZero", "Ready: on demand, and nobody asks; the first request starts it."
    NOT_STARTED = "NotStarted", "No runtime is wanted at present."
    STARTING = "Starting", "A runtime is starting or loading the model."
    PODS_REFUSED = (
        "PodsRefused",
        "The API server refused the runtime's pods (quota, admission); the message is its own.",
    )
    NO_FITTING_NODE = "NoFittingNode", "No node has a free NVIDIA GPU that is large enough; the message says why."
    NODE_LOST = (
        "NodeLost",
        "The node of a runtime does not answer; after a minute another is looked for.",
    )
    CANNOT_START = "CannotStart", "The node could not start the runtime's container; the message is the kubelet's."
    SCHEDULED = "Scheduled", "Every wanted runtime has a node."
    DOWNLOADING = "Downloading", "The weights are on their way; the message says how far."
    CACHED = "Cached", "The weights have been read."
    LOAD_FAILED = "LoadFailed", "The runtime could not load the model; the message is its own."
    CRASHED = "Crashed", "The runtime ended by itself; the message has its exit code and last words."
    LOADED = "Loaded", "At least one runtime has the model in memory."
    SERVING = "Serving", "At least one runtime answers requests."


FAILURES: Final = frozenset({Reason.PODS_REFUSED, Reason.CANNOT_START, Reason.LOAD_FAILED, Reason.CRASHED})
"""Reasons for which waiting is in vain: gateways refuse requests at once. A node may yet come, so that is none."""


class Condition(Resource):
    """One condition, in the form that Kubernetes tools expect."""

    type: Annotated[str, Field(max_length=64)]
    """Name of the condition."""
    status: Literal["True", "False", "Unknown"]
    """Whether it holds."""
    reason: Annotated[str, Field(max_length=64)]
    """One word for tools."""
    message: Annotated[str, Field(max_length=4096)] = ""
    """One sentence for people, with the text of the real cause."""
    observed_generation: Annotated[int, Field(ge=0)] = 0
    """metadata.generation of the resource that this condition was found for."""
    last_transition_time: datetime = datetime.fromtimestamp(0, UTC)
    """When `status` last changed."""


def with_condition(conditions: Sequence[Condition], new: Condition, now: datetime) -> tuple[Condition, ...]:
    """`conditions` with `new` in the place of its type; its transition time moves only when its status changes."""
    old = next((condition for condition in conditions if condition.type == new.type), None)
    since = old.last_transition_time if old is not None and old.status == new.status else now
    dated = new.model_copy(update={"last_transition_time": since})
    if old is None:
        return (*conditions, dated)
    return tuple(dated if condition.type == new.type else condition for condition in conditions)
