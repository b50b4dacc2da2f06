"""Which models there are and where they run: what the gateway reads, and the demand that it reports back.

On one machine the supervisor of `easel up` implements `Directory`; on a cluster, watches of the API server do.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol

from easel_crds.demand import Demand
from easel_crds.imagemodel import ImageModel, ScaleDecision
from easel_http.errors import ApiError, NotFound, Unavailable

UNKNOWN_START_SECONDS: Final = 30.0
"""Forecast of a cold start that was never measured."""


class State(StrEnum):
    """Whether a model can take a request."""

    READY = "ready"
    STARTING = "starting"
    COLD = "cold"
    FAILED = "failed"
    PAUSED = "paused"


@dataclass(frozen=True)
class Endpoint:
    """One runtime that answers requests."""

    name: str
    """Unique among all that ever were: a restarted runtime has a new one."""
    url: str
    """Base URL, without a slash at its end."""


@dataclass(frozen=True)
class Entry:
    """One model as the gateway sees it."""

    model: ImageModel
    endpoints: tuple[Endpoint, ...] = ()
    starting: bool = False
    failure: str = ""
    """Why it cannot start at present; empty if it can."""
    start_seconds: float = UNKNOWN_START_SECONDS
    """Forecast of a cold start."""
    pending: str = ""
    """What its start waits for, in words; empty if nothing is known, or it does not start."""
    scale_decisions: tuple[ScaleDecision, ...] = ()
    """The last five changes of the number of replicas, newest first."""

    @property
    def state(self) -> State:
        """The first that holds: it has endpoints, is paused, fails, starts."""
        if self.endpoints:
            return State.READY
        if self.model.spec.paused:
            return State.PAUSED
        if self.failure:
            return State.FAILED
        return State.STARTING if self.starting else State.COLD

    @property
    def seconds_to_start(self) -> float | None:
        """Forecast of the seconds until it takes a request: 0 if it does, None if it cannot start at present."""
        match self.state:
            case State.READY:
                return 0
            case State.FAILED | State.PAUSED:
                return None
            case _:
                return self.start_seconds


class Directory(Protocol):
    """The models and their endpoints; everything happens on one event loop."""

    def entries(self) -> Mapping[str, Entry]:
        """Every model by its `modelId`, as of now."""

    def report(self, model_id: str, demand: Demand) -> None:
        """Say how many requests of a model there are; called at each change."""

    def on_change(self, listener: Callable[[], None]) -> None:
        """Have `listener` called after each change of `entries`."""


def entry_of(model_id: str, entries: Mapping[str, Entry]) -> Entry:
    """The entry of the model that a caller names.

    Raises:
        NotFound: there is none of that name.
    """
    entry = entries.get(model_id)
    if entry is None:
        known = sorted(entries)
        raise NotFound(f"there is no model {model_id}; known: {', '.join(known) or 'none'}", models=known)
    return entry


def refusal_of(model_id: str, entry: Entry | None) -> ApiError | None:
    """Why waiting for the model is in vain, if it is."""
    if entry is None:
        return NotFound(f"the model {model_id} has been removed")
    if entry.state is State.FAILED:
        return Unavailable(f"{model_id} cannot start: {entry.failure}")
    if entry.state is State.PAUSED:
        return Unavailable(f"{model_id} is paused and not running")
    if entry.state is State.COLD and entry.model.spec.replicas == 0:
        return Unavailable(f"{model_id} is pinned to no replicas (spec.replicas: 0)")
    return None
